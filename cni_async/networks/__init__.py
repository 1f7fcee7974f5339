"""Several networks for one sandbox: what containerd's go-cni and CRI-O's ocicni do in Go."""

from .errors import (
    DuplicateInterfaceError,
    SandboxError,
    SandboxExistsError,
    UnusedCapabilityError,
    UnusedCapabilityWarning,
)
from .folder import LoadReport
from .manager import Networks
from .plan import Planned
from .result import Address, AttachmentStatus, Interface, SetupResult
from .sandbox import NetworkSelection, Pod, Sandbox

__all__ = [
    "Address",
    "AttachmentStatus",
    "DuplicateInterfaceError",
    "Interface",
    "LoadReport",
    "NetworkSelection",
    "Networks",
    "Planned",
    "Pod",
    "Sandbox",
    "SandboxError",
    "SandboxExistsError",
    "SetupResult",
    "UnusedCapabilityError",
    "UnusedCapabilityWarning",
]

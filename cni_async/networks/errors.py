"""Errors of sandboxes: what is asked for cannot be done, and no plugin was called."""

from __future__ import annotations

from cni_async.errors import CNIError


class SandboxError(CNIError, ValueError):
    """A sandbox cannot be attached as it asks for; no plugin was called.

    Attributes:
        container_id: the sandbox's ID.
    """

    def __init__(self, text: str = "", *, container_id: str = "") -> None:
        super().__init__(text)
        self.container_id: str = container_id


class DuplicateInterfaceError(SandboxError):
    """Two attachments of a sandbox would have one interface name."""


class SandboxExistsError(SandboxError):
    """A sandbox with this ID is attached already."""


class UnusedCapabilityError(SandboxError):
    """A sandbox has a capability arg that no plugin of the network would receive."""


class UnusedCapabilityWarning(UserWarning):
    """A capability arg reaches no plugin, so that e.g. a port mapping has no effect."""

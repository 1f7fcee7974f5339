"""A sandbox: its namespace, and the networks that it is to be attached to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from cni_async import _arguments


class Pod(msgspec.Struct, frozen=True):
    """The Kubernetes pod of a sandbox, for plugins that ask the API server about it.

    Attributes:
        namespace: the pod's namespace.
        name: the pod's name.
        uid: the pod's UID.
        annotations: the pod's annotations, for plugins with the capability
            ``io.kubernetes.cri.pod-annotations``.
    """

    namespace: str
    name: str
    uid: str = ""
    annotations: Mapping[str, str] = {}


class _Selection(msgspec.Struct, frozen=True):
    """The part of `NetworkSelection` that is passed by position."""

    network: str


class NetworkSelection(_Selection, frozen=True, kw_only=True):
    """A network that a sandbox is to be attached to, and how (ocicni.NetAttachment).

    All but the network's name are keyword-only.

    Attributes:
        network: the network's name.
        ifname: the name of the interface in the sandbox; `None` for the next free one.
        ips: addresses to ask for, through the capability ``ips`` if a plugin of the network
            declares it, else as ``IP`` in CNI_ARGS.
        mac: hardware address to ask for, through the capability ``mac`` or as ``MAC``.
        args: pairs for CNI_ARGS, after those of the sandbox; pairs or a mapping.
        capability_args: values for capabilities; they replace those of the sandbox.

    Raises:
        TypeError: a value has the wrong type.
    """

    ifname: str | None = None
    ips: tuple[str, ...] = ()
    mac: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = {}

    if TYPE_CHECKING:  # accepts more types than are stored

        def __init__(
            self,
            network: str,
            *,
            ifname: str | None = None,
            ips: Iterable[object] = (),
            mac: str | None = None,
            args: Mapping[str, str] | Iterable[tuple[str, str]] = (),
            capability_args: Mapping[str, Any] = {},
        ) -> None: ...

    def __post_init__(self) -> None:
        _arguments.require_text(self.network, "network")
        _arguments.require(self.ifname, str | None, "ifname")
        _arguments.require(self.mac, str | None, "mac")
        force_setattr(self, "ips", tuple(map(str, _arguments.instances(self.ips, object, "ips"))))
        force_setattr(self, "args", _arguments.pairs(self.args, "args"))
        _arguments.require(self.capability_args, Mapping, "capability_args")


class _Sandbox(msgspec.Struct, frozen=True):
    """The part of `Sandbox` that is passed by position."""

    container_id: str
    netns: str
    selections: tuple[NetworkSelection, ...] = ()


class Sandbox(_Sandbox, frozen=True, kw_only=True):
    """A container, a microVM or a pod, with its network namespace (ocicni.PodNetwork).

    Attributes:
        container_id: its ID, which is the container ID of all its attachments.
        netns: the path of its network namespace; a string or path, stored as a string.
        selections: the networks to attach it to, in this order; empty for the default ones.
        args: pairs for CNI_ARGS of every network; pairs or a mapping.
        capability_args: values for capabilities of every network.
        kubernetes: its pod, if it is one.

    Raises:
        TypeError: a value has the wrong type.
    """

    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = {}
    kubernetes: Pod | None = None

    if TYPE_CHECKING:  # accepts more types than are stored

        def __init__(
            self,
            container_id: str,
            netns: str | os.PathLike[str],
            selections: Iterable[NetworkSelection] = (),
            *,
            args: Mapping[str, str] | Iterable[tuple[str, str]] = (),
            capability_args: Mapping[str, Any] = {},
            kubernetes: Pod | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        _arguments.require_text(self.container_id, "container_id")
        force_setattr(self, "netns", _arguments.path(self.netns, "netns"))
        selections = _arguments.instances(self.selections, NetworkSelection, "selections")
        force_setattr(self, "selections", selections)
        force_setattr(self, "args", _arguments.pairs(self.args, "args"))
        _arguments.require(self.capability_args, Mapping, "capability_args")
        _arguments.require(self.kubernetes, Pod | None, "kubernetes")

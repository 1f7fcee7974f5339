"""The attachments of a sandbox: which network, which interface name, which args."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from cni_async.conf import NetworkConfigList
from cni_async.model.runtime import RuntimeConf
from cni_async.operations.validation import enabled_capabilities
from cni_async.validate import validate_container_id, validate_interface_name

from .errors import DuplicateInterfaceError, UnusedCapabilityError, UnusedCapabilityWarning
from .sandbox import NetworkSelection, Pod, Sandbox

Unused: TypeAlias = Literal["warn", "error", "ignore"]
Pairs: TypeAlias = tuple[tuple[str, str], ...]

# CRI's name for the annotations of a pod (containerd, cri-o).
_ANNOTATIONS: Final = "io.kubernetes.cri.pod-annotations"
# Plugins that know the args of Kubernetes ignore others only if asked to.
_IGNORE: Final = ("IgnoreUnknown", "1")


class Planned(msgspec.Struct, frozen=True):
    """An attachment that is to be made.

    Attributes:
        net: the network.
        rt: the runtime configuration of the attachment.
    """

    net: NetworkConfigList
    rt: RuntimeConf


class Planner(msgspec.Struct, frozen=True):
    """Plans the attachments of sandboxes; calls no plugin.

    Attributes:
        prefix: the start of the interface names that sandboxes do not choose.
        unused: what happens if a capability arg reaches no plugin.
        reserved: interface names that no attachment may have.
    """

    prefix: str = "eth"
    unused: Unused = "warn"
    reserved: frozenset[str] = frozenset({"lo"})

    def plan(
        self,
        sandbox: Sandbox,
        selections: Sequence[NetworkSelection],
        find: Callable[[str], NetworkConfigList],
        taken: Iterable[str] = (),
    ) -> list[Planned]:
        """Return the attachments of a sandbox, in the order of the selections.

        Args:
            sandbox: the sandbox.
            selections: its networks.
            find: returns a network by its name.
            taken: interface names that the sandbox has already.

        Raises:
            NotFoundError: a network is unknown.
            InvalidIdentifierError: the ID or an interface name cannot be used.
            DuplicateInterfaceError: two attachments would have one interface name.
            UnusedCapabilityError: a capability arg reaches no plugin.
        """
        validate_container_id(sandbox.container_id)
        networks = [find(selection.network) for selection in selections]
        names = self._interface_names(sandbox, selections, frozenset(taken))
        self._check_capabilities(sandbox, selections, networks)
        return [
            self._attachment(sandbox, selection, net, name)
            for selection, net, name in zip(selections, networks, names, strict=True)
        ]

    def _interface_names(
        self, sandbox: Sandbox, selections: Sequence[NetworkSelection], taken: frozenset[str]
    ) -> list[str]:
        """Return a name for each selection: its own, or the first free one with the prefix."""
        claimed = set(taken)
        for selection in selections:
            name = selection.ifname
            if name is None:
                continue
            validate_interface_name(name)
            if name in claimed or name in self.reserved:
                raise DuplicateInterfaceError(
                    f"sandbox {sandbox.container_id} has two interfaces {name}",
                    container_id=sandbox.container_id,
                )
            claimed.add(name)
        names: list[str] = []
        number = 0
        for selection in selections:
            name = selection.ifname
            while name is None:
                candidate = f"{self.prefix}{number}"
                number += 1
                if candidate not in claimed:
                    name = candidate
            names.append(name)
        return names

    def _attachment(
        self, sandbox: Sandbox, selection: NetworkSelection, net: NetworkConfigList, ifname: str
    ) -> Planned:
        declared = enabled_capabilities(net.plugins)
        args = [*_pod_args(sandbox), *sandbox.args, *selection.args]
        capability_args: dict[str, Any] = {**sandbox.capability_args, **selection.capability_args}
        if sandbox.kubernetes is not None and _ANNOTATIONS in declared:
            capability_args.setdefault(_ANNOTATIONS, dict(sandbox.kubernetes.annotations))
        asked: dict[str, tuple[str, object, str]] = {}
        if selection.ips:
            asked["ips"] = ("IP", list(selection.ips), selection.ips[0])
        if selection.mac:
            asked["mac"] = ("MAC", selection.mac, selection.mac)
        for capability, (key, value, text) in asked.items():
            if capability in declared:
                capability_args[capability] = value
            else:
                args += [_IGNORE, (key, text)]
        return Planned(
            net,
            RuntimeConf(
                sandbox.container_id,
                sandbox.netns,
                ifname,
                args=_last_of_each(args),
                capability_args=capability_args,
            ),
        )

    def _check_capabilities(
        self,
        sandbox: Sandbox,
        selections: Sequence[NetworkSelection],
        networks: Sequence[NetworkConfigList],
    ) -> None:
        """Warn or fail if a capability arg reaches no plugin.

        Those of a selection are for its network, those of the sandbox for whichever declares them.
        """
        if self.unused == "ignore":
            return
        declared = [enabled_capabilities(net.plugins) for net in networks]
        unused = [
            f"{name} for network {selection.network}"
            for selection, known in zip(selections, declared, strict=True)
            for name in selection.capability_args
            if name not in known
        ]
        anywhere = {name for known in declared for name in known}
        unused += [name for name in sandbox.capability_args if name not in anywhere]
        if not unused:
            return
        text = (
            f"sandbox {sandbox.container_id}: no plugin declares the capability "
            f"{', '.join(unused)}; the value has no effect"
        )
        if self.unused == "error":
            raise UnusedCapabilityError(text, container_id=sandbox.container_id)
        warnings.warn(text, UnusedCapabilityWarning, stacklevel=2)


def _pod_args(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return the args that CRI runtimes pass for a pod, in their order."""
    pod: Pod | None = sandbox.kubernetes
    if pod is None:
        return []
    return [
        _IGNORE,
        ("K8S_POD_NAMESPACE", pod.namespace),
        ("K8S_POD_NAME", pod.name),
        ("K8S_POD_INFRA_CONTAINER_ID", sandbox.container_id),
        ("K8S_POD_UID", pod.uid),
    ]


def _last_of_each(args: Iterable[tuple[str, str]]) -> Pairs:
    """Return pairs with each key once: at its first place, with its last value."""
    found: Mapping[str, str] = dict(args)
    return tuple(found.items())

"""Networks whose plugins and cache are fakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cni_async.networks import Networks, NetworkSelection, Sandbox
from tests.support.chains import Runtime, network, runtime

BLUE = "/run/netns/blue"


class Node:
    """Three networks: a and b of two plugins each, c of one; `runtime` has what they saw."""

    def __init__(
        self, answers: Mapping[tuple[str, str], Any] | None = None, **options: Any
    ) -> None:
        fakes = {name: options.pop(name) for name in ("missing", "fail_on") if name in options}
        self.runtime: Runtime = runtime(answers, **fakes)
        networks = [
            network("a1", "a2", name="a"),
            network({"type": "b1", "capabilities": {"ips": True, "mac": True}}, "b2", name="b"),
            network({"type": "c1", "capabilities": {"portMappings": True}}, name="c"),
        ]
        self.nets = Networks.of(networks, cni=self.runtime.cni, **options)

    @property
    def order(self) -> list[str]:
        """The calls of plugins, with the interface, as in "a1 ADD eth0"."""
        return [
            f"{call.plugin} {call.command} {call.environ['CNI_IFNAME']}".rstrip()
            for call in self.runtime.exec.calls
        ]

    def forget(self) -> None:
        """Forget the calls so far."""
        self.runtime.exec.calls.clear()


def box(*names: str | NetworkSelection, container_id: str = "c1", **more: Any) -> Sandbox:
    """Return a sandbox on networks, given by name or as selections."""
    selections = [NetworkSelection(each) if isinstance(each, str) else each for each in names]
    return Sandbox(container_id, BLUE, selections, **more)

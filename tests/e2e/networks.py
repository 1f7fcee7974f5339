"""Network configurations of the end-to-end tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from cni_async import NetworkConfigList, conf_list_from_bytes
from cni_async.capabilities import Bandwidth, PortMapping, capability_args

from .host import Host

SUBNET: Final = "10.89.0.0/24"
SUBNET6: Final = "fd00:89::/64"

PORTMAP: Final = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL: Final = {"type": "firewall"}
BANDWIDTH: Final = {"type": "bandwidth", "capabilities": {"bandwidth": True}}

# So that portmap and bandwidth have something to do.
CAPABILITY_ARGS: Final = capability_args(
    port_mappings=[PortMapping(host_port=8080, container_port=80, protocol="tcp")],
    bandwidth=Bandwidth(
        ingress_rate=80_000_000,
        ingress_burst=8_000_000,
        egress_rate=80_000_000,
        egress_burst=8_000_000,
    ),
)


def network(
    *plugins: Mapping[str, Any], name: str = "net", cni_version: str = "1.1.0", **more: Any
) -> NetworkConfigList:
    """Return the network with these plugins."""
    document = {"cniVersion": cni_version, "name": name, **more, "plugins": plugins}
    return conf_list_from_bytes(json.dumps(document).encode())


def bridge(host: Host, *subnets: str, **more: Any) -> dict[str, Any]:
    """Configure bridge, with an address of each subnet and a default route through the host."""
    subnets = subnets or (SUBNET,)
    routes = [{"dst": "::/0" if ":" in subnet else "0.0.0.0/0"} for subnet in subnets]
    return {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": host.host_local(*subnets, routes=routes),
        **more,
    }


def simple(host: Host, **more: Any) -> NetworkConfigList:
    """Return a network of a bridge alone."""
    return network(bridge(host), **more)


def full(host: Host, *subnets: str, firewall: bool = True, **more: Any) -> NetworkConfigList:
    """Return a network with every plugin that is made to be chained.

    Firewall comes last, and not at all where it could be cancelled in the middle: it learns the
    addresses whose rules to remove from prevResult, which is there after a complete ADD only.
    """
    tuning = host.tuning(mtu=1400, sysctl={"net.core.somaxconn": "500"})
    plugins = [bridge(host, *subnets, ipMasq=True), PORTMAP, tuning, BANDWIDTH]
    return network(*plugins, *([FIREWALL] if firewall else []), **more)


def sturdy(host: Host, **more: Any) -> NetworkConfigList:
    """Return a network that can be left altogether when the container's interface is gone.

    Not so those with the masquerading of bridge, or with tuning, which then leave a rule and a
    note of the interface's former settings.
    """
    return network(bridge(host), PORTMAP, BANDWIDTH, FIREWALL, **more)

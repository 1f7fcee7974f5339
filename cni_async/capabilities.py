"""The well-known capability arguments, typed (CNI CONVENTIONS, "Well-known Capabilities").

A runtime passes them in `RuntimeConf.capability_args`; a plugin gets those that its configuration
has a capability for, as ``runtimeConfig``::

    ports = [PortMapping(host_port=8080, container_port=80, protocol="tcp")]
    rt = RuntimeConf("c1", netns, "eth0", capability_args=capability_args(port_mappings=ports))
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

import msgspec

__all__ = ["Bandwidth", "DNSConfig", "IPRange", "PortMapping", "capability_args"]


class PortMapping(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"host_port": "hostPort", "container_port": "containerPort", "host_ip": "hostIP"},
):
    """A port of the host that is forwarded to the container (``portMappings``).

    Attributes:
        host_port: the port on the host.
        container_port: the port in the container.
        protocol: "tcp", "udp" or "sctp".
        host_ip: the host's address to listen on; empty means all.
    """

    host_port: int
    container_port: int
    protocol: str
    host_ip: str = ""


class Bandwidth(msgspec.Struct, frozen=True, rename="camel"):
    """Limits of an interface's traffic (``bandwidth``); a rate and its burst go together.

    Attributes:
        ingress_rate: bits per second towards the container; 0 means no limit.
        ingress_burst: bits.
        egress_rate: bits per second from the container; 0 means no limit.
        egress_burst: bits.
    """

    ingress_rate: int = 0
    ingress_burst: int = 0
    egress_rate: int = 0
    egress_burst: int = 0


class IPRange(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A range of addresses to allocate from (in ``ipRanges``).

    Attributes:
        subnet: the subnet, with its prefix length.
        range_start: the first address, if not the subnet's first.
        range_end: the last address, if not the subnet's last.
        gateway: the gateway's address, if not the subnet's first.
    """

    subnet: str
    range_start: str = ""
    range_end: str = ""
    gateway: str = ""


class DNSConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings of the container's resolver (``dns``); a result's DNS has other keys.

    Attributes:
        servers: addresses of name servers.
        searches: domains in which the resolver looks up short names.
        options: the resolver's options.
    """

    servers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[str] = ()


def capability_args(
    *,
    port_mappings: Sequence[PortMapping] | None = None,
    bandwidth: Bandwidth | None = None,
    ip_ranges: Sequence[Sequence[IPRange]] | None = None,
    dns: DNSConfig | None = None,
    ips: Sequence[str | IPv4Address | IPv6Address | IPv4Interface | IPv6Interface] | None = None,
    mac: str | None = None,
    infiniband_guid: str | None = None,
    device_id: str | None = None,
    aliases: Sequence[str] | None = None,
    cgroup_path: str | None = None,
) -> dict[str, Any]:
    """Return well-known capability arguments by name, for `RuntimeConf`.

    Args:
        port_mappings: ports of the host that are forwarded to the container.
        bandwidth: limits of the interface's traffic.
        ip_ranges: for each address to allocate, the ranges to take it from.
        dns: the resolver's settings.
        ips: addresses to allocate; some plugins require a prefix length.
        mac: the interface's hardware address.
        infiniband_guid: the interface's InfiniBand GUID.
        device_id: the ID of the device to use, e.g. a PCI address.
        aliases: names for the container's addresses.
        cgroup_path: the cgroup of the container's pod.

    Returns:
        the arguments that are not `None`.
    """
    values = {
        "portMappings": port_mappings,
        "bandwidth": bandwidth,
        "ipRanges": ip_ranges,
        "dns": dns,
        "ips": None if ips is None else [str(ip) for ip in ips],
        "mac": mac,
        "infinibandGUID": infiniband_guid,
        "deviceID": device_id,
        "aliases": aliases,
        "cgroupPath": cgroup_path,
    }
    return {name: value for name, value in values.items() if value is not None}

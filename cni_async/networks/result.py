"""The outcome of a setup: interfaces with addresses, routes and DNS, in order."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Literal

import msgspec

from cni_async.errors import CNIError, ResultError
from cni_async.types import DNS, Result, Route


class Address(msgspec.Struct, frozen=True):
    """An address of a sandbox.

    Attributes:
        interface: the address with its prefix length.
        gateway: the gateway of its network, or `None`.
    """

    interface: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None = None


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of a sandbox (go-cni's Config).

    Attributes:
        network: the network that it belongs to.
        name: its name in the sandbox.
        mac: its hardware address, or empty.
        mtu: the size of its largest packet in bytes; 0 if the result does not have it.
        addresses: its addresses, in the order of the result.
        sandbox: the network namespace that the result names.
        socket_path: the path of its socket, for interfaces in user space.
        pci_id: the ID of the device behind it.
    """

    network: str
    name: str
    mac: str = ""
    mtu: int = 0
    addresses: tuple[Address, ...] = ()
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


class SetupResult(msgspec.Struct, frozen=True):
    """The attachments of a sandbox (go-cni's Result).

    Attributes:
        results: the result of each attachment by network and interface name, in the order in which
            they were made.
    """

    results: Mapping[tuple[str, str], Result]

    @property
    def interfaces(self) -> list[Interface]:
        """The interfaces in the sandbox, in order; the first is the primary one."""
        return [one for key, result in self.results.items() for one in _interfaces(*key, result)]

    @property
    def routes(self) -> list[Route]:
        """The routes of all networks, in order."""
        return [route for result in self.results.values() for route in result.view().routes]

    @property
    def dns(self) -> DNS:
        """The resolver settings of all networks; the first domain counts."""
        merged = DNS()
        for result in self.results.values():
            dns = result.view().dns
            merged.domain = merged.domain or dns.domain
            for have, more in (
                (merged.nameservers, dns.nameservers),
                (merged.search, dns.search),
                (merged.options, dns.options),
            ):
                have += [each for each in more if each not in have]
        return merged

    def __getitem__(self, ifname: str) -> Interface:
        """Return the interface of that name.

        Raises:
            KeyError: the sandbox has no such interface.
        """
        for interface in self.interfaces:
            if interface.name == ifname:
                return interface
        raise KeyError(ifname)

    def ip(
        self, prefer: Literal["ipv4", "ipv6", "cni"] = "ipv4"
    ) -> IPv4Address | IPv6Address | None:
        """Return the address of the primary interface, or `None` if it has none.

        Args:
            prefer: the family to choose if the interface has both; "cni" for the first address of
                the result, whichever it is (containerd's ``ip_pref``).
        """
        addresses = [each.interface.ip for one in self.interfaces[:1] for each in one.addresses]
        version = {"ipv4": 4, "ipv6": 6, "cni": None}[prefer]
        preferred = [each for each in addresses if version in {None, each.version}]
        return next(iter([*preferred, *addresses]), None)


def _interfaces(network: str, ifname: str, result: Result) -> list[Interface]:
    """Return the interfaces in the sandbox that a result has.

    A result of the oldest versions names none: its addresses are those of `ifname`.
    """
    try:
        view = result.view()
    except ResultError:
        return []
    inside = [
        (index, one)
        for index, one in enumerate(view.interfaces)
        if one.sandbox or one.name == ifname
    ]
    everywhere = tuple(
        Address(each.address, each.gateway) for each in view.ips if each.interface is None
    )
    if not inside:
        return [Interface(network=network, name=ifname, addresses=everywhere)]
    return [
        Interface(
            network=network,
            name=one.name,
            mac=one.mac,
            mtu=one.mtu,
            addresses=tuple(
                Address(each.address, each.gateway) for each in view.ips if each.interface == index
            )
            + (everywhere if one.name == ifname else ()),
            sandbox=one.sandbox,
            socket_path=one.socket_path,
            pci_id=one.pci_id,
        )
        for index, one in inside
    ]


class AttachmentStatus(msgspec.Struct, frozen=True):
    """An attachment of a sandbox, and whether it is as its ADD left it.

    Attributes:
        network: the network's name.
        ifname: the name of the interface.
        result: the result of the ADD; `None` if the record has none.
        error: what CHECK has found, or why it could not be called; `None` if all is well.
    """

    network: str
    ifname: str
    result: Result | None = None
    error: CNIError | None = None

"""The network of a microVM, from the result of its ADD (firecracker-go-sdk's ``cni/vmconf``).

A plugin such as tc-redirect-tap adds two interfaces of one name to the result: the tap device,
whose ``sandbox`` is the network namespace in which the VM's monitor runs, and the interface that
the guest will have, whose ``sandbox`` is the container ID. The guest has exactly one address.

>>> async def run(cni, net, rt):
...     device = tap(await cni.add_network_list(net, rt), rt.container_id)
...     print(device.netns, device.as_firecracker(), device.ip_boot_param())
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

import msgspec

from .errors import ResultError
from .types import DNS, Result, Route
from .types.v100 import Interface

# A colon or a space would end the field or the parameter.
_FIELD: Final = re.compile(r"[^:\s]*")


class Tap(msgspec.Struct, frozen=True, kw_only=True):
    """A tap device, and the configuration of the guest's interface behind it.

    Attributes:
        name: the name of the tap device.
        netns: the path of the network namespace that has the tap device: start the VM's monitor
            there.
        mac: the hardware address of the guest's interface.
        mtu: the size of its largest packet in bytes; 0 if the result does not have it. Then
            `netns.at(tap.netns).interfaces()` has that of the tap device.
        address: the guest's address with its prefix length.
        gateway: the guest's default gateway, or `None`.
        routes: the guest's routes.
        dns: the guest's resolver settings.
    """

    name: str
    netns: str
    mac: str
    mtu: int
    address: IPv4Interface | IPv6Interface
    gateway: IPv4Address | IPv6Address | None
    routes: tuple[Route, ...]
    dns: DNS

    def ip_boot_param(self, hostname: str = "", device: str = "eth0") -> str:
        """Return the value of the guest kernel's parameter ``ip=`` (nfsroot.txt).

        The kernel takes no routes, no search domains and only the first two IPv4 name servers from
        it; it writes these to /proc/net/pnp.

        Args:
            hostname: the guest's name.
            device: the guest's interface.

        Raises:
            ResultError: the address is not an IPv4 address, which is all that the kernel takes.
            ValueError: `hostname` or `device` holds a colon or white space.
        """
        for name, value in (("hostname", hostname), ("device", device)):
            if not _FIELD.fullmatch(value):
                raise ValueError(f"{name} must not hold a colon or white space: {value!r}")
        if not isinstance(self.address, IPv4Interface):
            raise ResultError(f"the kernel parameter ip= takes no IPv6 address: {self.address}")
        servers = [each for each in self.dns.nameservers if ":" not in each][:2]
        gateway = self.gateway if isinstance(self.gateway, IPv4Address) else ""
        fields = [self.address.ip, "", gateway, self.address.netmask, hostname, device, "off"]
        return ":".join(map(str, [*fields, *servers, *[""] * (3 - len(servers))]))

    def as_firecracker(self, iface_id: str = "eth0") -> dict[str, str]:
        """Return the body of Firecracker's ``PUT /network-interfaces/{iface_id}``."""
        guest_mac = {"guest_mac": self.mac} if self.mac else {}
        return {"iface_id": iface_id, "host_dev_name": self.name, **guest_mac}


def tap(result: Result, container_id: str) -> Tap:
    """Return the tap device in a result, and what the guest is to be configured with.

    Args:
        result: ADD's result, of any version that has interfaces.
        container_id: the container ID of the ADD.

    Raises:
        ResultError: the result does not have exactly one interface of the guest, one tap device of
            the same name in a network namespace, and one address of the guest.
    """
    view = result.view()
    guests = [each for each in view.interfaces if each.sandbox == container_id]
    if len(guests) != 1:
        raise ResultError(
            f'the result has {len(guests)} VM interfaces (with sandbox "{container_id}"), not 1'
        )
    [guest] = guests
    taps = [each for each in view.interfaces if each is not guest and each.name == guest.name]
    if len(taps) != 1:
        raise ResultError(f'the result has {len(taps)} tap devices "{guest.name}", not 1')
    [device] = taps
    if not device.sandbox:
        raise ResultError(f'tap device "{guest.name}" is in no network namespace')
    configs = [each for each in view.ips if _interface(view.interfaces, each.interface) is guest]
    if len(configs) != 1:
        raise ResultError(f'VM interface "{guest.name}" has {len(configs)} addresses, not 1')
    [config] = configs
    return Tap(
        name=device.name,
        netns=device.sandbox,
        mac=guest.mac,
        mtu=guest.mtu or device.mtu,
        address=config.address,
        gateway=config.gateway,
        routes=tuple(view.routes),
        dns=view.dns,
    )


def _interface(interfaces: list[Interface], index: int | None) -> Interface | None:
    return interfaces[index] if index is not None and 0 <= index < len(interfaces) else None

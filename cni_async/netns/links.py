"""The interfaces of a network namespace, asked for over netlink (rtnetlink(7)).

/sys/class/net would show the namespace of its mount, and /proc/net that of the main thread.
"""

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

import msgspec

# include/uapi/linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h
_NLM_F_REQUEST: Final = 1
_NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_RTM_GETLINK: Final = 18
_RTM_GETADDR: Final = 22
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFF_UP: Final = 1
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, sender
_LINK: Final = struct.Struct("=BxHiII")  # family, hardware type, index, flags, changed flags
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
# The kernel sends at most this many bytes at once.
_MOST: Final = 64 * 1024
# How often to ask again if interfaces change during the answer.
_ATTEMPTS: Final = 10


class InterfaceState(msgspec.Struct, frozen=True, kw_only=True):
    """An interface as it is in a network namespace.

    Attributes:
        name: its name.
        index: its number in the namespace.
        mac: its hardware address, empty if it has none.
        mtu: the size of its largest packet, in bytes.
        up: whether it is enabled.
        addresses: its addresses with their prefix lengths.
    """

    name: str
    index: int
    mac: str = ""
    mtu: int = 0
    up: bool = False
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()


def interfaces() -> list[InterfaceState]:
    """Return the interfaces of this thread's network namespace, in the order of their indexes.

    Raises:
        OSError: the kernel refused to answer.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        addresses: dict[int, list[IPv4Interface | IPv6Interface]] = {}
        links = _dump(kernel, _RTM_GETLINK, _LINK.size)
        for body in _dump(kernel, _RTM_GETADDR, _ADDRESS.size):
            family, prefix, _, _, index = _ADDRESS.unpack_from(body)
            found = _attributes(body, _ADDRESS.size)
            # On a point-to-point interface IFA_ADDRESS is the peer's.
            raw = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
            if raw is None:
                continue
            if family == socket.AF_INET:
                addresses.setdefault(index, []).append(IPv4Interface((IPv4Address(raw), prefix)))
            elif family == socket.AF_INET6:
                addresses.setdefault(index, []).append(IPv6Interface((IPv6Address(raw), prefix)))
    return sorted((_interface(body, addresses) for body in links), key=lambda one: one.index)


def _interface(
    body: bytes, addresses: dict[int, list[IPv4Interface | IPv6Interface]]
) -> InterfaceState:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = _attributes(body, _LINK.size)
    return InterfaceState(
        name=found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "surrogateescape"),
        index=index,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=int.from_bytes(found.get(_IFLA_MTU, b""), "little" if _IS_LITTLE else "big"),
        up=bool(flags & _IFF_UP),
        addresses=tuple(addresses.get(index, ())),
    )


_IS_LITTLE: Final = struct.pack("=H", 1)[0] == 1


def _dump(kernel: socket.socket, question: int, size: int) -> list[bytes]:
    """Ask for all objects of a kind; return the bodies of the messages."""
    request = _HEADER.pack(_HEADER.size + size, question, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    bodies: list[bytes] = []
    for _ in range(_ATTEMPTS):
        kernel.send(request + bytes(size))
        bodies.clear()
        is_consistent = True
        for kind, flags, body in _messages(kernel):
            is_consistent &= not flags & _NLM_F_DUMP_INTR
            if kind != _NLMSG_DONE:
                bodies.append(body)
        if is_consistent:
            break
    return bodies


def _messages(kernel: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each message of an answer, the last one included."""
    while True:
        data = kernel.recv(_MOST)
        while data:
            length, kind, flags, _, _ = _HEADER.unpack_from(data)
            body = data[_HEADER.size : length]
            if kind == _NLMSG_ERROR:
                [code] = struct.unpack_from("=i", body)
                raise OSError(-code, "netlink refuses to list interfaces")
            yield kind, flags, body
            if kind == _NLMSG_DONE:
                return
            data = data[_aligned(length) :]


def _attributes(body: bytes, start: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while start + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        found[kind] = body[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3

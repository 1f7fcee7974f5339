"""The parts that all families of results share: addresses, routes, DNS, the Result protocol."""

import re
from abc import ABC
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from cni_async.errors import ResultError

if TYPE_CHECKING:
    from . import v100

    IPAddress: TypeAlias = IPv4Address | IPv6Address
    CIDR: TypeAlias = IPv4Interface | IPv6Interface
else:
    # msgspec wants one class for them, not two, to read a struct with addresses by itself.

    class IPAddress(ABC):  # noqa: B024 - it is for isinstance()
        """An IPv4Address or an IPv6Address."""

    class CIDR(ABC):  # noqa: B024
        """An IPv4Interface or an IPv6Interface."""

    for _cls in (IPv4Address, IPv6Address):
        IPAddress.register(_cls)
    for _cls in (IPv4Interface, IPv6Interface):
        CIDR.register(_cls)

# Go's int on every machine that plugins run on.
Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# int() would take signs, spaces, underscores and other digits too.
_PREFIX: Final = re.compile(r"0*([0-9]{1,3})")
# ::ffff:0:0/96 holds the IPv4 addresses.
_MAPPED_BITS: Final = 96


@runtime_checkable
class Result(Protocol):
    """The result of a plugin's ADD, in one of the three families of versions (types.Result)."""

    @property
    def version(self) -> str:
        """The CNI version it is written in."""
        ...

    def get_as_version(self, version: str, /) -> "Result":
        """Convert it to another CNI version (Result.GetAsVersion).

        Raises:
            ResultError: no such conversion exists.
        """
        ...

    def view(self) -> "v100.Result":
        """Return the result in the newest version, to read addresses, routes and DNS from.

        Raises:
            ResultError: no conversion from its version exists.
        """
        ...

    def to_json(self, indent: int | None = None) -> str:
        """Write it as JSON (Result.PrintTo)."""
        ...


@lru_cache(maxsize=4096)
def parse_cidr(text: str) -> CIDR:
    """Read an address with its prefix, keeping the host bits (types.ParseCIDR).

    An IPv4 address in IPv6 clothes becomes the IPv4 address.

    Raises:
        ResultError: it is something else, netmasks and zones included.
    """
    host, _, digits = text.partition("/")
    prefix = _PREFIX.fullmatch(digits)
    try:
        if prefix is not None and (address := _strict_ip(host)) is not None:
            return _interface(address, int(prefix[1]))
    except ValueError:
        pass
    raise ResultError(f"invalid CIDR address: {text}")


@lru_cache(maxsize=4096)
def parse_ip(text: str) -> IPAddress | None:
    """Read an address; the empty string stands for none (net.IP).

    Raises:
        ResultError: it is something else, prefixes and zones included.
    """
    if not text:
        return None
    try:
        if (address := _strict_ip(text)) is not None:
            return unmap(address)
    except ValueError:
        pass
    raise ResultError(f"invalid IP address: {text}")


def unmap(address: IPAddress) -> IPAddress:
    """Give the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def format_cidr(cidr: CIDR) -> str:
    """Write an address with its prefix as Go does (net.IPNet.String).

    Raises:
        ResultError: it has a zone, which no plugin could read.
    """
    # 3.13 writes mapped addresses in a form that others do not; results hold none.
    if isinstance(cidr, IPv6Interface):
        if cidr.scope_id is not None:
            raise ResultError(f"invalid CIDR address: {cidr}")
        if cidr.ipv4_mapped is not None:
            cidr = _interface(cidr.ip, cidr.network.prefixlen)
    return cidr.with_prefixlen


@lru_cache(maxsize=4096)
def format_ip(address: IPAddress) -> str:
    """Write an address as Go does (net.IP.String).

    Raises:
        ResultError: it has a zone, which no plugin could read.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ResultError(f"invalid IP address: {address}")
    return str(unmap(address))


def is_ipv4(cidr: CIDR) -> bool:
    """Tell the family of an address, one in IPv6 clothes counting as IPv4."""
    return isinstance(unmap(cidr.ip), IPv4Address)


def _strict_ip(text: str) -> IPAddress | None:
    if ":" not in text:
        return IPv4Address(text)
    return None if "%" in text else IPv6Address(text)


def _interface(address: IPAddress, prefix: int) -> CIDR:
    plain = unmap(address)
    if isinstance(plain, IPv6Address):
        return IPv6Interface((plain, prefix))
    if isinstance(address, IPv6Address):
        if not _MAPPED_BITS <= prefix <= _MAPPED_BITS + plain.max_prefixlen:
            # Go would print a prefix of 0 and widen the network to everything.
            raise ResultError(f"invalid CIDR address: {address}/{prefix}")
        prefix -= _MAPPED_BITS
    return IPv4Interface((plain, prefix))


class DNS(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Settings of a DNS resolver (types.DNS; CNI specification, section "Success").

    Attributes:
        nameservers: addresses, in the order of preference.
        domain: the local domain for short names.
        search: domains to look short names up in.
        options: for the resolver.
    """

    nameservers: list[str] = []
    domain: str = ""
    search: list[str] = []
    options: list[str] = []

    def is_empty(self) -> bool:
        """Tell whether nothing is set (DNS.IsEmpty)."""
        return not (self.nameservers or self.domain or self.search or self.options)


class Route(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A route that a plugin made or wants made (types.Route).

    Attributes:
        dst: the destination.
        gw: the next hop; None for the gateway of the interface's address, or none.
        mtu: along this route; 0 for unset.
        advmss: the maximal segment size to advertise; 0 for unset.
        priority: lower is preferred; 0 for unset.
        table: the routing table; None for the main one.
        scope: None for the kernel's choice.
    """

    dst: CIDR
    gw: IPAddress | None = None
    mtu: Int64 = 0
    advmss: Int64 = 0
    priority: Int64 = 0
    table: Int64 | None = None
    scope: Int64 | None = None

    def __str__(self) -> str:
        gw, table, scope = (
            "<nil>" if value is None else str(value) for value in (self.gw, self.table, self.scope)
        )
        mask = self.dst.netmask.packed.hex()
        return (
            f"{{Dst:{{IP:{self.dst.ip} Mask:{mask}}} GW:{gw} MTU:{self.mtu} AdvMSS:{self.advmss} "
            f"Priority:{self.priority} Table:{table} Scope:{scope}}}"
        )

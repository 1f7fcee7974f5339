"""Addresses, routes, DNS and the Result protocol, which all families of results share."""

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
    # msgspec accepts one custom class for a field, but not a union of two.

    class IPAddress(ABC):  # noqa: B024 - for isinstance()
        """An IPv4Address or an IPv6Address."""

    class CIDR(ABC):  # noqa: B024
        """An IPv4Interface or an IPv6Interface."""

    for _cls in (IPv4Address, IPv6Address):
        IPAddress.register(_cls)
    for _cls in (IPv4Interface, IPv6Interface):
        CIDR.register(_cls)

# Go's int on every machine that plugins run on.
Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# int() would also take signs, spaces, underscores and other digits.
_PREFIX: Final = re.compile(r"0*([0-9]{1,3})")
# IPv4-mapped addresses are in ::ffff:0:0/96.
_MAPPED_BITS: Final = 96


@runtime_checkable
class Result(Protocol):
    """The result of a plugin's ADD, in one of the three families of versions (types.Result)."""

    @property
    def version(self) -> str:
        """The CNI version of the result."""
        ...

    def get_as_version(self, version: str, /) -> "Result":
        """Convert the result to another CNI version (Result.GetAsVersion).

        Raises:
            ResultError: the result cannot be converted.
        """
        ...

    def view(self) -> "v100.Result":
        """Return the result in the newest version, for its addresses, routes and DNS.

        Raises:
            ResultError: the result cannot be converted.
        """
        ...

    def to_json(self, indent: int | None = None) -> str:
        """Return the result as JSON (Result.PrintTo), on one line unless `indent` is set."""
        ...


@lru_cache(maxsize=4096)
def parse_cidr(text: str) -> CIDR:
    """Parse an address with its prefix, and keep the host bits (types.ParseCIDR).

    An IPv4-mapped IPv6 address becomes the IPv4 address.

    Raises:
        ResultError: the text is not an address with a prefix length, or has a zone.
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
    """Parse an address; return `None` for the empty string (net.IP).

    Raises:
        ResultError: the text is not an address, or has a prefix or a zone.
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
    """Return the IPv4 address of an IPv4-mapped IPv6 address; any other address itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4096)
def format_cidr(cidr: CIDR) -> str:
    """Return an address with its prefix as Go writes it (net.IPNet.String).

    Raises:
        ResultError: the address has a zone, which plugins cannot parse.
    """
    # Go writes an IPv4-mapped address as IPv4. Python's form depends on its version.
    if isinstance(cidr, IPv6Interface):
        if cidr.scope_id is not None:
            raise ResultError(f"invalid CIDR address: {cidr}")
        if cidr.ipv4_mapped is not None:
            cidr = _interface(cidr.ip, cidr.network.prefixlen)
    return cidr.with_prefixlen


@lru_cache(maxsize=4096)
def format_ip(address: IPAddress) -> str:
    """Return an address as Go writes it (net.IP.String).

    Raises:
        ResultError: the address has a zone, which plugins cannot parse.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ResultError(f"invalid IP address: {address}")
    return str(unmap(address))


def is_ipv4(cidr: CIDR) -> bool:
    """Return whether an address is IPv4 or an IPv4-mapped IPv6 address."""
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
            # Go would print the prefix as 0: the network would be all of IPv4.
            raise ResultError(f"invalid CIDR address: {address}/{prefix}")
        prefix -= _MAPPED_BITS
    return IPv4Interface((plain, prefix))


class DNS(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """DNS settings (types.DNS; CNI specification, section "Success").

    Attributes:
        nameservers: addresses of the name servers, in order of preference.
        domain: the local domain, for short names.
        search: domains in which the resolver looks up short names.
        options: options of the resolver.
    """

    nameservers: list[str] = []
    domain: str = ""
    search: list[str] = []
    options: list[str] = []

    def is_empty(self) -> bool:
        """Return whether nothing is set (DNS.IsEmpty)."""
        return not (self.nameservers or self.domain or self.search or self.options)


class Route(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A route that a plugin made, or that it requests (types.Route).

    Attributes:
        dst: the destination.
        gw: the next hop; `None` means the gateway of the interface's address, if it has one.
        mtu: bytes; 0 means unset.
        advmss: the maximum segment size to advertise, in bytes; 0 means unset.
        priority: the metric; the lowest is preferred, and 0 means unset.
        table: number of the routing table; `None` means the main one.
        scope: number of the scope; `None` means that the kernel chooses.
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

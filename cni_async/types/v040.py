"""Results of CNI 0.3.0, 0.3.1 and 0.4.0, whose addresses have a version (types/040)."""

from copy import copy
from typing import Any, ClassVar, Final

import msgspec

from cni_async.errors import ResultError

from . import v020
from ._result import BaseResult, converter, copy_dns, copy_routes, copy_within_family, get_as
from .common import (
    CIDR,
    DNS,
    Int64,
    IPAddress,
    Result as AnyResult,
    Route,
    format_cidr,
    format_ip,
    is_ipv4,
)

IMPLEMENTED_SPEC_VERSION: Final = "0.4.0"
SUPPORTED_VERSIONS: Final = ("0.3.0", "0.3.1", "0.4.0")


class Interface(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A network interface (types040.Interface).

    Attributes:
        name: the name in its network namespace.
        mac: the hardware address.
        sandbox: the network namespace; empty for the host's.
    """

    name: str = msgspec.field(default_factory=str)  # a factory: `omit_defaults` would omit ""
    mac: str = ""
    sandbox: str = ""


class IPConfig(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An address (types040.IPConfig).

    Attributes:
        version: "4" or "6".
        address: the address with its prefix.
        gateway: the gateway of its network; `None` if it has none.
        interface: index of its interface in the result; `None` if it states none.
    """

    version: str
    address: CIDR
    gateway: IPAddress | None = None
    interface: Int64 | None = None


class Result(BaseResult):
    """A result of CNI 0.3.0, 0.3.1 or 0.4.0 (types040.Result).

    Attributes:
        cni_version: the CNI version of the result.
        interfaces: all interfaces of the attachment.
        ips: the addresses of the interfaces.
        routes: the routes that were made.
        dns: the DNS settings.
    """

    newest_version: ClassVar[str] = IMPLEMENTED_SPEC_VERSION

    interfaces: list[Interface] = []
    ips: list[IPConfig] = []
    routes: list[Route] = []
    dns: DNS = msgspec.field(default_factory=DNS)

    def _as_written(self) -> object:
        in_gos_order: Any = copy(self)
        in_gos_order.ips = [_in_gos_order(config) for config in self.ips]
        return in_gos_order


def _in_gos_order(config: IPConfig) -> dict[str, object]:
    """Return the fields in Go's order; in a struct the required fields have to come first."""
    fields: dict[str, object] = {"version": config.version}
    if config.interface is not None:
        fields["interface"] = config.interface
    fields["address"] = format_cidr(config.address)
    if config.gateway is not None:
        fields["gateway"] = format_ip(config.gateway)
    return fields


def get_result(result: AnyResult) -> Result:
    """Convert any result to 0.4.0 (types040.GetResult).

    Raises:
        ResultError: the result cannot be converted.
    """
    return get_as(result, Result)


converter(Result, SUPPORTED_VERSIONS, SUPPORTED_VERSIONS)(copy_within_family)


@converter(v020.Result, ("0.1.0", "0.2.0"), SUPPORTED_VERSIONS)
def _from_02x(result: v020.Result, version: str) -> Result:
    converted = Result(cni_version=version, dns=copy_dns(result.dns))
    # The key decides the version, even if the address has the other one.
    for ip_version, config in (("4", result.ip4), ("6", result.ip6)):
        if config is not None:
            converted.ips.append(IPConfig(ip_version, config.ip, config.gateway))
            converted.routes += copy_routes(config.routes)
    return converted


@converter(Result, SUPPORTED_VERSIONS, ("0.1.0", "0.2.0"))
def to_02x(result: Result, version: str) -> v020.Result:
    """Convert to 0.1.0 or 0.2.0: keep the first address of each version, and its routes.

    Raises:
        ResultError: the result has no address.
    """
    configs: dict[str, v020.IPConfig] = {}
    for config in result.ips:
        configs.setdefault(config.version, v020.IPConfig(config.address, config.gateway))
    ip4, ip6 = configs.get("4"), configs.get("6")
    if ip4 is None and ip6 is None:
        raise ResultError("cannot convert: no valid IP addresses")
    for route in result.routes:
        target = ip4 if is_ipv4(route.dst) else ip6
        if target is not None:
            target.routes.append(Route(route.dst, route.gw))
    return v020.Result(cni_version=version, ip4=ip4, ip6=ip6, dns=copy_dns(result.dns))

"""Results of CNI 0.1.0 and 0.2.0: at most one address of each kind (types/020)."""

from typing import ClassVar, Final

import msgspec

from ._result import BaseResult, converter, copy_dns, copy_routes, get_as
from .common import CIDR, DNS, IPAddress, Result as AnyResult, Route

IMPLEMENTED_SPEC_VERSION: Final = "0.2.0"
# A result without a version is 0.1.0.
SUPPORTED_VERSIONS: Final = ("", "0.1.0", "0.2.0")


class IPConfig(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An address with its gateway and routes (types020.IPConfig).

    Attributes:
        ip: the container's address with its prefix.
        gateway: the gateway of its network; `None` if it has none.
        routes: the routes that belong to the address.
    """

    ip: CIDR
    gateway: IPAddress | None = None
    routes: list[Route] = []


class Result(BaseResult):
    """A result of CNI 0.1.0 or 0.2.0 (types020.Result).

    Attributes:
        cni_version: the CNI version of the result.
        ip4: the IPv4 address.
        ip6: the IPv6 address.
        dns: the DNS settings.
    """

    newest_version: ClassVar[str] = IMPLEMENTED_SPEC_VERSION

    ip4: IPConfig | None = None
    ip6: IPConfig | None = None
    dns: DNS = msgspec.field(default_factory=DNS)


def get_result(result: AnyResult) -> Result:
    """Convert any result to 0.2.0 (types020.GetResult).

    Raises:
        ResultError: it has no address, or its version cannot be converted.
    """
    return get_as(result, Result)


@converter(Result, ("0.1.0",), ("0.2.0",))
@converter(Result, ("0.2.0",), ("0.1.0",))
def _between_02x(result: Result, version: str) -> Result:
    return Result(
        cni_version=version,
        ip4=_copy_ip(result.ip4),
        ip6=_copy_ip(result.ip6),
        dns=copy_dns(result.dns),
    )


def _copy_ip(config: IPConfig | None) -> IPConfig | None:
    if config is None:
        return None
    return IPConfig(config.ip, config.gateway, copy_routes(config.routes))

"""Results of CNI 1.0.0 and 1.1.0: addresses without a version (types/100)."""

from copy import copy
from typing import Any, ClassVar, Final

import msgspec

from . import v020, v040
from ._result import BaseResult, converter, copy_dns, copy_routes, copy_within_family, get_as
from .common import CIDR, DNS, Int64, IPAddress, Result as AnyResult, Route, is_ipv4

IMPLEMENTED_SPEC_VERSION: Final = "1.1.0"
SUPPORTED_VERSIONS: Final = ("1.0.0", "1.1.0")


class Interface(
    msgspec.Struct,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"socket_path": "socketPath", "pci_id": "pciID"},
):
    """A network interface (types100.Interface).

    Attributes:
        name: the name in its network namespace.
        mac: the hardware address.
        mtu: bytes; 0 means unknown.
        sandbox: the network namespace; empty for the host's.
        socket_path: path of the socket of an interface in user space.
        pci_id: PCI ID of the device of the interface.
    """

    name: str = msgspec.field(default_factory=str)  # a factory: `omit_defaults` would omit ""
    mac: str = ""
    mtu: Int64 = 0
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""


class IPConfig(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An address (types100.IPConfig).

    Attributes:
        address: the address with its prefix.
        gateway: the gateway of its network; `None` if it has none.
        interface: index of its interface in the result; `None` if it states none.
    """

    address: CIDR
    gateway: IPAddress | None = None
    interface: Int64 | None = None


class Result(BaseResult):
    """A result of CNI 1.0.0 or 1.1.0 (types100.Result).

    Attributes:
        cni_version: the CNI version of the result.
        interfaces: all interfaces of the attachment.
        ips: the addresses of the interfaces.
        routes: the routes that were made.
        dns: the DNS settings.
    """

    newest_version: ClassVar[str] = IMPLEMENTED_SPEC_VERSION
    sorts_keys: ClassVar[bool] = True

    interfaces: list[Interface] = []
    ips: list[IPConfig] = []
    routes: list[Route] = []
    dns: DNS = msgspec.field(default_factory=DNS)

    def _as_written(self) -> object:
        if not self.dns.is_empty():
            return self
        without_dns: Any = copy(self)
        without_dns.dns = msgspec.UNSET
        return without_dns


def get_result(result: AnyResult) -> Result:
    """Convert any result to 1.1.0 (types100.GetResult).

    Raises:
        ResultError: the result cannot be converted.
    """
    return get_as(result, Result)


converter(Result, SUPPORTED_VERSIONS, SUPPORTED_VERSIONS)(copy_within_family)


@converter(v040.Result, v040.SUPPORTED_VERSIONS, SUPPORTED_VERSIONS)
def _from_04x(result: v040.Result, version: str) -> Result:
    return Result(
        cni_version=version,
        interfaces=[
            Interface(interface.name, mac=interface.mac, sandbox=interface.sandbox)
            for interface in result.interfaces
        ],
        ips=[IPConfig(config.address, config.gateway, config.interface) for config in result.ips],
        routes=copy_routes(result.routes),
        dns=copy_dns(result.dns),
    )


@converter(v020.Result, ("0.1.0", "0.2.0"), SUPPORTED_VERSIONS)
def _from_02x(result: v020.Result, version: str) -> Result:
    return _from_04x(v040.get_result(result), version)


@converter(Result, SUPPORTED_VERSIONS, v040.SUPPORTED_VERSIONS)
def _to_04x(result: Result, version: str) -> v040.Result:
    return v040.Result(
        cni_version=version,
        interfaces=[
            v040.Interface(interface.name, interface.mac, interface.sandbox)
            for interface in result.interfaces
        ],
        ips=[
            v040.IPConfig(
                "4" if is_ipv4(config.address) else "6",
                config.address,
                config.gateway,
                config.interface,
            )
            for config in result.ips
        ],
        routes=copy_routes(result.routes),
        dns=copy_dns(result.dns),
    )


@converter(Result, SUPPORTED_VERSIONS, ("0.1.0", "0.2.0"))
def _to_02x(result: Result, version: str) -> v020.Result:
    return v040.to_02x(v040.get_result(result), version)

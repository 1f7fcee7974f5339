"""The base class of results, and the conversions between versions."""

from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

import msgspec

from cni_async.errors import ResultError
from cni_async.go import json as go_json

from . import _wire
from .common import DNS, Result, Route

if TYPE_CHECKING:
    from . import v100

_NEWEST: Final = "1.1.0"


class BaseResult(
    msgspec.Struct,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"cni_version": "cniVersion"},
):
    """The base class of the results of each family."""

    newest_version: ClassVar[str]
    sorts_keys: ClassVar[bool] = False

    cni_version: str = ""

    @property
    def version(self) -> str:
        """The CNI version of the result."""
        return self.cni_version

    def get_as_version(self, version: str, /) -> Result:
        """Convert the result to another CNI version (Result.GetAsVersion).

        Args:
            version: empty means 0.1.0. The result's own version returns the result, not a copy.

        Raises:
            ResultError: the conversion does not exist, or it needs an address and there is none.
        """
        return convert(self, version)

    def view(self) -> "v100.Result":
        """Return the result as 1.1.0 (types100.GetResult), for its addresses and routes.

        >>> result = create_result_from_bytes(b'{"ip4": {"ip": "10.1.0.5/16"}}')
        >>> [str(each.address) for each in result.view().ips]
        ['10.1.0.5/16']

        Returns:
            the result itself if it has version 1.1.0, else a copy.

        Raises:
            ResultError: the result cannot be converted.
        """
        return cast("v100.Result", convert(self, _NEWEST))

    def to_json(self, indent: int | None = None) -> str:
        """Return the result as JSON (Result.PrintTo).

        Args:
            indent: spaces per level (libcni prints 4); `None` means one line.

        Raises:
            ResultError: a value is not JSON, or an address has a zone, which plugins cannot parse.
        """
        data = _encode(self, _wire.SORTED if self.sorts_keys else _wire.AS_DECLARED)
        return (data if indent is None else go_json.indent(data, indent)).decode()

    def _as_written(self) -> object:
        """Return the object to encode as the result."""
        return self


def sorted_json(result: Result) -> bytes:
    """Return a result of any family as JSON, with the keys of all objects sorted.

    Raises:
        ResultError: the result cannot be encoded; see `BaseResult.to_json`.
    """
    if isinstance(result, BaseResult):
        return _encode(result, _wire.SORTED)
    return go_json.dumps(go_json.loads(result.to_json().encode()))  # the caller's own class


def _encode(result: BaseResult, encoder: msgspec.json.Encoder) -> bytes:
    try:
        return encoder.encode(result._as_written())  # pyright: ignore[reportPrivateUsage]
    except (TypeError, ValueError, OverflowError) as error:
        raise ResultError(f"cannot write result: {error}") from None


R = TypeVar("R", bound=BaseResult)
F = TypeVar("F", bound=Callable[[Any, str], Result])

_CONVERTERS: Final[
    dict[tuple[str, str], tuple[type[BaseResult], Callable[[Any, str], Result]]]
] = {}


def converter(
    source: type[BaseResult], from_versions: Iterable[str], to_versions: Iterable[str]
) -> Callable[[F], F]:
    """Register a conversion between all pairs of these versions.

    Args:
        source: the type of a result in each of `from_versions`.
        from_versions: the versions that the function converts from.
        to_versions: the versions that it converts to; it receives the wanted one.
    """
    targets = tuple(to_versions)

    def register(function: F) -> F:
        for version in from_versions:
            _CONVERTERS.update({(version, to): (source, function) for to in targets})
        return function

    return register


def convert(result: Result, version: str) -> Result:
    """Convert a result to a CNI version (convert.Convert).

    Args:
        result: the result; an empty version is set to the newest one of its family.
        version: the version; empty means 0.1.0.

    Raises:
        ResultError: the conversion does not exist, or this result cannot be converted.
    """
    if isinstance(result, BaseResult) and not result.cni_version:
        result.cni_version = result.newest_version
    version = version or "0.1.0"
    if result.version == version:
        return result
    match _CONVERTERS.get((result.version, version)):
        case (source, function) if isinstance(result, source):
            return function(result, version)
        case _:
            raise ResultError(f"no converter for CNI result version {result.version} to {version}")


def get_as(result: Result, target: type[R]) -> R:
    """Convert any result to a family's newest version (GetResult of each family).

    Raises:
        ResultError: the result cannot be converted.
    """
    converted = result.get_as_version(target.newest_version)
    if not isinstance(converted, target):
        raise ResultError("failed to convert result")
    return converted


def copy_dns(dns: DNS) -> DNS:
    """Copy DNS settings and their lists."""
    return DNS(list(dns.nameservers), dns.domain, list(dns.search), list(dns.options))


def copy_routes(routes: Iterable[Route]) -> list[Route]:
    """Copy routes; their addresses are immutable."""
    return [copy(route) for route in routes]


def copy_within_family(result: Any, version: str) -> Any:
    """Convert a result with interfaces to another version of its own family."""
    return type(result)(
        cni_version=version,
        interfaces=[copy(interface) for interface in result.interfaces],
        ips=[copy(config) for config in result.ips],
        routes=copy_routes(result.routes),
        dns=copy_dns(result.dns),
    )

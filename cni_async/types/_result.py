"""The part of a result that does not depend on its family, and the table of conversions."""

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
    """The methods of the results of all families."""

    newest_version: ClassVar[str]
    sorts_keys: ClassVar[bool] = False

    cni_version: str = ""

    @property
    def version(self) -> str:
        """The CNI version it is written in."""
        return self.cni_version

    def get_as_version(self, version: str, /) -> Result:
        """Convert it to another CNI version (Result.GetAsVersion).

        Args:
            version: empty means 0.1.0. Its own version gives the result itself, any other a copy.

        Raises:
            ResultError: no such conversion exists, or 0.1.0 and 0.2.0 lack an address to hold.
        """
        return convert(self, version)

    def view(self) -> "v100.Result":
        """Return the result as 1.1.0 (types100.GetResult), to read addresses and routes from.

        >>> result = create_result_from_bytes(b'{"ip4": {"ip": "10.1.0.5/16"}}')
        >>> [str(each.address) for each in result.view().ips]
        ['10.1.0.5/16']

        Returns:
            the result itself if its version is 1.1.0, else a copy.

        Raises:
            ResultError: no conversion from its version exists.
        """
        return cast("v100.Result", convert(self, _NEWEST))

    def to_json(self, indent: int | None = None) -> str:
        """Write it as JSON (Result.PrintTo).

        Args:
            indent: spaces per level (libcni prints 4); None for one line.

        Raises:
            ResultError: it holds what JSON or plugins could not read: a zone, half a character.
        """
        data = _encode(self, _wire.SORTED if self.sorts_keys else _wire.AS_DECLARED)
        return (data if indent is None else go_json.indent(data, indent)).decode()

    def _as_written(self) -> object:
        """Return what is written in its place."""
        return self


def sorted_json(result: Result) -> bytes:
    """Write a result with the keys of all its objects sorted, whatever its family does.

    Raises:
        ResultError: it holds what JSON or plugins could not read.
    """
    if isinstance(result, BaseResult):
        return _encode(result, _wire.SORTED)
    return go_json.dumps(go_json.loads(result.to_json().encode()))  # not one of ours


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
        from_versions: what it converts.
        to_versions: what it converts to; the function receives which one.
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
        result: one that does not say its version has the newest one of its family from now on.
        version: empty means 0.1.0.

    Raises:
        ResultError: no such conversion exists, or this result cannot be converted.
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
        ResultError: no such conversion exists.
    """
    converted = result.get_as_version(target.newest_version)
    if not isinstance(converted, target):
        raise ResultError("failed to convert result")
    return converted


def copy_dns(dns: DNS) -> DNS:
    """Copy DNS settings, lists included."""
    return DNS(list(dns.nameservers), dns.domain, list(dns.search), list(dns.options))


def copy_routes(routes: Iterable[Route]) -> list[Route]:
    """Copy routes; the addresses in them never change."""
    return [copy(route) for route in routes]

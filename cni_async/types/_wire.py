"""Results to and from JSON by msgspec alone, which knows everything of them but addresses."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, Final, TypeVar

import msgspec

from cni_async.errors import ResultError

from .common import CIDR, format_cidr, format_ip, parse_cidr, parse_ip

T = TypeVar("T", bound=msgspec.Struct)


def read(document: Any, struct: type[T]) -> T | None:
    """Make a struct of a decoded document.

    Args:
        document: with dicts for objects.
        struct: what to make, nested structs included.

    Returns:
        None where Go would read something else or a mistake has to be named: a key in another
        letter case, an unknown one, a null, a wrong type.
    """
    try:
        return msgspec.convert(document, struct, dec_hook=_read_address)
    except (msgspec.ValidationError, ResultError):
        return None


def _read_address(wanted: Any, text: Any) -> Any:
    if type(text) is not str:
        raise msgspec.ValidationError
    return parse_cidr(text) if wanted is CIDR else parse_ip(text)


def _write_address(value: Any) -> str:
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind](value)
    raise TypeError(f"a result cannot hold {value!r}")


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    IPv4Interface: format_cidr,
    IPv6Interface: format_cidr,
    IPv4Address: format_ip,
    IPv6Address: format_ip,
}


# Go writes the keys of a struct as they are declared, and those of a map sorted.
AS_DECLARED: Final = msgspec.json.Encoder(enc_hook=_write_address)
SORTED: Final = msgspec.json.Encoder(enc_hook=_write_address, order="sorted")

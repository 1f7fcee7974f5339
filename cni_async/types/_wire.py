"""Results to and from JSON, with addresses, which msgspec does not know."""

from collections.abc import Callable
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, Final, TypeVar

import msgspec

from cni_async.errors import ResultError
from cni_async.go.decode import Decoder, FieldError, read_string

from .common import CIDR, IPAddress, format_cidr, format_ip, parse_cidr, parse_ip

T = TypeVar("T", bound=msgspec.Struct)


def read(document: Any, struct: type[T]) -> T:
    """Make a struct of a decoded document, as Go reads it.

    Args:
        document: with dicts or `Pairs` for objects.
        struct: what to make, nested structs included.

    Raises:
        ResultError: naming the key at fault.
    """
    try:
        return read_fast(document, struct) or _decoder(struct).read(document)
    except FieldError as fault:
        raise ResultError(_in_words(fault)) from None


def read_fast(document: Any, struct: type[T]) -> T | None:
    """Make a struct of a decoded document that has nothing odd in it.

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


@cache
def _decoder(struct: type[T]) -> Decoder[T]:
    hooks = {CIDR: _reader(parse_cidr), IPAddress: _reader(parse_ip)}
    return Decoder(struct, hooks)


def _reader(parse: Callable[[str], Any]) -> Callable[[Any, object], Any]:
    def read_address(value: Any, _former: object) -> Any:
        try:
            return parse(read_string(value))  # null is the empty string
        except ResultError as error:
            raise FieldError(value, reason=str(error)) from None

    return read_address


def _in_words(fault: FieldError) -> str:
    if fault.reason:
        return f"{fault.reason} ({fault.key})"
    what = f"result key {fault.key}" if fault.key else "result"
    if not fault.wanted:
        return f"{what} is missing"
    if fault.wanted == "integer" and fault.found == "number":
        return f"{what} is {fault.value}, not a 64-bit integer"
    return f"{what} {fault.mismatch}"


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

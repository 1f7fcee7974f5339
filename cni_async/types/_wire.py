"""Convert results from and to JSON, with the address types that msgspec lacks."""

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
    """Convert a decoded document into a struct, by Go's rules.

    Args:
        document: decoded JSON, with dicts or `Pairs` for objects.
        struct: the type to return.

    Raises:
        ResultError: a key is missing or its value does not fit; the error names the key.
    """
    try:
        return read_fast(document, struct) or _decoder(struct).read(document)
    except FieldError as fault:
        raise ResultError(_in_words(fault)) from None


def read_fast(document: Any, struct: type[T]) -> T | None:
    """Convert a decoded document into a struct if msgspec can do that.

    Args:
        document: decoded JSON, with dicts for objects.
        struct: the type to return.

    Returns:
        the struct; `None` if the document needs `read`: a key is unknown or in another letter
        case, or a value is null or of the wrong type.
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
            return parse(read_string(value))  # null counts as the empty string
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


# Go writes the keys of a struct in the order of its declaration, and those of a map sorted.
AS_DECLARED: Final = msgspec.json.Encoder(enc_hook=_write_address)
SORTED: Final = msgspec.json.Encoder(enc_hook=_write_address, order="sorted")

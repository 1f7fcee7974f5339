"""Tables that say how the structs of a result are read from JSON that msgspec would not read.

A table states, for each key, the attribute it belongs to and how it is read. Reading is as strict
as Go's typed decoding, and as patient: keys match in any letter case, the last one wins, unknown
ones are left out, and a value of another type is an error that says where.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

import msgspec

from cni_async.errors import ResultError
from cni_async.go import json as go_json

from .common import DNS, Route, parse_cidr, parse_ip

T = TypeVar("T", bound=msgspec.Struct)

_INT64: Final = range(-(2**63), 2**63)


class Field(NamedTuple):
    """One key of an object.

    Attributes:
        key: as it is spelled in JSON.
        attribute: of the struct.
        read: makes the attribute's value of the decoded one; gets the attributes so far, too.
        reads_null: null is for `read` to judge; otherwise it leaves the attribute as it was.
        required: the key has to be there.
    """

    key: str
    attribute: str
    read: Callable[[Any, dict[str, Any]], Any]
    reads_null: bool = False
    required: bool = False


class Codec(Generic[T]):
    """Reads one kind of struct.

    Args:
        struct: makes it; gets what was read as keyword arguments.
        fields: its keys.
    """

    def __init__(self, struct: Callable[..., T], *fields: Field) -> None:
        self._struct = struct
        self._required = tuple(field for field in fields if field.required)
        # Plain tuples are what a loop unpacks fastest.
        self._readers = {
            # Both spellings, so that the usual one need not be folded first.
            key: (field.key, field.attribute, field.read, field.reads_null)
            for field in fields
            for key in (field.key, go_json.fold(field.key))
        }

    def read(self, value: Any, former: T | None = None) -> T:
        """Make the struct of a decoded object.

        Args:
            value: a dict, or `go_json.Pairs` where keys may be repeated.
            former: a struct that keys missing here are taken from.
        """
        found_type: type = value.__class__
        if found_type is not dict and found_type is not go_json.Pairs:
            _wrong_type(value, "object")
        pairs: Iterable[tuple[str, Any]] = value.items() if found_type is dict else value
        found: dict[str, Any] = {} if former is None else msgspec.structs.asdict(former)
        readers = self._readers
        for key, member in pairs:
            reader = readers.get(key) or readers.get(go_json.fold(key))
            if reader is None:
                continue
            name, attribute, read, reads_null = reader
            if member is None and not reads_null:
                continue
            try:
                found[attribute] = read(member, found)
            except _FieldError as fault:
                fault.path = f".{name}{fault.path}"
                raise
        for field in self._required:
            if field.attribute not in found:
                raise _FieldError("result key ", " is missing", f".{field.key}")
        return self._struct(**found)

    def decode(self, document: Any) -> T:
        """Make the struct of a whole document.

        Raises:
            ResultError: naming the key at fault.
        """
        try:
            return self.read(document)
        except _FieldError as fault:
            raise ResultError(fault.text()) from None


def text(key: str, attribute: str = "") -> Field:
    """Describe a string."""
    return Field(key, attribute or key, _read_string)


def integer(key: str, attribute: str = "") -> Field:
    """Describe an integer whose zero means unset."""
    return Field(key, attribute or key, _read_integer)


def nullable_integer(key: str) -> Field:
    """Describe an integer that may be missing and whose zero is a value."""
    return Field(key, key, _read_nullable_integer, True)


def cidr(key: str) -> Field:
    """Describe an address with a prefix, which has to be there."""
    return Field(key, key, _read_cidr, True, required=True)


def gateway(key: str) -> Field:
    """Describe an address that may be missing."""
    return Field(key, key, _read_gateway, True)


def dns() -> Field:
    """Describe the DNS settings; a repeated key adds to them."""
    return Field("dns", "dns", _read_dns)


def object_or_none(key: str, codec: Codec[Any]) -> Field:
    """Describe an object that may be missing."""

    def read(value: Any, _found: dict[str, Any]) -> Any:
        return None if value is None else codec.read(value)

    return Field(key, key, read, True)


def objects(key: str, codec: Codec[Any]) -> Field:
    """Describe a list of objects, none of which may be null."""
    return _list(key, codec.read)


def strings(key: str) -> Field:
    """Describe a list of strings; a null among them is the empty string, as in Go."""

    def read_member(value: Any) -> str:
        return "" if value is None else _read_string(value)

    return _list(key, read_member)


def _list(key: str, read_member: Callable[[Any], Any]) -> Field:
    def read(value: Any, _found: dict[str, Any]) -> list[Any]:
        if value is None:
            return []
        found_type: type = value.__class__
        if found_type is not list:
            _wrong_type(value, "array")
        members: list[Any] = []
        for member in value:
            try:
                members.append(read_member(member))
            except _FieldError as fault:
                fault.path = f"[{len(members)}]{fault.path}"
                raise
        return members

    return Field(key, key, read, True)


def _read_string(value: Any, _found: dict[str, Any] | None = None) -> str:
    if type(value) is not str:
        _wrong_type(value, "string")
    return value


def _read_integer(value: Any, _found: dict[str, Any] | None = None) -> int:
    if type(value) is int:
        if value in _INT64:
            return value
    elif type(value) is not float:
        _wrong_type(value, "integer")
    raise _FieldError("result key ", f" is {value}, not a 64-bit integer")


def _read_nullable_integer(value: Any, _found: dict[str, Any] | None = None) -> int | None:
    return None if value is None else _read_integer(value)


def _read_dns(value: Any, found: dict[str, Any]) -> DNS:
    return DNS_SETTINGS.read(value, found.get("dns"))


def _read_cidr(value: Any, _found: dict[str, Any] | None = None) -> Any:
    # A null has no address in it either.
    return _address(parse_cidr, "" if value is None else _read_string(value))


def _read_gateway(value: Any, _found: dict[str, Any] | None = None) -> Any:
    return None if value is None else _address(parse_ip, _read_string(value))


def _address(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ResultError as error:
        raise _FieldError(f"{error} (", ")") from None


class _FieldError(Exception):
    """What is wrong with a value; the way to it grows on the way up."""

    def __init__(self, before: str, after: str, path: str = "") -> None:
        self.before = before
        self.after = after
        self.path = path

    def text(self) -> str:
        if not self.path:
            return f"result{self.after}"
        return self.before + self.path.removeprefix(".") + self.after


def _wrong_type(value: Any, wanted: str) -> NoReturn:
    raise _FieldError("result key ", f" is of type {go_json.kind(value)}, not {wanted}")


DNS_SETTINGS: Final = Codec(
    DNS,
    strings("nameservers"),
    text("domain"),
    strings("search"),
    strings("options"),
)

ROUTE: Final = Codec(
    Route,
    cidr("dst"),
    gateway("gw"),
    integer("mtu"),
    integer("advmss"),
    integer("priority"),
    nullable_integer("table"),
    nullable_integer("scope"),
)

"""JSON objects into `NetConf`, as encoding/json fills libcni's struct.

Keys match in any letter case and the last one wins; null means absent; an object that is there
twice is merged. What the struct does not know is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar

import msgspec

from cni_async.errors import ConfigError
from cni_async.go import json as go_json
from cni_async.types.common import DNS
from cni_async.types.netconf import IPAM, GCAttachment, NetConf

PREFIX: Final = "error parsing configuration: "

# What an attribute becomes, of the JSON value and what a former key of that name made of it.
_Reader = Callable[[Any, Any], Any]
# The key, the attribute, and how the one becomes the other.
_Field = tuple[str, str, _Reader]
_S = TypeVar("_S", bound=msgspec.Struct)

_ARTICLES: Final = {"array": "an", "object": "an"}


def network_from(document: Any) -> NetConf:
    """Read one plugin's configuration.

    Args:
        document: a decoded JSON document. The keys of a plain dict count in sorted order, which
            is how libcni sees the members of a list.

    Raises:
        ConfigError: a known key has a value of another type, or there is no type; or it nests too
            deep.
    """
    try:
        network = _decode_fast(document) or _NETWORK.read(document, None)
    except _WrongTypeError as fault:
        raise ConfigError(f"{PREFIX}{fault}", key=fault.key) from None
    except go_json.JSONError as error:
        raise ConfigError(f"{PREFIX}{error}") from None
    if not network.type:
        raise ConfigError(f"{PREFIX}missing 'type'", key="type")
    return network


class _WrongTypeError(Exception):
    """A value is not of its key's type; the key is completed on the way up."""

    def __init__(self, value: object, wanted: str, key: str = "") -> None:
        super().__init__(value, wanted)
        self.found = go_json.kind(value)
        self.wanted = wanted
        self.key = key

    def __str__(self) -> str:
        what = f'key "{self.key}"' if self.key else "the document"
        return f"{what} must be {_ARTICLES.get(self.wanted, 'a')} {self.wanted}, not {self.found}"

    def below(self, key: str) -> NoReturn:
        """Raise it again, with the key of the value that holds this one."""
        joint = "." if self.key and not self.key.startswith("[") else ""
        self.key = f"{key}{joint}{self.key}"
        raise self


class _Shape(Generic[_S]):
    """The keys of a struct, and how each is read into its attribute."""

    def __init__(self, struct: type[_S], fields: Mapping[str, tuple[str, _Reader]]) -> None:
        self._struct = struct
        self._exact = {key: (key, *field) for key, field in fields.items()}
        self._folded = {go_json.fold(key): field for key, field in self._exact.items()}
        # Folding is slow, and a key that matches has the length of one of these.
        self._lengths = frozenset(map(len, fields))

    def read(self, value: Any, former: _S | None) -> _S:
        """Make the struct of an object, with what the object lacks from a former one."""
        if value is None:
            return former or self._struct()
        found: dict[str, Any] = {} if former is None else msgspec.structs.asdict(former)
        for (key, attribute, reader), member in self._matches(value):
            try:
                found[attribute] = reader(member, found.get(attribute))
            except _WrongTypeError as fault:
                fault.below(key)
        return self._struct(**found)

    def has_variants(self, value: go_json.Object) -> bool:
        """Tell whether a key is one of these in other letter case."""
        exact, folded, lengths = self._exact, self._folded, self._lengths
        for key in value:
            if len(key) in lengths and key not in exact and go_json.fold(key) in folded:
                return True
        return False

    def _matches(self, value: Any) -> Iterable[tuple[_Field, Any]]:
        for key, member in _members(value):
            if len(key) in self._lengths and (field := self._folded.get(go_json.fold(key))):
                yield field, member


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if go_json.is_object(value):
        return sorted(value.items())
    if isinstance(value, go_json.Pairs):
        return value
    raise _WrongTypeError(value, "object")


def _array(value: Any) -> list[Any]:
    if go_json.is_array(value):
        return value
    raise _WrongTypeError(value, "array")


def _string(value: Any, former: str | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return former or ""
    raise _WrongTypeError(value, "string")


def _boolean(value: Any, _former: object) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _WrongTypeError(value, "boolean")


def _list_of(read: _Reader) -> Callable[[Any, object], list[Any]]:
    def read_list(value: Any, _former: object) -> list[Any]:
        if value is None:
            return []
        members: list[Any] = []
        for member in _array(value):
            try:
                members.append(read(member, None))
            except _WrongTypeError as fault:
                fault.below(f"[{len(members)}]")
        return members

    return read_list


def _flags(value: Any, former: Mapping[str, bool] | None) -> dict[str, bool]:
    if value is None:
        return {}
    flags = dict(former or {})
    for name, flag in _members(value):
        try:
            flags[name] = _boolean(flag, None)
        except _WrongTypeError as fault:
            fault.below(name)
    return flags


def _result(value: Any, former: go_json.Object | None) -> go_json.Object | None:
    if value is None:
        return None
    if not go_json.is_object(value):
        # Through JSON once more: that takes the point from integral floats, as `loads` does.
        value = go_json.loads(go_json.dumps(go_json.plain(go_json.Pairs(_members(value)))))
    return {**former, **value} if former else value


def _attachment(value: Any, _former: object) -> GCAttachment:
    return _ATTACHMENT.read(value, GCAttachment("", ""))


def _attachments(value: Any, _former: object) -> tuple[GCAttachment, ...] | None:
    return None if value is None else tuple(_list_of(_attachment)(value, None))


_ATTACHMENT: Final = _Shape(
    GCAttachment, {"containerID": ("container_id", _string), "ifname": ("ifname", _string)}
)
_DNS: Final = _Shape(
    DNS,
    {
        "nameservers": ("nameservers", _list_of(_string)),
        "domain": ("domain", _string),
        "search": ("search", _list_of(_string)),
        "options": ("options", _list_of(_string)),
    },
)
_IPAM: Final = _Shape(IPAM, {"type": ("type", _string)})
_NETWORK: Final = _Shape(
    NetConf,
    {
        "cniVersion": ("cni_version", _string),
        "name": ("name", _string),
        "type": ("type", _string),
        "capabilities": ("capabilities", _flags),
        "ipam": ("ipam", _IPAM.read),
        "dns": ("dns", _DNS.read),
        "prevResult": ("raw_prev_result", _result),
        "cni.dev/valid-attachments": ("valid_attachments", _attachments),
    },
)


def _decode_fast(document: Any) -> NetConf | None:
    """Read a plain dict with nothing odd in it; None for all others, malformed ones included."""
    if not go_json.is_object(document) or "cni.dev/valid-attachments" in document:
        return None
    ipam, dns = document.get("ipam"), document.get("dns")
    if (
        _NETWORK.has_variants(document)
        or (ipam and go_json.is_object(ipam) and _IPAM.has_variants(ipam))
        or (dns and go_json.is_object(dns) and _DNS.has_variants(dns))
    ):
        return None
    try:
        return msgspec.convert(document, NetConf)
    except (msgspec.ValidationError, RecursionError):
        return None

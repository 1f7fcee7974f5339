"""Read JSON objects into msgspec structs, as Go's encoding/json fills a struct.

A struct defines how it is read: by each field's name in JSON, its type, and whether it is
required. Keys match in any letter case, the last of several equal keys wins, and unknown keys
are ignored. Null empties a list or map, sets None where the type allows None, and otherwise leaves
a field as it is. A struct or map whose key is repeated is merged.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import inspect

from . import json as go_json

T = TypeVar("T", bound=msgspec.Struct)

# Takes a JSON value and the field's value so far, or None; returns the field's new value.
Reader = Callable[[Any, Any], Any]

_INT64: Final = range(-(2**63), 2**63)


class FieldError(Exception):
    """A value does not fit its field, or a required key is missing.

    The caller of `Decoder.read` writes the message, since libcni's texts differ.

    Attributes:
        key: the path to the value, such as ``ips[0].address``; empty for the document itself.
        value: the JSON value.
        wanted: the JSON type of the field; empty if the type is right or the key is missing.
        reason: why a hook refused the value.
    """

    def __init__(
        self, value: object = None, wanted: str = "", *, reason: str = "", key: str = ""
    ) -> None:
        super().__init__(value, wanted)
        self.key: str = key
        self.value: object = value
        self.wanted: str = wanted
        self.reason: str = reason

    @property
    def found(self) -> str:
        """The JSON type of the value."""
        return go_json.kind(self.value)

    @property
    def mismatch(self) -> str:
        """The usual message for a value of a wrong type."""
        return f"is of type {self.found}, not {self.wanted}"

    def put_below(self, key: str) -> None:
        """Prefix the path with the key of the value that holds this one."""
        joint = "." if self.key and not self.key.startswith("[") else ""
        self.key = f"{key}{joint}{self.key}"


class Decoder(Generic[T]):
    """Reads JSON objects into structs of one type.

    A missing required string is empty; any other missing required field is an error. A field whose
    name in JSON is empty is never read. A struct that is a pointer in Go (in a list, or where None
    is allowed) is not merged, and null in a list of them is an error.

    Args:
        struct: the type of the structs.
        hooks: readers by class, for classes that JSON does not have, and for structs that are read
            in another way. A hook also receives null, except where None is allowed.
        sorts_keys: whether the keys of a dict are read in sorted order, not in the dict's own.
    """

    def __init__(
        self,
        struct: type[T],
        hooks: Mapping[Any, Reader] | None = None,
        *,
        sorts_keys: bool = False,
    ) -> None:
        self._struct = struct
        self._hooks: Mapping[Any, Reader] = hooks or {}
        self._sorts_keys = sorts_keys
        fields = [field for field in msgspec.structs.fields(struct) if field.encode_name]
        required = [(field.encode_name, field.name) for field in fields if field.required]
        texts = {field.name for field in fields if field.type is str}
        self._zeros = {name: "" for _, name in required if name in texts}
        self._required = [each for each in required if each[1] not in texts]
        self._exact = {
            field.encode_name: (
                field.encode_name,
                field.name,
                self._reader(inspect.type_info(field.type)),
            )
            for field in fields
        }
        self._folded = {go_json.fold(key): field for key, field in self._exact.items()}
        # Folding is slow, and a key that matches has the length of one of these.
        self._lengths = frozenset(map(len, self._exact))

    def read(self, value: Any, former: T | None = None) -> T:
        """Return the struct of an object.

        Args:
            value: a dict; `go_json.Pairs`, whose keys may be repeated; or `None`.
            former: a struct that provides the fields that `value` does not have.

        Raises:
            FieldError: a value does not fit its field, or a required key is missing.
        """
        if value is None:
            return former or self._read_object(go_json.Pairs(), None)
        return self._read_object(value, former)

    def has_variants(self, value: go_json.Object) -> bool:
        """Return whether a key matches a field only in another letter case."""
        exact, folded, lengths = self._exact, self._folded, self._lengths
        for key in value:
            if len(key) in lengths and key not in exact and go_json.fold(key) in folded:
                return True
        return False

    def _read_object(self, value: Any, former: T | None) -> T:
        found = self._zeros.copy() if former is None else msgspec.structs.asdict(former)
        exact, folded, lengths = self._exact, self._folded, self._lengths
        for key, member in self._members(value):
            if len(key) not in lengths:
                continue
            field = exact.get(key) or folded.get(go_json.fold(key))
            if field is None:
                continue
            name, attribute, read = field
            try:
                found[attribute] = read(member, found.get(attribute))
            except FieldError as fault:
                fault.put_below(name)
                raise
        for name, attribute in self._required:
            if attribute not in found:
                raise FieldError(key=name)
        return self._struct(**found)

    def _members(self, value: Any) -> Iterable[tuple[str, Any]]:
        if go_json.is_object(value):
            return sorted(value.items()) if self._sorts_keys else value.items()
        if isinstance(value, go_json.Pairs):
            return value
        raise FieldError(value, "object")

    def _reader(self, of: inspect.Type) -> Reader:
        match of:
            case inspect.CustomType(cls=cls) | inspect.StructType(cls=cls) if cls in self._hooks:
                return self._hooks[cls]
            case inspect.StructType(cls=cls):
                return Decoder(cls, self._hooks, sorts_keys=self._sorts_keys).read
            case inspect.UnionType(types=types):
                inner = next(one for one in types if not isinstance(one, inspect.NoneType))
                return _or_none(self._pointee(inner), merges=isinstance(inner, inspect.DictType))
            case inspect.ListType(item_type=item):
                return _list_of(self._pointee(item))
            case inspect.VarTupleType(item_type=item):
                read = _list_of(self._pointee(item))
                return lambda value, former: tuple(read(value, former))
            case inspect.DictType(value_type=inspect.AnyType()):
                return self._read_anything
            case inspect.DictType(value_type=member):
                return self._map_of(self._reader(member))
            case _:
                return _SCALARS[type(of)]

    def _pointee(self, of: inspect.Type) -> Reader:
        if isinstance(of, inspect.StructType) and of.cls not in self._hooks:
            return Decoder(of.cls, self._hooks, sorts_keys=self._sorts_keys)._read_object
        return self._reader(of)

    def _map_of(self, read: Reader) -> Reader:
        def read_map(value: Any, former: Mapping[str, Any] | None) -> dict[str, Any]:
            if value is None:
                return {}
            found = dict(former or {})
            for key, member in self._members(value):
                try:
                    found[key] = read(member, None)
                except FieldError as fault:
                    fault.put_below(key)
                    raise
            return found

        return read_map

    def _read_anything(self, value: Any, former: go_json.Object | None) -> go_json.Object:
        if value is None:
            return {}
        if not go_json.is_object(value):
            # Written and read again, integral floats become integers, as with `loads`.
            pairs = go_json.Pairs(self._members(value))
            value = go_json.loads(go_json.dumps(go_json.plain(pairs)))
        return {**former, **value} if former else value


def read_string(value: Any, former: str | None = None) -> str:
    """Return a string; null means the former one.

    Raises:
        FieldError: the value has another type.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return former or ""
    raise FieldError(value, "string")


def _read_boolean(value: Any, former: bool | None) -> bool:
    if isinstance(value, bool):
        return value
    if value is None:
        return former or False
    raise FieldError(value, "boolean")


def _read_integer(value: Any, former: int | None) -> int:
    if type(value) is int and value in _INT64:
        return value
    if value is None:
        return former or 0
    raise FieldError(value, "integer")


def _or_none(read: Reader, *, merges: bool) -> Reader:
    def read_or_none(value: Any, former: Any) -> Any:
        return None if value is None else read(value, former if merges else None)

    return read_or_none


def _list_of(read: Reader) -> Reader:
    def read_list(value: Any, _former: object) -> list[Any]:
        if value is None:
            return []
        if not go_json.is_array(value):
            raise FieldError(value, "array")
        members: list[Any] = []
        for member in value:
            try:
                members.append(read(member, None))
            except FieldError as fault:
                fault.put_below(f"[{len(members)}]")
                raise
        return members

    return read_list


_SCALARS: Final[dict[type[inspect.Type], Reader]] = {
    inspect.StrType: read_string,
    inspect.BoolType: _read_boolean,
    inspect.IntType: _read_integer,
}

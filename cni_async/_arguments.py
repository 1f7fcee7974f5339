"""Convert the arguments of public calls, or refuse them with a TypeError that says why."""

import os
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import NoReturn, TypeGuard, TypeVar, cast

Pairs = tuple[tuple[str, str], ...]

_T = TypeVar("_T")


def refuse(value: object, name: str, wanted: str) -> NoReturn:
    """Raise a TypeError that says what was wanted instead of a value.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"{name} must be {wanted}, not {_kind(value)}")


def require(value: object, kind: type | UnionType, name: str) -> None:
    """Refuse a value that is not an instance of a class, or of one of several.

    Raises:
        TypeError: the value has another type.
    """
    if not isinstance(value, kind):
        kinds = kind.__args__ if isinstance(kind, UnionType) else (kind,)
        names = ("None" if each is NoneType else f"a {each.__name__}" for each in kinds)
        refuse(value, name, " or ".join(names))


def require_bytes(value: object, name: str) -> None:
    """Refuse a value that is not bytes, which is mostly text.

    Raises:
        TypeError: the value has another type.
    """
    if not isinstance(value, bytes):
        refuse(value, name, "bytes")


def require_text(value: object, name: str) -> str:
    """Return a string.

    Raises:
        TypeError: the value has another type.
    """
    if not isinstance(value, str):
        refuse(value, name, "a string")
    return value


def path(value: object, name: str) -> str:
    """Return a path as a string.

    Raises:
        TypeError: the value is neither a string nor a path.
    """
    if type(value) is str:
        return value
    if _is_one(value, str, os.PathLike):
        plain = os.fspath(cast("str | os.PathLike[str] | os.PathLike[bytes]", value))
        if isinstance(plain, str):
            return plain
    refuse(value, name, "a string or a path")


def optional_path(value: object, name: str) -> str | None:
    """Return a path as a string, or `None` for `None`.

    Raises:
        TypeError: the value is neither a string nor a path.
    """
    return None if value is None else path(value, name)


def paths(value: object, name: str) -> tuple[str, ...]:
    """Return several paths as strings.

    Raises:
        TypeError: the value is one path, or an element is neither a string nor a path.
    """
    if _are_plain(value):  # mostly, as an earlier call has returned them
        return value
    is_one = _is_one(value, str, bytes, os.PathLike)
    if is_one or not isinstance(value, Iterable):
        found = f"one {_kind(value)}" if is_one else _kind(value)
        raise TypeError(f"{name} must be a sequence of directories, not {found}")
    elements = cast("Iterable[object]", value)
    return tuple(path(element, f"each element of {name}") for element in elements)


def instances(value: object, kind: type[_T], name: str) -> tuple[_T, ...]:
    """Return several instances of a class as a tuple.

    Raises:
        TypeError: the value is not a sequence, or an element is not an instance of the class.
    """
    if _is_one(value, str, bytes, Mapping) or not isinstance(value, Iterable):
        refuse(value, name, f"a sequence of {kind.__name__}")
    found: list[_T] = []
    for element in cast("Iterable[object]", value):
        if not isinstance(element, kind):
            refuse(element, f"each element of {name}", f"a {kind.__name__}")
        found.append(element)
    return tuple(found)


def pairs(value: object, name: str) -> Pairs:
    """Return pairs of strings as tuples; those of a mapping are in its order.

    Raises:
        TypeError: the value is neither a mapping of strings nor pairs of strings.
    """
    if value == ():
        return ()
    wanted = "a mapping or pairs of strings"
    if isinstance(value, Mapping):
        value = cast("Mapping[object, object]", value).items()
    elif isinstance(value, str | bytes) or not isinstance(value, Iterable):
        refuse(value, name, wanted)
    found: list[tuple[str, str]] = []
    for pair in cast("Iterable[object]", value):
        match pair:
            case (str(key), str(text)):
                found.append((key, text))
            case _:
                raise TypeError(f"{name} must be {wanted}, and {pair!r} is not a pair of strings")
    return tuple(found)


def _are_plain(value: object) -> TypeGuard[tuple[str, ...]]:
    return type(value) is tuple and {*map(type, cast("tuple[object, ...]", value))} == {str}


def _is_one(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds)


def _kind(value: object) -> str:
    names: dict[type, str] = {str: "string", type(None): "None"}
    return names.get(type(value), type(value).__name__)

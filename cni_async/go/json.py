"""JSON as Go's encoding/json reads and writes it, on msgspec.

Plugins and libcni are Go programs, so Go's reading decides what a document means. msgspec does the
work. The slower standard library reads repeated keys, and what msgspec refuses: bytes that are not
UTF-8 and lone surrogates, which Go accepts. `json_errors` finds errors in Go's words.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeGuard, cast

import msgspec

from .json_errors import MAX_DEPTH, first_error, nests_too_deep

Object = dict[str, Any]

_EXACT_FLOATS: Final = 2**53
_MAX_INTEGER: Final = int(1.7976931348623157e308)
# Escapes of lone surrogates.
_HALF: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
# Characters of the private use area, which few documents have.
_MARKS: Final = "".join(map(chr, range(0xE000, 0xE020)))


class JSONError(ValueError):
    """A document is not JSON, or not the expected JSON; the text is only the reason."""


class Pairs(list[tuple[str, Any]]):
    """An object with its keys in document order, repeated ones included."""


def loads(data: bytes) -> Any:
    """Read a document as Go reads one into ``interface{}``, but with exact integers.

    Numbers without a fractional part become ``int``: Go's re-encoding drops ``.0`` too, and
    plugins with int fields depend on it. The last of several equal keys wins.
    """
    return _load(_GENERIC, data, normalise=True)


def loads_typed(data: bytes) -> Any:
    """Read a document like `loads`, but keep ``1.0`` a float: Go's int fields refuse it."""
    return _load(_TYPED, data, normalise=False)


def loads_pairs(data: bytes) -> Any:
    """Read a document with every object as `Pairs`: Go's structs see each of several equal keys."""
    return _load_slowly(data, Pairs, normalise=False)


def loads_document(data: bytes) -> Any:
    """Read a document like `loads_pairs`, but with dicts if it repeats no key."""
    # Such a document, written again, is the same but for white space. This check takes a quarter of
    # the time that the standard library takes to read pairs.
    try:
        value = _TYPED.decode(data)
        _refuse_too_deep(data)
        if _ENCODE_AS_IS(value) == msgspec.json.format(data, indent=-1):
            return value
    except (msgspec.MsgspecError, UnicodeError, RecursionError, JSONError):
        pass
    return loads_pairs(data)


def dumps(value: Any) -> bytes:
    """Write compact JSON with sorted keys, as Go writes a map.

    Raises:
        JSONError: the value nests too deep, or holds a lone surrogate or an unknown object.
    """
    try:
        data = _ENCODE(value)
    except RecursionError:
        raise JSONError(f"json: unsupported value: {MAX_DEPTH}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise JSONError(f"json: unsupported value: {error}") from None
    if nests_too_deep(data):  # no plugin could read it
        raise JSONError(f"json: unsupported value: {MAX_DEPTH}")
    return data


def indent(data: bytes, spaces: int) -> bytes:
    """Return a document with line breaks, indented by a number of spaces."""
    return msgspec.json.format(data, indent=spaces)


def is_object(value: object) -> TypeGuard[Object]:
    """Return whether a decoded value is a plain dict, not `Pairs`."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a decoded value is a JSON array."""
    return isinstance(value, list) and not isinstance(value, Pairs)


def reject_non_finite(value: Any) -> None:
    """Refuse NaN and infinities, which msgspec would write as null.

    Raises:
        JSONError: the value holds one of them, or nests too deep.
    """
    try:
        _reject_non_finite(value)
    except RecursionError:
        # A caller's value may hold itself.
        raise JSONError(f"json: unsupported value: {MAX_DEPTH}") from None


def _reject_non_finite(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise JSONError(f"json: unsupported value: {value}")
    elif is_object(value):
        for member in value.values():
            _reject_non_finite(member)
    elif isinstance(value, list | tuple):
        for member in cast(Sequence[Any], value):
            _reject_non_finite(member)


def kind(value: object) -> str:
    """Return the name of a decoded value's JSON type, for error texts."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case Pairs() | dict():
            return "object"
        case _:
            return "array"


def fold(key: str) -> str:
    """Return the form of a key that Go compares with struct fields, whatever its letter case."""
    # U+017F is the one letter that Go folds to an ASCII one and str.lower() leaves alone.
    return key.lower().replace("\u017f", "s")


def fields(document: Object | Pairs, names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield (canonical name, value) for the keys that Go would match to a struct's fields.

    Args:
        document: an object, whose keys are yielded in their order.
        names: maps folded keys (see `fold`) to canonical names.
    """
    pairs: Iterable[tuple[str, Any]]
    pairs = document if isinstance(document, Pairs) else document.items()
    for key, value in pairs:
        name = names.get(fold(key))
        if name is not None:
            yield name, value


def plain(value: Any) -> Any:
    """Return a value with dicts for `Pairs` at every level; the last of equal keys wins."""
    # Without recursion: documents may nest deeper than Python's functions can.
    root = [value]
    holders: list[Any] = [root]
    while holders:
        holder: Any = holders.pop()
        for place in _places(holder):
            member = holder[place]
            if isinstance(member, Pairs):
                holder[place] = dict(member)
            elif is_array(member):
                holder[place] = list(member)
            else:
                continue
            holders.append(holder[place])
    return root[0]


def _places(holder: Any) -> Iterable[Any]:
    return holder.keys() if is_object(holder) else range(len(holder))


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JSONError(f"json: cannot unmarshal number {text} into Go value of type float64")
    return value


def _number(text: str) -> int | float:
    value = _float(text)
    # From 1e21 on Go writes an exponent too.
    if not value.is_integer() or abs(value) >= 1e21:
        return value
    if abs(value) >= _EXACT_FLOATS and (exact := Decimal(text)) == int(exact):
        return int(exact)
    return int(value)


def _integer(text: str) -> int:
    # 309 digits hold every integer that does not overflow a float64; int() refuses more than 4300.
    if len(text) <= 310 and abs(value := int(text)) <= _MAX_INTEGER:
        return value
    raise JSONError(f"json: cannot unmarshal number {text[:40]} into Go value of type float64")


def _constant(text: str) -> NoReturn:
    raise JSONError(f"{text} is not JSON")


_GENERIC: Final = msgspec.json.Decoder(float_hook=_number)
_TYPED: Final = msgspec.json.Decoder(float_hook=_float)
_ENCODE_AS_IS: Final = msgspec.json.Encoder().encode
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


def _load(decoder: "msgspec.json.Decoder[Any]", data: bytes, *, normalise: bool) -> Any:
    try:
        value = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, JSONError):
        return _load_slowly(data, None, normalise=normalise)
    _refuse_too_deep(data)
    return value


def _load_slowly(
    data: bytes, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None, *, normalise: bool
) -> Any:
    text = _decode(data)
    decoder = json.JSONDecoder(
        object_pairs_hook=pairs_hook,
        parse_float=_number if normalise else _float,
        parse_int=_integer,
        parse_constant=_constant,
    )
    try:
        value = decoder.decode(_without_halves(text) if "\\u" in text else text)
    except json.JSONDecodeError:
        raise JSONError(first_error(data) or "malformed JSON") from None
    except JSONError as error:
        # A number that no float holds; but Go looks through the whole document first.
        raise JSONError(first_error(data) or str(error)) from None
    except RecursionError:
        raise JSONError(first_error(data) or MAX_DEPTH) from None
    _refuse_too_deep(data)
    return value


def _refuse_too_deep(data: bytes) -> None:
    """Refuse deeper nesting than Go reads; since Python 3.14 the recursion of C code allows it."""
    if nests_too_deep(data):
        raise JSONError(first_error(data) or MAX_DEPTH)


def _without_halves(text: str) -> str:
    """Replace escapes of lone surrogates, which Go reads as U+FFFD, in a document's text.

    They are replaced in the text, and not in the decoded value, which may nest deeper than Python's
    functions can.
    """
    # After this, every backslash begins an escape.
    return _HALF.sub("\ufffd", text.replace("\\\\", "\\u005c"))


def _decode(data: bytes) -> str:
    """Decode as Go does: one U+FFFD for each byte of invalid UTF-8; "replace" has one for several.

    This takes a few steps, each of them fast however many such bytes there are.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    escaped = data.decode("utf-8", "surrogateescape")
    # Encoding turns each undecodable byte into "?", so a mark replaces the document's own "?": a
    # character that the document lacks, or two characters if it has all of the marks.
    mark = next((each for each in _MARKS if each not in escaped), "")
    if not mark:
        escaped, mark = escaped.replace("\1", "\1a"), "\1b"
    escaped = escaped.replace("?", mark)
    replaced = escaped.encode("utf-8", "replace").replace(b"?", "\ufffd".encode())
    decoded = replaced.decode().replace(mark, "?")
    return decoded.replace("\1a", "\1") if mark == "\1b" else decoded

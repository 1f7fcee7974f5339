"""Answers, reduced to what has to be equal in Go's libcni and in cni_async."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from .wire import Answer, Failure

# Go's names for the types of JSON, and ours.
_TYPES: Final = {
    "float64": "number",
    "bool": "boolean",
    "[]interface {}": "array",
    "map[string]interface {}": "object",
    "<nil>": "null",
}
_TYPED: Final = re.compile(
    r"(error parsing configuration list: invalid (?:"
    r"name type |cniVersion type |'plugins' type |type for cniVersions index \d+: |"
    r"type (?=.* for (?:disableCheck|disableGC|loadOnlyInlinedPlugins)\Z)))"
    r"(" + "|".join(map(re.escape, _TYPES)) + r")( for \w+)?\Z"
)
_NO_DIRECTORY: Final = re.compile(r"^readdirent(?= .*: not a directory\Z)", re.DOTALL)
# Messages whose ends only name types.
_TYPE_WORDS: Final = re.compile(
    r"(error parsing configuration list: invalid type for cniVersions: |"
    r"ARGS: cannot unmarshal into field '.*' - type ).*\Z",
    re.DOTALL,
)
# The prefixes that libcni puts before the JSON decoder's text.
_BEFORE_DECODER: Final = re.compile(
    r"(?:failed to parse plugin config \d+: )?error parsing configuration(?: list)?: |"
    r"unmarshal existing network bytes: |decoding version (?:info|from network config): |"
    r"failed to unmarshal raw result: |could not (?:parse|serialize) prevResult: |"
    r"netplugin failed but error parsing its diagnostic message "
    r'"(?:[^"\\]|\\.)*": |'
)
_GO_TYPE: Final = re.compile(r"json: cannot unmarshal (array|object|string|number|bool)\b")
_OUR_TYPE: Final = re.compile(
    r"(?:key \".*\"|the document) must be an? \w+, not (\w+)\Z|"
    r"(?:result|the result|it|code|msg|details|the answer|the document|cniVersion"
    r"|supportedVersions|a member of supportedVersions|result key [\w.\[\]]+)"
    r" is of type (\w+), not \w+\Z|"
    r"result key [\w.\[\]]+ is (?:\S+), not a 64-bit integer()\Z",
    re.DOTALL,
)
_ADDRESS: Final = re.compile(
    r"(.*invalid (?:CIDR|IP) address: .*?)(?: \([\w.\[\]]+\))?\Z", re.DOTALL
)
# Go's encoder escapes these characters, which JSON allows unescaped.
_HTML: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u(003c|003e|0026|2028|2029)")
_ESCAPED: Final = re.compile("[\udc80-\udcff]")


def canonical(answer: Answer) -> Any:
    """Reduce an answer to what has to be equal."""
    if answer.panic:
        return ("panic",)
    if answer.error is not None:
        return _failure(answer.error)
    return ("result", _value(answer.result))


def _failure(error: Failure) -> Any:
    msg, details = words(error.msg), _utf8(error.details)
    ended = error.text == f"{error.msg}; {error.details}"
    text = f"{msg}; {details}" if ended else words(error.text)
    return ("error", text, error.kind, error.code, msg, details)


def words(text: str) -> str:
    """Reduce an error's text to its fixed prefix and the JSON type in the rest."""
    text = _utf8(text)
    # The system call that fails when a directory is listed depends on Go's version.
    text = _NO_DIRECTORY.sub("open", text)
    text = _TYPE_WORDS.sub(r"\1", text)
    if typed := _TYPED.fullmatch(text):
        return f"{typed[1]}{_TYPES[typed[2]]}{typed[3] or ''}"
    prefix = _BEFORE_DECODER.match(text)
    assert prefix is not None
    before, tail = text[: prefix.end()], text[prefix.end() :]
    if found := _GO_TYPE.match(tail) or _OUR_TYPE.match(tail):
        kind = found[found.lastindex or 0] or "number"
        return f"{before}<type {'boolean' if kind == 'bool' else kind}>"
    if address := _ADDRESS.fullmatch(tail):
        return f"{before}{address[1]}"
    return text


def _utf8(text: str) -> str:
    # Go's encoder writes U+FFFD for each byte that is not UTF-8.
    return _ESCAPED.sub("\ufffd", text)


def _value(value: Any, key: str = "") -> Any:
    match value:
        case bool() | None:
            return value
        case int() | float():
            return _number(value)
        case str():
            return _HTML.sub(_unescaped, value) if key == "text" else _utf8(value)
        case bytes():
            return document(value)
        case list():
            return [_value(member) for member in value]
        case dict():
            members = ((name, _value(member, name)) for name, member in value.items())
            # Plugins in Go receive a network's keys in this order.
            return list(members) if key == "network" else dict(members)
        case _:
            raise TypeError(type(value))


def _number(value: int | float) -> Any:
    # Python has 1 == 1.0, but a Go plugin cannot read 1.0 into an int.
    return ("integer" if isinstance(value, int) else "float", value)


def _unescaped(match: re.Match[str]) -> str:
    return match[1] + chr(int(match[2], 16))


def document(data: bytes) -> Any:
    """Decode JSON with the order of its keys and the form of its numbers; else return the data."""
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_pairs,
            parse_int=lambda text: _number(int(text)),
            parse_float=lambda text: _number(float(text)),
        )
    except (ValueError, RecursionError):
        return data


def _pairs(pairs: Sequence[tuple[str, Any]]) -> Any:
    return ("object", list(pairs))

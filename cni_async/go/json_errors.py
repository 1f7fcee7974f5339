"""The error of Go's encoding/json for a document that is not JSON.

The standard library's texts differ from Go's, and between versions of Python, and name characters
where Go names bytes. The states here are those of Go's scanner.
"""

import re
import sys
from collections.abc import Callable
from itertools import accumulate
from typing import Final, TypeAlias

from .quote import quote

MAX_DEPTH: Final = "exceeded max depth"
_END_OF_INPUT: Final = "unexpected end of JSON input"
# Go's limit of levels.
_MOST_LEVELS: Final = 10_000
# Before Python 3.14 the recursion of C code ends far earlier.
_AS_DEEP_AS_THE_STACK: Final = sys.version_info >= (3, 14)
# A document of megabytes must not block an event loop: this much takes a few tenths of a second.
_MOST_BYTES: Final = 2 * 1024 * 1024
_MOST_STEPS: Final = 100_000

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_DIGITS: Final = re.compile(rb"[0-9]*")
_HEX_DIGITS: Final = re.compile(rb"[0-9a-fA-F]*")
# Matching a group takes memory for each repetition, so there are at most a thousand at once.
_STRING_PART: Final = re.compile(rb'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,1000}')
# The usual members of an array or an object, many at once.
_STRING: Final = rb'[ \t\r\n]*"[^"\\\x00-\x1f]*"[ \t\r\n]*'
_SCALAR: Final = (
    rb'[ \t\r\n]*(?:"[^"\\\x00-\x1f]*"|true|false|null'
    rb"|-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,9})?)[ \t\r\n]*"
)
_ELEMENTS: Final = re.compile(rb"(?:%b,){0,1000}" % _SCALAR)
_MEMBERS: Final = re.compile(rb"(?:%b:%b,){0,1000}" % (_STRING, _SCALAR))

_ANY_STRING: Final = re.compile(rb'"[^"]*"')
# The change of depth at an opening and at a closing bracket, as signed bytes.
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))

_CLOSING: Final = {ord("["): ord("]"), ord("{"): ord("}")}
_LITERALS: Final = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_IN_ARRAY: Final = ord("[")
_IN_OBJECT: Final = ord("{")

# The next step; `None` at the end.
_State: TypeAlias = "Callable[[], _State] | None"


def first_error(data: bytes) -> str | None:
    """Return the first syntax error of a document, in Go's words.

    Args:
        data: the document.

    Returns:
        the text of the error; `None` if there is no error, or if it comes after so many bytes or
        brackets that the search would take too long.
    """
    scanner = _Scanner(data)
    state: _State = scanner.value
    try:
        for _ in range(_MOST_STEPS):
            if state is None or scanner.at > _MOST_BYTES:
                break
            state = state()
    except _SyntaxError as error:
        return str(error)
    return None


def nests_too_deep(data: bytes) -> bool:
    """Return whether a JSON document has more levels than Go reads.

    Always false before Python 3.14, whose decoders refuse such a document. Undefined for non-JSON.
    """
    if not _AS_DEEP_AS_THE_STACK or data.count(b"[") + data.count(b"{") <= _MOST_LEVELS:
        return False  # nearly always, and at once
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = _ANY_STRING.sub(b"", unescaped).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > _MOST_LEVELS


class _SyntaxError(Exception):
    """A syntax error; the text is Go's."""


class _Scanner:
    """Walks through a document."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        # The brackets that are open.
        self._open = bytearray()

    def value(self) -> _State:
        if self._open and self._open[-1] == _IN_ARRAY:
            self._skip(_ELEMENTS)
        byte = self._next()
        if byte in _CLOSING:
            self._open.append(byte)
            if len(self._open) > _MOST_LEVELS:
                raise self._unexpected(MAX_DEPTH)
            self.at += 1
            return self._first_key if byte == _IN_OBJECT else self._first_value
        self._scalar(byte)
        return self._after_value

    def _first_value(self) -> _State:
        return self._close() if self._next() == _CLOSING[_IN_ARRAY] else self.value()

    def _first_key(self) -> _State:
        return self._close() if self._next() == _CLOSING[_IN_OBJECT] else self._key()

    def _key(self) -> _State:
        self._skip(_MEMBERS)
        if self._next() != ord('"'):
            raise self._unexpected("looking for beginning of object key string")
        self._string()
        if self._next() != ord(":"):
            raise self._unexpected("after object key")
        self.at += 1
        return self.value

    def _after_value(self) -> _State:
        if not self._open:
            self._skip(_SPACE)
            if self.at < len(self._data):
                raise self._unexpected("after top-level value")
            return None
        bracket, byte = self._open[-1], self._next()
        if byte == _CLOSING[bracket]:
            return self._close()
        if byte != ord(","):
            in_object = bracket == _IN_OBJECT
            raise self._unexpected(
                "after object key:value pair" if in_object else "after array element"
            )
        self.at += 1
        return self._key if bracket == _IN_OBJECT else self.value

    def _close(self) -> _State:
        self.at += 1
        self._open.pop()
        return self._after_value

    def _scalar(self, byte: int) -> None:
        if byte == ord('"'):
            self._string()
        elif byte in _LITERALS:
            self._literal(_LITERALS[byte])
        elif byte == ord("-") or self._is_digit():
            self._number()
        else:
            raise self._unexpected("looking for beginning of value")

    def _string(self) -> None:
        self.at += 1
        while self._skip(_STRING_PART):
            pass
        if self.at == len(self._data):
            raise _SyntaxError(_END_OF_INPUT)
        if self._byte() == ord('"'):
            self.at += 1
            return
        if self._byte() != ord("\\"):
            raise self._unexpected("in string literal")
        self.at += 1
        if self._byte() != ord("u"):
            raise self._unexpected("in string escape code")
        self.at += 1
        self._skip(_HEX_DIGITS)
        raise self._unexpected("in \\u hexadecimal character escape")

    def _literal(self, literal: bytes) -> None:
        for expected in literal:
            if self._byte() != expected:
                words = f"in literal {literal.decode()} (expecting '{chr(expected)}')"
                raise self._unexpected(words)
            self.at += 1

    def _number(self) -> None:
        if self._byte() == ord("-"):
            self.at += 1
            if not self._is_digit():
                raise self._unexpected("in numeric literal")
        if self._byte() == ord("0"):
            self.at += 1
        else:
            self._skip(_DIGITS)
        if self._byte() == ord("."):
            self.at += 1
            self._digits("after decimal point in numeric literal")
        if self._byte() in b"eE":
            self.at += 1
            if self._byte() in b"+-":
                self.at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, where: str) -> None:
        if not self._skip(_DIGITS):
            raise self._unexpected(where)

    def _is_digit(self) -> bool:
        return self._byte() in b"0123456789"

    def _skip(self, pattern: re.Pattern[bytes]) -> bool:
        """Skip the bytes that match; return whether there were any."""
        begin = self.at
        if (found := pattern.match(self._data, begin)) is not None:
            self.at = found.end()
        return self.at > begin

    def _next(self) -> int:
        """Return the next byte that is not white space."""
        self._skip(_SPACE)
        if self.at == len(self._data):
            raise _SyntaxError(_END_OF_INPUT)
        return self._data[self.at]

    def _byte(self) -> int:
        """Return the next byte; at the end a space, as Go does."""
        return self._data[self.at] if self.at < len(self._data) else ord(" ")

    def _unexpected(self, where: str) -> _SyntaxError:
        # Go converts the single byte to a character.
        char = chr(self._byte())
        quoted = {"'": r"'\''", '"': "'\"'"}.get(char) or f"'{quote(char)[1:-1]}'"
        return _SyntaxError(f"invalid character {quoted} {where}")

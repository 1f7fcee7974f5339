"""Questions and answers, and how they travel to the oracle."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# The keys whose values are bytes wherever they appear in an answer.
BYTES: Final = frozenset({"bytes", "stdout", "stderr", "config", "Config"})


@dataclass(frozen=True)
class Failure:
    """The attributes of an error."""

    text: str
    kind: str = ""
    code: int = 0
    msg: str = ""
    details: str = ""


@dataclass(frozen=True)
class Answer:
    """A result, an error, or the text of a panic in libcni."""

    result: Any = None
    error: Failure | None = None
    panic: str = ""

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Answer:
        """Read the oracle's answer."""
        if error := wire.get("error"):
            return cls(error=Failure(**error))
        return cls(_with_bytes(wire.get("result")), panic=wire.get("panic", ""))


@dataclass(frozen=True)
class Question:
    """An operation and its arguments.

    Attributes:
        op: the operation's name.
        fields: bytes, strings (of any bytes, as in `os.fsdecode`) and JSON values.
        files: a directory to lay out before the operation, see `tests.interop.tree`; ``{root}``
            in strings stands for it.
        single_fault: whether the document has at most one fault.
    """

    op: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes | str | None] | None = None
    single_fault: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Write the question for the oracle."""
        return {"op": self.op, **{key: to_wire(value) for key, value in self.fields.items()}}


def ask(op: str, **fields: Any) -> Question:
    """Make a question."""
    return Question(op, fields)


def to_wire(value: Any) -> Any:
    """Write a value as the oracle reads it: bytes as base64, and text that is not UTF-8 marked."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case str():
            data = value.encode("utf-8", "surrogateescape")
            return value if _is_utf8(data) else {"base64": to_wire(data)}
        case list() | tuple():
            return [to_wire(member) for member in value]
        case dict():
            return {key: to_wire(member) for key, member in value.items()}
        case _:
            return value


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _with_bytes(value: Any, key: str = "") -> Any:
    match value:
        case str() if key in BYTES:
            return base64.b64decode(value)
        case list():
            return [_with_bytes(member) for member in value]
        case dict():
            return {name: _with_bytes(member, name) for name, member in value.items()}
        case None if key in BYTES:
            return b""
        case _:
            return value

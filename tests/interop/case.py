"""A question with both answers, as the explanations of differences read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from .wire import Answer, Question

# Returns both answers without a difference, or None if that cannot be the cause.
Rewrite = Callable[["Case"], tuple[Any, Any] | None]
Same = tuple[Any, Any]

# Two answers after the difference between them is explained.
SAME: Final[Same] = ("explained", "explained")

_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Case:
    """A question with both answers.

    Attributes:
        question: the question.
        go: libcni's answer.
        ours: our answer.
        go_form: libcni's answer in canonical form, without the differences explained so far.
        our_form: our answer likewise.
        ask: asks libcni another question; `None` without an oracle.
    """

    question: Question
    go: Answer
    ours: Answer
    go_form: Any
    our_form: Any
    ask: Callable[[Question], Answer] | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing is left to explain."""
        return bool(self.go_form == self.our_form)

    def with_canonical(self, go_form: Any, our_form: Any) -> Case:
        """Return the case with the rest that is left to explain."""
        return replace(self, go_form=go_form, our_form=our_form)

    @property
    def op(self) -> str:
        """The operation's name."""
        return self.question.op

    @property
    def go_text(self) -> str:
        """The text of libcni's error, or "" without one."""
        return self.go.error.text if self.go.error else ""

    @property
    def our_text(self) -> str:
        """The text of our error, or "" without one."""
        return self.ours.error.text if self.ours.error else ""

    @property
    def words(self) -> tuple[str, str]:
        """The texts of both errors in canonical form, or "" without an error."""
        return _words(self.go_form), _words(self.our_form)

    @property
    def inputs(self) -> list[bytes]:
        """All documents in the question."""
        found = [self.question.fields.get(name) for name in ("data", "stdout")]
        files = (self.question.files or {}).values()
        return [each for each in (*found, *files) if isinstance(each, bytes)]

    @property
    def document(self) -> Any:
        """The question's document with all its keys (see `pairs`); `None` if it is not JSON."""
        stdout = self.question.fields.get("stdout")
        return pairs(self.question.fields["data"] if stdout is None else stdout)

    def has_huge_number(self) -> bool:
        """Return whether a document has a number that no float64 can hold."""
        return any(
            abs(float(number)) == float("inf")
            for data in self.inputs
            for number in _NUMBER.findall(data)
        )


def _words(form: Any) -> str:
    return form[1] if form[0] == "error" else ""


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its keys, also repeated ones."""

    def all(self, name: str) -> list[Any]:
        """Return the values of a key in any letter case, in the document's order."""
        return [value for key, value in self if fold(key) == fold(name)]

    def get(self, name: str) -> Any:
        """Return the value that a case-sensitive reader reads for a key, or `None`."""
        return next((value for key, value in reversed(self) if key == name), None)


def pairs(data: bytes) -> Any:
    """Decode a document with objects as `Pairs`, or return `None` if it is not JSON."""
    try:
        return json.loads(data.decode("utf-8", "replace"), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None


def fold(key: str) -> str:
    """Fold the case of a key as Go does to compare keys."""
    return key.casefold()

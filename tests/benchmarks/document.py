"""Replace the text between two marks of a document."""

from __future__ import annotations

from pathlib import Path
from typing import Final

Marks = tuple[str, str]
MEASURED: Final[Marks] = (
    "<!-- measured: begin; all down to the end mark is written by a program -->",
    "<!-- measured: end -->",
)
PARTS: Final[Marks] = (
    "<!-- parts: begin; all down to the end mark is written by a program -->",
    "<!-- parts: end -->",
)


def replace_between(document: str, text: str, marks: Marks) -> str:
    """Return a document with another text between its marks.

    Raises:
        ValueError: the document does not have exactly one mark of each kind, in this order.
    """
    first, last = marks
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end or first in rest or last in after:
        raise ValueError(f"there must be one {first!r} and, below, one {last!r}")
    return f"{before}{first}\n\n{text.strip()}\n\n{last}{after}"


def write(path: Path, text: str, marks: Marks) -> None:
    """Replace the text between the marks of a file.

    Raises:
        ValueError: as in `replace_between`.
    """
    path.write_text(replace_between(path.read_text(), text, marks))

"""Put a text between the marks of a document, and leave the rest of it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- measured: begin; all down to the end mark is written by a program -->"
END: Final = "<!-- measured: end -->"


def replace_measured(document: str, text: str) -> str:
    """Return a document with another text between its marks.

    Raises:
        ValueError: it does not have one mark of each kind, in this order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"there must be one {BEGIN!r} and, below, one {END!r}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def write(path: Path, text: str) -> None:
    """Replace what is between the marks of a file.

    Raises:
        ValueError: it lacks them.
    """
    path.write_text(replace_measured(path.read_text(), text))

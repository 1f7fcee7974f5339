"""Prose is plain English: some idioms that this project once had do not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
IDIOMS: Final = {
    "a sentence that begins with a free who or what": (
        r"(?:^|[.:;(] +)(?:Who|What|Whoever|Whatever)\b(?![^.?]*\?)"
    ),
    "is no": r"(?<![Tt]here )\b(?:is|are|was|were) no\b(?! (?:longer|more|less)\b)",
    "gave, told": r"\b(?:gave|told|tells?)\b",
    "somebody, nobody": r"\b(?:somebody|anybody|nobody)\b",
    "as long as it likes": r"\bas (?:long|often|many|much) as (?:it|they) likes?\b",
    "say DEL": r"\bsay DEL\b",
    "who knows what": r"\bwho knows what\b",
    "let go of": r"\blet go of\b",
    "has long done": r"\bhas long done\b",
}
# Code in a text, and CONTRIBUTING's section on these idioms.
ALLOWED: Final = re.compile(
    r"```.*?```|`[^`\n]*`|(?<=\n)## Prose and names\n.*?(?=\n## )", re.DOTALL
)
FILES: Final = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "*.md",
        "*.py",
        "docs/**/*.md",
        "cni_async/**/*.py",
        "examples/*.py",
        "tests/**/*.py",
        "tests/**/*.md",
    )
    for path in ROOT.glob(pattern)
    if path.name != Path(__file__).name
)


def read(path: Path) -> Iterator[str]:
    """Return a document, or the docstrings, comments and texts of a module.

    Of tests, the texts are left out: those hold what plugins and libcni say.
    """
    text = (ROOT / path).read_text()
    if path.suffix == ".md":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.Constant) and path.parts[0] == "cni_async":
            yield node.value if isinstance(node.value, str) and " " in node.value else ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


@cache
def prose() -> list[tuple[Path, str]]:
    """Return the texts of all files without the code in them."""
    return [(path, ALLOWED.sub("", text)) for path in FILES for text in read(path)]


@pytest.mark.parametrize("idiom", IDIOMS)
def test_an_idiom_is_gone(idiom: str) -> None:
    pattern = re.compile(IDIOMS[idiom], re.MULTILINE)
    found = [
        f"{path}: {text[max(0, hit.start() - 30) : hit.end() + 30]!r}"
        for path, text in prose()
        for hit in pattern.finditer(text)
    ]
    assert not found, "\n".join(found)

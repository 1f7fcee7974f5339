"""The directories of questions about files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from .wire import Answer, Failure, Question

# A placeholder for the directory, which has a new name each time.
ROOT: Final = "{root}"


@contextlib.contextmanager
def laid_out(question: Question) -> Iterator[tuple[Question, str]]:
    """Make a question's files for a block; return the question with their directory, and that."""
    if question.files is None:
        yield question, ROOT
        return
    with tempfile.TemporaryDirectory(prefix="cni-async-interop-") as root:
        for name, content in question.files.items():
            path = os.path.join(root, name)
            os.makedirs(path if content is None else os.path.dirname(path), exist_ok=True)
            if isinstance(content, str):
                os.symlink(content.replace(ROOT, root), path)
            elif content is not None:
                with open(path, "wb") as file:
                    file.write(content)
        yield replace(question, fields=replaced(dict(question.fields), ROOT, root)), root


def without_root(answer: Answer, root: str) -> Answer:
    """Replace the directory's name by the placeholder."""
    error = answer.error and Failure(**replaced(vars(answer.error), root, ROOT))
    return replace(answer, result=replaced(answer.result, root, ROOT), error=error)


def replaced(value: Any, old: str, new: str) -> Any:
    """Replace a text in all strings of a value."""
    match value:
        case str():
            return value.replace(old, new)
        case list() | tuple():
            return [replaced(member, old, new) for member in value]
        case dict():
            return {key: replaced(member, old, new) for key, member in value.items()}
        case _:
            return value

"""Record system calls about files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

# The functions of `os` that make one system call each.
_OF_OS: Final = (
    "access",
    "close",
    "fstat",
    "fsync",
    "listdir",
    "lstat",
    "mkdir",
    "open",
    "read",
    "replace",
    "stat",
    "unlink",
    "write",
)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Return a list to which each system call about files in a block adds its name."""
    calls: list[str] = []

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in _OF_OS:
            patch.setattr(os, name, noting(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", noting("flock", fcntl.flock))
        yield calls

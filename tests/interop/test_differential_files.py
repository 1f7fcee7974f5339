"""Both libraries find the same in directories of configurations and of plugins."""

from __future__ import annotations

from hypothesis import given

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import directories
from .wire import Question


@cases(share=5)
@given(directories.directories())
def test_directories(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "directories")


@cases(share=2)
@given(directories.plugin_paths())
def test_plugin_paths(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "plugin paths")

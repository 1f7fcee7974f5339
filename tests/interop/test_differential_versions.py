"""Both libraries parse, compare and reconcile versions, and read answers to VERSION, alike."""

from __future__ import annotations

from hypothesis import given

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import words
from .wire import Question


@cases(share=5)
@given(words.comparisons())
def test_comparisons(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "versions")


@cases(share=3)
@given(words.plugin_info())
def test_plugin_info(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "plugin info")

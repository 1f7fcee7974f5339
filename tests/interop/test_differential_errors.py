"""Both libraries report and write the errors of plugins alike."""

from __future__ import annotations

from hypothesis import given

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import words
from .wire import Question


@cases(share=4)
@given(words.failures())
def test_failures(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "failed plugins")


@cases(share=2)
@given(words.error_objects())
def test_error_objects(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "error objects")


@cases(share=2)
@given(words.quotations())
def test_quotations(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "quotations")

"""Plugins read the same CNI_ARGS from both libraries, in the same environment."""

from __future__ import annotations

from hypothesis import given

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import words
from .wire import Question


@cases(share=4)
@given(words.loaded_args())
def test_loaded_args(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "CNI_ARGS")


@cases(share=2)
@given(words.environments())
def test_environments(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "environments")

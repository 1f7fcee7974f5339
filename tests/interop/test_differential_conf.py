"""Both libraries read the same from configurations."""

from __future__ import annotations

from hypothesis import given

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import configurations
from .wire import Question


@cases(share=8)
@given(configurations.single_configurations())
def test_single_configurations(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "single configurations")


@cases(share=10)
@given(configurations.configuration_lists())
def test_configuration_lists(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "configuration lists")


@cases(share=5)
@given(configurations.injections())
def test_injections(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "injected values")


@cases(share=4)
@given(configurations.previous_results())
def test_previous_results(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "prevResult")

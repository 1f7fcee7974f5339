"""Both libraries read and convert results, and take them from plugins' output, alike."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from .cases import cases
from .compare import check
from .oracle import Oracle
from .strategies import results
from .wire import Question, ask


@cases(share=5)
@given(results.readings())
def test_readings(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "results read")


@cases(share=4)
@given(results.single_faults())
def test_results_with_one_fault(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "results read")


@pytest.mark.parametrize("source", results.VERSIONS)
@cases(share=1)
@given(data=st.data())
def test_conversions(oracle: Oracle, source: str, data: st.DataObject) -> None:
    check(oracle, data.draw(results.conversions(source)), "results converted")


@pytest.mark.parametrize("target", results.VERSIONS)
@pytest.mark.parametrize("source", results.VERSIONS)
@cases(share=0.1)
@given(data=st.data())
def test_each_conversion(oracle: Oracle, source: str, target: str, data: st.DataObject) -> None:
    question = ask("convert", data=data.draw(results.sound(source)), text=target)
    check(oracle, question, "results converted")


@cases(share=3)
@given(results.printed())
def test_results_of_plugins(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "results of plugins")

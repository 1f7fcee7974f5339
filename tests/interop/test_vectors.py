"""libcni's recorded answers: cni_async gives them too, with Go or without."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from . import corpus, explained_chains, vectors
from .canonical import canonical
from .compare import our_answer, require_same
from .explained import DIFFERENCES, explain
from .oracle import Oracle
from .record import record
from .wire import Answer, Question

_ROWS = (Path(__file__).parents[2] / "docs" / "differences.md").read_text()
# Deep nesting is no good reading; whether libcni trips over another network has to be asked.
_NOT_RECORDED = {"depth"}

_ALL = [
    pytest.param(*vector, id=f"{family}-{number}")
    for family in corpus.FAMILIES
    for number, vector in enumerate(vectors.read(family))
]


@pytest.mark.parametrize(("question", "recorded"), _ALL)
def test_same_as_recorded(question: Question, recorded: Answer) -> None:
    require_same(question, recorded, our_answer(question))


@pytest.mark.parametrize("family", corpus.FAMILIES)
def test_recording_is_what_libcni_says_today(oracle: Oracle, family: str) -> None:
    """Compare in canonical form, since the words of Go's decoder change with Go."""
    committed = {repr(question): canonical(answer) for question, answer in vectors.read(family)}
    today = {repr(question): canonical(answer) for question, answer in record(oracle, family)}
    assert committed == today


def test_every_chosen_difference_is_recorded() -> None:
    met: Counter[str] = Counter()
    for family in corpus.FAMILIES:
        for question, recorded in vectors.read(family):
            met.update(explain(question, recorded, our_answer(question)) or [])
    assert set(met) == {difference.anchor for difference in DIFFERENCES} - _NOT_RECORDED


@pytest.mark.parametrize(
    "anchor", sorted({*explained_chains.ANCHORS, *(one.anchor for one in DIFFERENCES)})
)
def test_every_chosen_difference_has_its_row(anchor: str) -> None:
    rows = re.findall(rf'^\| <a id="{anchor}"></a>.*\|$', _ROWS, re.MULTILINE)
    assert len(rows) == 1

"""cni_async gives the same answers as libcni's recorded ones, with or without Go."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.interop import corpus, explained_chains, vectors
from tests.interop.compare import our_answer, require_same
from tests.interop.explained import DIFFERENCES, explain
from tests.interop.wire import Answer, Question

_DOCUMENT = (Path(__file__).parents[1] / "docs" / "differences.md").read_text()
# Deeply nested documents are not readable as vectors.
_NOT_RECORDED = {"depth"}

_ALL = [
    pytest.param(*vector, id=f"{family}-{number}")
    for family in corpus.FAMILIES
    for number, vector in enumerate(vectors.read(family))
]


@pytest.mark.parametrize(("question", "recorded"), _ALL)
def test_same_as_recorded(question: Question, recorded: Answer) -> None:
    require_same(question, recorded, our_answer(question))


def test_every_chosen_difference_is_recorded() -> None:
    met: Counter[str] = Counter()
    for family in corpus.FAMILIES:
        for question, recorded in vectors.read(family):
            met.update(explain(question, recorded, our_answer(question)) or [])
    assert set(met) == {difference.anchor for difference in DIFFERENCES} - _NOT_RECORDED


@pytest.mark.parametrize(
    "anchor", sorted({*explained_chains.ANCHORS, *(one.anchor for one in DIFFERENCES)})
)
def test_every_chosen_difference_is_documented(anchor: str) -> None:
    sections = re.findall(rf'^<a id="{anchor}"></a>\n\n### .+$', _DOCUMENT, re.MULTILINE)
    assert len(sections) == 1

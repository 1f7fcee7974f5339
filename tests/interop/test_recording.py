"""The recorded answers, which machines without Go have: libcni gives them still."""

from __future__ import annotations

import pytest

from . import corpus, vectors
from .canonical import canonical
from .oracle import Oracle
from .record import record


@pytest.mark.parametrize("family", corpus.FAMILIES)
def test_recording_is_what_libcni_says_today(oracle: Oracle, family: str) -> None:
    """Compare in canonical form, since the words of Go's decoder change with Go."""
    committed = {repr(question): canonical(answer) for question, answer in vectors.read(family)}
    today = {repr(question): canonical(answer) for question, answer in record(oracle, family)}
    assert committed == today

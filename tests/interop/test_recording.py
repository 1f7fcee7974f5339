"""The recorded answers, which machines without Go use, are still libcni's answers."""

from __future__ import annotations

import pytest

from . import corpus, vectors
from .canonical import canonical
from .oracle import Oracle
from .record import record


@pytest.mark.parametrize("family", corpus.FAMILIES)
def test_recording_is_what_libcni_says_today(oracle: Oracle, family: str) -> None:
    """The canonical forms are equal; the texts of Go's decoder change with Go's version."""
    committed = {repr(question): canonical(answer) for question, answer in vectors.read(family)}
    today = {repr(question): canonical(answer) for question, answer in record(oracle, family)}
    assert committed == today

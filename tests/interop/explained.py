"""The chosen differences: each has its section in docs/differences.md, and a narrow rule here.

A `Difference` turns Go's and our canonical answers into values that are equal if the answers differ
in nothing else. A difference that no `Difference` explains is a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import explained_conf, explained_results
from .canonical import canonical
from .case import Case, Rewrite
from .wire import Answer, Question

Ask = Callable[[Question], Answer]


@dataclass(frozen=True)
class Difference:
    """A chosen difference.

    Attributes:
        anchor: the anchor of its section in docs/differences.md.
        rewrite: gives both answers as they are without it; None where it cannot be the cause.
    """

    anchor: str
    rewrite: Rewrite


DIFFERENCES: Final = tuple(
    Difference(anchor, rewrite)
    for anchor, rewrite in (*explained_conf.REWRITES, *explained_results.REWRITES)
)


def explain(
    question: Question, go: Answer, ours: Answer, ask: Ask | None = None
) -> list[str] | None:
    """Tell which chosen differences are between two answers.

    Args:
        question: what was asked.
        go: libcni's answer.
        ours: ours.
        ask: asks libcni something else, where a difference has to be looked into.

    Returns:
        the anchors, none for equal answers; or `None` if a difference stays unexplained.
    """
    case = Case(question, go, ours, canonical(go), canonical(ours), ask)
    if case.equal:
        return []
    anchors = []
    for difference in DIFFERENCES:
        rewritten = difference.rewrite(case)
        if rewritten is None:
            continue
        case = case.with_canonical(*rewritten)
        anchors.append(difference.anchor)
        if case.equal:
            return anchors
    return None

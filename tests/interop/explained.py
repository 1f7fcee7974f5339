"""The chosen differences: each has its section in docs/differences.md, and a narrow rule here.

A `Difference` rewrites Go's and our canonical answers so that they are equal if nothing else
differs. The comparison fails at a difference that no `Difference` explains.
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
        rewrite: returns both answers without the difference, or `None` if it cannot be the cause.
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
    """Return the chosen differences between two answers.

    Args:
        question: the question.
        go: libcni's answer.
        ours: our answer.
        ask: asks libcni another question; `None` without an oracle.

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

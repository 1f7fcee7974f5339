"""Ask libcni and cni_async, and compare their answers."""

from __future__ import annotations

from pprint import pformat

from . import explained_chains, ours
from .bench import Bench, Observed
from .cases import COUNTS, DIFFERENCES
from .explained import explain
from .oracle import Oracle
from .tree import laid_out, without_root
from .wire import Answer, Question


def ask_oracle(oracle: Oracle, question: Question) -> Answer:
    """Ask libcni alone, with the question's directory laid out."""
    with laid_out(question) as (placed, root):
        return without_root(oracle.answer(placed), root)


def our_answer(question: Question) -> Answer:
    """Ask cni_async alone, with the question's directory laid out."""
    with laid_out(question) as (placed, root):
        return without_root(ours.answer(placed), root)


def ask_both(oracle: Oracle, question: Question) -> tuple[Answer, Answer]:
    """Ask libcni and cni_async about the same directory."""
    with laid_out(question) as (placed, root):
        go = without_root(oracle.answer(placed), root)
        return go, without_root(ours.answer(placed), root)


def check(oracle: Oracle, question: Question, family: str) -> None:
    """Ask both a question, and compare their answers.

    Raises:
        AssertionError: there is a difference that no `Difference` explains.
    """
    go, our = ask_both(oracle, question)
    COUNTS[family] += 1
    require_same(question, go, our, oracle)


def check_chain(bench: Bench, question: Question, family: str) -> tuple[Observed, Observed]:
    """Ask both a question about a chain, compare the observations, and return them.

    Raises:
        AssertionError: there is a difference that no `Difference` explains.
    """
    go, our = bench.ask_go(question), bench.ask_ours(question)
    COUNTS[family] += 1
    anchors = explained_chains.explain(bench, question, go, our)
    if anchors is None:
        raise AssertionError(
            f"libcni and cni_async differ:\n{pformat(question)}\n"
            f"--- libcni\n{pformat(go)}\n--- cni_async\n{pformat(our)}"
        )
    DIFFERENCES.update(anchors)
    return go, our


def require_same(question: Question, go: Answer, our: Answer, oracle: Oracle | None = None) -> None:
    """Compare two answers.

    Raises:
        AssertionError: there is a difference that no `Difference` explains.
    """
    ask = None if oracle is None else lambda other: ask_oracle(oracle, other)
    anchors = explain(question, go, our, ask)
    if anchors is None:
        raise AssertionError(
            f"libcni and cni_async differ:\n{pformat(question)}\n"
            f"--- libcni\n{pformat(go)}\n--- cni_async\n{pformat(our)}"
        )
    DIFFERENCES.update(anchors)

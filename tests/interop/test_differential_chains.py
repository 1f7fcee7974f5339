"""Both libraries call the same plugins, return the same, and leave the same in the cache."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from .bench import Bench, Cache
from .cases import cases
from .compare import check_chain
from .corpus.chains import CHAINS, SAME
from .explained_chains import ANCHORS, explain
from .strategies import chains, records
from .strategies.results import VERSIONS
from .wire import Question

_READERS = ("cached_result", "cached_config", "check", "del")


@cases(share=5)
@given(data=st.data())
def test_operations_one_after_the_other(bench: Bench, data: st.DataObject) -> None:
    """Each operation starts with the cache that libcni or cni_async left before."""
    network = data.draw(chains.networks())
    told = data.draw(chains.answers(chains.version_of(network)))
    cache: Cache = data.draw(records.caches())
    for _ in range(data.draw(st.integers(1, 3))):
        question = data.draw(chains.operations(network, told, cache))
        both = check_chain(bench, question, "chains")
        cache = data.draw(st.sampled_from(both)).cache


@cases(share=3)
@given(data=st.data())
def test_records_in_any_state(bench: Bench, data: st.DataObject) -> None:
    network = data.draw(chains.networks())
    told = data.draw(chains.answers(chains.version_of(network)))
    cache = data.draw(records.caches(at_least_one=True))
    ops = _READERS if network["single"] else (*_READERS, "attachments", "gc")
    check_chain(bench, data.draw(chains.operations(network, told, cache, ops)), "cache records")


@cases(share=4)
@given(data=st.data())
def test_records_token_by_token(bench: Bench, data: st.DataObject) -> None:
    """Both of our readers of records agree on repeated keys, odd numbers and odd UTF-8."""
    network = data.draw(chains.networks(st.just("net"), st.sampled_from(VERSIONS)))
    op = data.draw(st.sampled_from(["cached_result"] * 4 + ["cached_config", "check", "del"]))
    runtime = {"containerID": "c1", "netns": "", "ifname": "eth0", "args": [], "capabilityArgs": {}}
    cache: Cache = data.draw(records.odd_caches())
    check_chain(bench, Question(op, {**network, "runtime": runtime}, cache), "cache records")


@cases(share=2)
@given(data=st.data())
def test_what_one_adds_the_other_reads(bench: Bench, data: st.DataObject) -> None:
    network = data.draw(chains.networks())
    told = data.draw(chains.answers(chains.version_of(network)))
    question = data.draw(chains.operations(network, told, {}, ("add",)))
    both = check_chain(bench, question, "chains")
    fields = {key: value for key, value in question.fields.items() if key != "runtime"}
    for observed in both:
        asked = [Question(op, question.fields, observed.cache) for op in _READERS]
        if not network["single"]:
            asked.append(Question("attachments", {**fields, "text": ""}, observed.cache))
            asked.append(Question("gc", {**fields, "valid": []}, observed.cache))
        for again in asked:
            check_chain(bench, again, "one cache, two writers")


@cases(share=2)
@given(chains.delegations())
def test_delegation(bench: Bench, question: Question) -> None:
    check_chain(bench, question, "delegation")


@pytest.mark.parametrize(
    ("anchor", "question"),
    [
        pytest.param(anchor, question, id=f"{anchor}-{number}")
        for anchor, questions in CHAINS.items()
        for number, question in enumerate(questions)
    ],
)
def test_each_chosen_difference(bench: Bench, anchor: str, question: Question) -> None:
    go, ours = bench.ask_go(question), bench.ask_ours(question)
    assert set(explain(bench, question, go, ours) or ()) == {anchor}


def test_there_is_one_for_every_anchor() -> None:
    assert CHAINS.keys() == ANCHORS


@pytest.mark.parametrize("question", SAME, ids=range(len(SAME)))
def test_answers_that_the_networks_version_cannot_hold(bench: Bench, question: Question) -> None:
    go, ours = bench.ask_go(question), bench.ask_ours(question)
    assert explain(bench, question, go, ours) == []

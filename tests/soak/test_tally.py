"""The counts of a soak decide whether it is clean."""

from __future__ import annotations

import math
import time

import pytest

from cni_async.invoke import Spawn

from .force import Force
from .kills import Deaths
from .tally import CANCELLATIONS, PLUGINS, RECORDS, STALLS, Tally


def test_a_leak_of_any_kind_is_none_too_few() -> None:
    tally = Tally("asyncio", 1, leaks={"threads": []})
    tally.leaked("addresses", ["10.0.0.2", "10.0.0.1"])
    assert not tally.clean
    lines = [line.split() for line in tally.table().splitlines()]
    assert lines[lines.index(["leaks:", "2"]) + 1 :] == [
        ["threads", "0"],
        ["addresses", "2"],
        ["10.0.0.1"],
        ["10.0.0.2"],
        ["statuses", "that", "were", "lost,", "and", "said", "to", "be:", "0"],
        ["false", "successes:", "0"],
        ["false", "failures:", "0"],
        ["violations:", "0"],
    ]


def test_a_violation_is_one_too_many() -> None:
    tally = Tally("asyncio", 1, violations=["two at once"])
    assert not tally.clean
    assert "violations: 1\n    two at once" in tally.table()


def test_deaths() -> None:
    assert Deaths(1).clean
    deaths = Deaths(1)
    deaths.leaks["interfaces"].append("eth0 in box1")
    assert not deaths.clean
    assert "eth0 in box1" in deaths.table()


@pytest.mark.parametrize("kind", ["false_successes", "false_failures"])
def test_a_false_answer_is_one_too_many(kind: str) -> None:
    tally = Tally("asyncio", 1)
    getattr(tally, kind).append("two ADD")
    assert not tally.clean


def test_a_frozen_disk_is_waited_for() -> None:
    tally = Tally("asyncio", 1)
    long_ago = time.monotonic() - 100
    tally.thawed = time.monotonic()
    tally.took(RECORDS, long_ago)
    assert tally.clean
    tally.thawed = 0
    tally.took(RECORDS, long_ago)
    assert not tally.clean


@pytest.mark.parametrize(
    ("backend", "spawn", "what", "counts"),
    [
        ("trio", "anyio", PLUGINS, False),
        ("trio", "anyio", CANCELLATIONS, False),
        ("trio", "anyio", RECORDS, True),
        ("trio", "anyio", STALLS, True),
        ("trio", "posix", PLUGINS, True),
        ("trio", "posix", CANCELLATIONS, True),
        ("asyncio", "anyio", PLUGINS, True),
        ("uvloop", "anyio", CANCELLATIONS, True),
    ],
)
def test_on_trio_a_plugin_waits_for_a_busy_thread(
    backend: str, spawn: Spawn, what: str, counts: bool
) -> None:
    tally = Tally(backend, 1, spawn=spawn)
    long_ago = time.monotonic() - 100
    tally.force.spans["busy-threads"] = [(long_ago - 5, long_ago + 50), (long_ago + 51, math.inf)]
    tally.took(what, long_ago)
    assert tally.clean != counts


def test_on_trio_a_plugin_is_late_if_a_thread_is_free() -> None:
    tally = Tally("trio", 1)
    long_ago = time.monotonic() - 100
    tally.force.spans["busy-threads"] = [(long_ago, long_ago + 20), (long_ago + 35, math.inf)]
    tally.took(PLUGINS, long_ago)
    assert any(PLUGINS in each for each in tally.violations)


def test_operations_under_a_condition() -> None:
    force = Force()
    force.spans["before"] = [(1.0, 2.0)]
    began = time.monotonic()
    with force.holds("meanwhile"):
        force.count(began - 1)
        force.count(time.monotonic())
    force.count(began)
    assert force.whole == {"meanwhile": 1}
    assert force.partly == {"meanwhile": 2}
    assert force.table()[-1].split() == ["meanwhile", "1", "2", "1", "0"]

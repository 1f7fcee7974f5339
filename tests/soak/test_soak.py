"""The soak finds nothing wrong with the library, and something with each that is broken."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cni_async.chains import Chain, Chains, Progress
from cni_async.invoke import pipes, process
from cni_async.locks import Locks
from cni_async.runtime import RuntimeConf
from tests.support.faulty import FAULTS
from tests.support.processes import processes_with
from tests.support.scripts import open_fds

from . import __main__ as command
from . import run, steering
from .kills import Deaths, kill_runtimes
from .tally import Tally

OPERATIONS = 150


def soak(folder: Path, backend: str = "asyncio") -> Tally:
    tally = run.soak(folder, backend=backend, operations=OPERATIONS, seconds=60, seed=1)
    print(tally.table())
    return tally


@pytest.mark.parametrize("backend", run.BACKENDS)
def test_nothing_is_wrong(tmp_path: Path, backend: str) -> None:
    tally = soak(tmp_path, backend)
    assert tally.clean
    assert tally.operations == OPERATIONS
    assert len(tally.leaks) > 10  # all kinds were looked for
    assert tally.faults.total() > 10


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes one fault the only one of plugins."""

    def choose(fault: str) -> None:
        monkeypatch.setattr(steering, "FAULTS", {fault: FAULTS[fault]})
        monkeypatch.setattr(steering, "ENDLESS", ())
        # Nor is it waited long for what will not go.
        monkeypatch.setattr(run, "PATIENCE", 2.0)

    return choose


def test_a_rollback_that_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    async def forget(self: Chains, chain: Chain, rt: RuntimeConf, progress: Progress) -> None:
        if progress.key is not None:
            await self._attachments.forget(progress.key, rt)

    only("fails with words")
    monkeypatch.setattr(Chains, "undo", forget)
    assert soak(tmp_path).leaks["attachments without a record"]


@pytest.fixture
def undertaker(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in processes_with(str(tmp_path)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("undertaker")
def test_children_of_plugins_that_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    def kill(group: int, number: int) -> bool:
        try:
            os.kill(group, number)
        except ProcessLookupError:
            return False
        return number != 0

    only("has a child that ignores SIGTERM")
    monkeypatch.setattr(process, "_signal_group", kill)
    assert soak(tmp_path).leaks["processes"]


def test_descriptors_that_are_not_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    before = open_fds()
    only("fails with words")
    monkeypatch.setattr(pipes.Pipes, "close", lambda self: None)
    try:
        assert soak(tmp_path).leaks["descriptors"]
    finally:
        for fd in open_fds() - before:
            with suppress(OSError):
                os.close(fd)


@pytest.mark.parametrize("which", ["collection", "attachment"])
def test_an_order_that_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None], which: str
) -> None:
    @asynccontextmanager
    async def hold(self: Locks, *args: Any) -> AsyncGenerator[None]:
        yield

    only("fails with words")
    monkeypatch.setattr(Locks, which, hold)
    assert any("at once" in each for each in soak(tmp_path).violations)


@pytest.mark.e2e
def test_runtimes_that_are_killed(tmp_path: Path, plugin_dir: Path) -> None:
    deaths = kill_runtimes(tmp_path, plugin_dir, kills=6, seed=1)
    print(deaths.table())
    assert deaths.clean
    assert deaths.kills.total() == 6


# -- what is said of it


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


@pytest.mark.parametrize("wrong", ["", "leak", "violation", "death"])
def test_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    backends: list[str] = []

    def soak(folder: Path, *, backend: str, seed: int, **options: Any) -> Tally:
        backends.append(backend)
        tally = Tally(backend, seed)
        tally.leaked("threads", ["one"] * (wrong == "leak" and backend == "asyncio"))
        tally.violations += ["one"] * (wrong == "violation" and backend == "trio")
        return tally

    def kill_runtimes(folder: Path, plugins: Path, *, kills: int, seed: int) -> Deaths:
        deaths = Deaths(seed)
        deaths.leaks["addresses"] += ["one"] * (wrong == "death")
        return deaths

    monkeypatch.setattr(run, "soak", soak)
    monkeypatch.setattr(command, "kill_runtimes", kill_runtimes)
    arguments = "soak --seed 7 --kills 2 --plugins /bin --backend asyncio --backend trio"
    monkeypatch.setattr("sys.argv", arguments.split())
    assert command.main() == (1 if wrong else 0)
    assert backends == ["asyncio", "trio"]
    printed = capsys.readouterr().out
    assert printed.startswith("soak on asyncio: seed 7\n")
    assert "kills: seed 7" in printed

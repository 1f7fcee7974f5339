"""The soak finds nothing wrong with the library, and finds each way to break it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
import pytest

from cni_async import AttachmentKey, FileCache, NetworkAttachment, api
from cni_async.invoke import Spawn, exec as runner, pipes, process
from cni_async.invoke.process import Outcome, run_process
from cni_async.model.runtime import RuntimeConf
from cni_async.operations import gc, recover
from cni_async.operations.chain import Chains, Progress
from cni_async.operations.operation import Operation
from cni_async.operations.order import Locks
from cni_async.operations.recorded import runtime_of
from tests.support.faulty import FAULTS
from tests.support.processes import processes_with
from tests.support.require import require
from tests.support.scripts import open_fds

from . import conditions, foreign, frozen, run, steering, tally
from .frozen import why_no_disk
from .kills import kill_runtimes
from .tally import PLUGINS, RECORDS, STALLS, Tally

OPERATIONS = 150


def soak(
    folder: Path,
    backend: str = "asyncio",
    conditions: Sequence[str] = (),
    spawn: Spawn | None = None,
) -> Tally:
    tally = run.soak(
        folder,
        backend=backend,
        operations=OPERATIONS,
        seconds=60,
        seed=1,
        conditions=conditions,
        spawn=spawn,
    )
    print(tally.table())
    return tally


# If another thread or the kernel reaps a child during its start, asyncio warns of its own objects.
_REAPED_ELSEWHERE = (
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


# The other conditions take longer; the session soak-short runs all of them.
_IN_TURNS = ("reaper", "sigchld-ignored")


@pytest.mark.parametrize("condition", [(), pytest.param(_IN_TURNS, marks=_REAPED_ELSEWHERE)])
@pytest.mark.parametrize("backend", run.BACKENDS)
def test_nothing_is_wrong(
    tmp_path: Path, backend: str, condition: Sequence[str], spawn: Spawn
) -> None:
    tally = soak(tmp_path, backend, condition, spawn)
    assert tally.clean, tally.table()
    assert tally.operations == OPERATIONS
    assert len(tally.leaks) > 10  # the soak looked for all kinds
    assert tally.faults.total() > 10
    assert bool(tally.conditions) == bool(condition)
    met = tally.force.whole + tally.force.partly
    assert met.keys() == ({*condition, conditions.NEITHER} if condition else set())
    assert tally.force.whole.total() <= OPERATIONS  # these conditions take turns


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes one fault the only one of plugins."""

    def choose(fault: str) -> None:
        monkeypatch.setattr(steering, "FAULTS", {fault: FAULTS[fault]})
        monkeypatch.setattr(steering, "ENDLESS", ())
        # The soak need not wait long for what will not go away.
        monkeypatch.setattr(run, "PATIENCE", 2.0)

    return choose


def test_a_rollback_that_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    async def forget(self: Chains, op: Operation, progress: Progress) -> None:
        if progress.key is not None:
            await self._attachments.forget(progress.key, op.rt)

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


# -- the conditions of a hostile node


@pytest.mark.parametrize("status", [0, 255])
def test_a_status_that_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None], status: int
) -> None:
    async def made_up(*args: Any, **options: Any) -> Outcome:
        outcome = await run_process(*args, **options)
        is_plugin = str(tmp_path) in args[0]
        return msgspec.structs.replace(outcome, returncode=status) if is_plugin else outcome

    only("fails with words")
    monkeypatch.setattr(runner, "run_process", made_up)
    tally = soak(tmp_path)
    assert not tally.clean
    assert tally.false_failures if status else tally.false_successes


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for what in (PLUGINS, RECORDS, STALLS):
        monkeypatch.setitem(tally.BOUNDS, what, 1.0)
    monkeypatch.setattr(conditions, "BUSY", 3.0)
    monkeypatch.setattr(conditions, "FREE", (0.2, 0.5))
    monkeypatch.setattr(frozen, "LENGTH", 3.0)
    monkeypatch.setattr(frozen, "FIRST", 0.2)


async def take_a_usual_thread() -> None:
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(int)


@pytest.mark.usefixtures("impatient")
def test_a_start_that_waits_for_the_applications_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    async def late(*args: Any, **options: Any) -> Outcome:
        await take_a_usual_thread()
        return await run_process(*args, **options)

    only("fails with words")
    monkeypatch.setattr(runner, "run_process", late)
    assert told_of(PLUGINS, soak(tmp_path, conditions=["busy-threads"]))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_record_that_waits_for_the_applications_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None], backend: str
) -> None:
    store = FileCache.store

    async def late(self: FileCache, key: AttachmentKey, record: bytes) -> None:
        await take_a_usual_thread()
        await store(self, key, record)

    only("fails with words")
    monkeypatch.setattr(FileCache, "store", late)
    assert told_of(RECORDS, soak(tmp_path, backend, ["busy-threads"]))


@pytest.mark.usefixtures("impatient")
def test_an_event_loop_that_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    require(not why_no_disk(), str(why_no_disk()))
    store = FileCache.store

    async def blocking(self: FileCache, key: AttachmentKey, record: bytes) -> None:
        # Write beside the directory of records, on the same disk.
        Path(self.directory).with_name(key.file_name).write_bytes(record)
        await store(self, key, record)

    only("fails with words")
    monkeypatch.setattr(FileCache, "store", blocking)
    tally = soak(tmp_path, conditions=["frozen-disk"])
    assert tally.conditions["the disk was frozen"]
    assert told_of(STALLS, tally)


def test_a_record_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    async def remove(self: FileCache, key: AttachmentKey) -> None:
        await anyio.lowlevel.checkpoint()

    only("fails with words")
    monkeypatch.setattr(FileCache, "remove", remove)
    assert told_of("record of", soak(tmp_path))


def test_a_record_that_no_listing_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    attachments = FileCache.attachments

    async def fragile(self: FileCache, container_id: str = "") -> list[NetworkAttachment]:
        for path in Path(self.directory).glob("*-odd*"):
            raise RecursionError(path)
        return await attachments(self, container_id)

    only("fails with words")
    monkeypatch.setattr(FileCache, "attachments", fragile)
    assert told_of("RecursionError", soak(tmp_path, conditions=["foreign-records"]))


def test_a_record_of_another_hand_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    attachments = FileCache.attachments

    async def tidy(self: FileCache, container_id: str = "") -> list[NetworkAttachment]:
        for path in Path(self.directory).glob("*-odd*"):
            with suppress(OSError):
                path.unlink()
        return await attachments(self, container_id)

    only("fails with words")
    monkeypatch.setattr(FileCache, "attachments", tidy)
    tally = soak(tmp_path, conditions=["foreign-records"])
    assert tally.leaks["records of other hands that are gone"]


def test_a_namespace_that_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[[str], None]
) -> None:
    def nowhere(attachment: NetworkAttachment) -> RuntimeConf:
        return runtime_of(msgspec.structs.replace(attachment, netns=""))

    only("fails with words")
    monkeypatch.setattr(foreign, "UNREADABLE", {})
    for module in (api, gc, recover):
        monkeypatch.setattr(module, "runtime_of", nowhere)
    assert told_of("no namespace", soak(tmp_path, conditions=["foreign-records"]))


def told_of(what: str, tally: Tally) -> bool:
    assert not tally.clean
    return any(what in each for each in tally.violations)


# -- runtimes


@pytest.mark.e2e
def test_runtimes_that_are_killed(tmp_path: Path, plugin_dir: Path) -> None:
    deaths = kill_runtimes(tmp_path, plugin_dir, kills=6, seed=1)
    print(deaths.table())
    assert deaths.clean, deaths.table()
    assert deaths.kills.total() == 6

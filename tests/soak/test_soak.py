"""The soak finds nothing wrong with the library, and something with each that is broken."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import threading
import time
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
from cni_async.attachment import runtime_of
from cni_async.chains import Chain, Chains, Progress
from cni_async.invoke import exec as runner
from cni_async.invoke import pipes, process
from cni_async.invoke.process import Outcome, run_process
from cni_async.locks import Locks
from cni_async.runtime import RuntimeConf
from tests.support.faulty import FAULTS
from tests.support.processes import processes_with
from tests.support.require import require
from tests.support.scripts import children, open_fds

from . import __main__ as command
from . import conditions, foreign, frozen, run, steering, tally
from .force import Force
from .frozen import why_no_disk
from .kills import Deaths, kill_runtimes
from .tally import CANCELLATIONS, PLUGINS, RECORDS, STALLS, Tally

OPERATIONS = 150


def soak(folder: Path, backend: str = "asyncio", conditions: Sequence[str] = ()) -> Tally:
    tally = run.soak(
        folder,
        backend=backend,
        operations=OPERATIONS,
        seconds=60,
        seed=1,
        conditions=conditions,
    )
    print(tally.table())
    return tally


# asyncio complains of its own objects of a child that something else has reaped during the start.
_REAPED_ELSEWHERE = (
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
)


# The others take longer: the session soak-short has them all.
_IN_TURNS = ("reaper", "sigchld-ignored")


@pytest.mark.parametrize("condition", [(), pytest.param(_IN_TURNS, marks=_REAPED_ELSEWHERE)])
@pytest.mark.parametrize("backend", run.BACKENDS)
def test_nothing_is_wrong(tmp_path: Path, backend: str, condition: Sequence[str]) -> None:
    tally = soak(tmp_path, backend, condition)
    assert tally.clean
    assert tally.operations == OPERATIONS
    assert len(tally.leaks) > 10  # all kinds were looked for
    assert tally.faults.total() > 10
    assert bool(tally.conditions) == bool(condition)
    met = tally.force.whole + tally.force.partly
    assert met.keys() == ({*condition, conditions.NEITHER} if condition else set())
    assert tally.force.whole.total() <= OPERATIONS  # they hide each other


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


# -- under the conditions of a hostile node


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
        # Beside the directory of records, and on the same disk.
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
    def nowhere(attachment: NetworkAttachment, cache_dir: str = "") -> RuntimeConf:
        return runtime_of(msgspec.structs.replace(attachment, netns=""), cache_dir)

    only("fails with words")
    monkeypatch.setattr(foreign, "UNREADABLE", {})
    monkeypatch.setattr(api, "runtime_of", nowhere)
    assert told_of("no namespace", soak(tmp_path, conditions=["foreign-records"]))


def told_of(what: str, tally: Tally) -> bool:
    assert not tally.clean
    return any(what in each for each in tally.violations)


def test_who_hears_of_children_after_sigchld_was_ignored() -> None:
    """Libuv's handler is C's, and Python knows nothing of it."""
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
    address = ctypes.cast(handler, ctypes.c_void_p).value
    before = libc.signal(signal.SIGCHLD, None)
    try:
        disposition = conditions.Disposition()
        disposition.ignore()
        assert libc.signal(signal.SIGCHLD, address) == signal.SIG_IGN
        disposition.ignore()
        assert libc.signal(signal.SIGCHLD, signal.SIG_IGN) == signal.SIG_IGN
        disposition.restore()
        assert libc.signal(signal.SIGCHLD, None) == address
    finally:
        libc.signal(signal.SIGCHLD, before)


@pytest.mark.anyio
async def test_the_reaper_leaves_no_child_when_it_is_cancelled(tmp_path: Path) -> None:
    before = children()
    scene = conditions.Scene([], Tally("asyncio", 1), tmp_path, 1, 1, "asyncio")
    with anyio.move_on_after(0.05) as scope:
        async with conditions.in_force(scene, ["reaper"]):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert children() == before


# -- runtimes


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
    ("backend", "what", "counts"),
    [
        ("trio", PLUGINS, False),
        ("trio", CANCELLATIONS, False),
        ("trio", RECORDS, True),
        ("trio", STALLS, True),
        ("asyncio", PLUGINS, True),
        ("uvloop", CANCELLATIONS, True),
    ],
)
def test_on_trio_a_plugin_waits_for_a_busy_thread(backend: str, what: str, counts: bool) -> None:
    tally = Tally(backend, 1)
    long_ago = time.monotonic() - 100
    tally.force.spans["busy-threads"] = [(long_ago - 5, long_ago + 50), (long_ago + 51, math.inf)]
    tally.took(what, long_ago)
    assert tally.clean != counts


def test_on_trio_a_plugin_is_late_if_a_thread_is_free() -> None:
    tally = Tally("trio", 1)
    long_ago = time.monotonic() - 100
    tally.force.spans["busy-threads"] = [(long_ago, long_ago + 20), (long_ago + 35, math.inf)]
    tally.took(PLUGINS, long_ago)
    assert told_of(PLUGINS, tally)


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


def test_all_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    require(not why_no_disk(), str(why_no_disk()))
    asked: list[Sequence[str]] = []

    def soak(folder: Path, *, conditions: Sequence[str], **options: Any) -> Tally:
        asked.append(conditions)
        return Tally("asyncio", 1)

    monkeypatch.setattr(run, "soak", soak)
    for what in ("all", "reaper"):
        monkeypatch.setattr("sys.argv", ["soak", "--backend", "asyncio", "--condition", what])
        assert command.main() == 0
    assert asked == [[*conditions.CONDITIONS], ["reaper"]]


@pytest.mark.parametrize("failing", ["", "uvloop"])
def test_event_loops_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failing: str
) -> None:
    at_once = threading.Barrier(3)

    def soak(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert {"--operations=7", "--kills=0", "--condition=reaper", "--seed=3"} < {*arguments}
        at_once.wait(20)
        backend = arguments[-1].removeprefix("--backend=")
        return subprocess.CompletedProcess(arguments, backend == failing, f"soak on {backend}\n")

    monkeypatch.setattr(subprocess, "run", soak)
    monkeypatch.setattr(
        "sys.argv",
        ["soak", "--together", "--operations", "7", "--condition", "reaper", "--seed", "3"],
    )
    assert command.main() == (1 if failing else 0)
    assert sorted(capfd.readouterr().out.splitlines()) == [
        f"soak on {each}" for each in sorted(run.BACKENDS)
    ]


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

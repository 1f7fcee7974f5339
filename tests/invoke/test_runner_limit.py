"""How many plugins run at once, and how many of them start in one turn of the event loop."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from cni_async import CNIConfig, MemoryCache, RuntimeConf
from cni_async._async import pacing
from cni_async.errors import PluginError, PluginTimeoutError
from cni_async.invoke import RawExec, exec as exec_module, process as process_module
from cni_async.invoke.pipes import Pipes
from cni_async.testing import FakeCall, FakeExec
from tests.support import starts
from tests.support.chains import network
from tests.support.scripts import Scripts
from tests.support.wait import LIMITS, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


class Crowd:
    """Plugins that report that they run, and wait until they may go on."""

    def __init__(self, scripts: Scripts, runner: RawExec) -> None:
        self._folder = scripts.folder
        self._runner = runner
        self._path = scripts.sh(
            f"""
            touch {self._folder}/ran.$$
            until [ -e {self._folder}/end ]; do sleep 0.01; done
            """
        )

    @property
    def ran(self) -> int:
        """The number of plugins that have started."""
        return len(list(self._folder.glob("ran.*")))

    def end(self) -> None:
        (self._folder / "end").touch()

    async def call(self) -> None:
        await self._runner.exec_plugin(self._path, b"", None)


async def until_waiting(limiter: anyio.CapacityLimiter | anyio.Semaphore, count: int) -> None:
    await eventually(lambda: limiter.statistics().tasks_waiting, lambda waiting: waiting >= count)


async def until_ran(crowd: Crowd, count: int) -> None:
    await eventually(lambda: crowd.ran, lambda ran: ran >= count)


async def test_no_more_than_allowed(scripts: Scripts) -> None:
    limiter = anyio.CapacityLimiter(2)
    crowd = Crowd(scripts, RawExec(limiter=limiter))
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(crowd.call)
        await until_waiting(limiter, 3)
        await until_ran(crowd, 2)
        assert crowd.ran == 2
        crowd.end()
    assert crowd.ran == 5
    assert limiter.borrowed_tokens == 0


async def test_the_usual_limit_is_the_event_loops(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All executors share the limit; its descriptors fit the usual limit of 1024."""
    assert pacing.PLUGINS * 9 < 1024
    monkeypatch.setattr(pacing, "_OF_LOOP", anyio.lowlevel.RunVar("test"))
    monkeypatch.setattr(pacing, "PLUGINS", 1)
    one, other = Crowd(scripts, RawExec()), Crowd(scripts, exec_module.default_exec())
    async with anyio.create_task_group() as group:
        group.start_soon(one.call)
        await until_ran(one, 1)
        group.start_soon(other.call)
        await until_waiting(pacing.of_loop().plugins, 1)
        assert other.ran == 1
        other.end()
    assert other.ran == 2


async def test_cancelled_while_waiting(scripts: Scripts) -> None:
    """Nothing is started, and no place stays taken."""
    limiter = anyio.CapacityLimiter(1)
    crowd = Crowd(scripts, RawExec(limiter=limiter))
    async with anyio.create_task_group() as group:
        group.start_soon(crowd.call)
        await until_ran(crowd, 1)
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(crowd.call)
            await until_waiting(limiter, 1)
            impatient.cancel_scope.cancel()
        assert limiter.statistics().tasks_waiting == 0
        crowd.end()
    assert crowd.ran == 1
    assert limiter.borrowed_tokens == 0


async def test_waiting_does_not_count(scripts: Scripts) -> None:
    """The timeout of a plugin begins when the plugin runs."""
    limiter = anyio.CapacityLimiter(1)
    hanging = scripts.sh("exec sleep 60", "hanging")
    quick = scripts.sh("exit 0", "quick")
    in_time: list[bool] = []

    async def hang(runner: RawExec) -> None:
        with pytest.raises(PluginTimeoutError):
            await runner.exec_plugin(hanging, b"", None)

    async def hurry(runner: RawExec) -> None:
        try:
            await runner.exec_plugin(quick, b"", None)
        except PluginTimeoutError:
            in_time.append(False)  # also on a busy machine that does not run the plugin in time
        else:
            in_time.append(True)

    for limit in LIMITS:
        runner = RawExec(limiter=limiter, timeout=limit, grace=0)
        async with anyio.create_task_group() as group, limiter:
            for _ in range(2):
                group.start_soon(hang, runner)
            await until_waiting(limiter, 2)
            group.start_soon(hurry, runner)
            await until_waiting(limiter, 3)
        assert limiter.borrowed_tokens == 0
        if in_time[-1]:
            break
    assert in_time[-1]


async def test_a_runtimes_limit(scripts: Scripts) -> None:
    limiter = anyio.CapacityLimiter(1)
    scripts.sh("printf '{}'", "p")
    cni = CNIConfig([str(scripts.folder)], cache=MemoryCache(), limiter=limiter)
    async with limiter, anyio.create_task_group() as group:
        group.start_soon(cni.add_network_list, network("p"), RuntimeConf("c", "/ns", "eth0"))
        await until_waiting(limiter, 1)
        group.cancel_scope.cancel()


# Starts in a turn of the event loop


async def test_starts_do_not_follow_each_other_at_once(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start stalls the event loop: at most two starts, with their pipes, happen in one turn."""
    turn = 0
    turns: list[int] = []
    pipes_turns: list[int] = []

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await anyio.lowlevel.checkpoint()

    class NotingPipes(Pipes):
        def __init__(self, stdin_data: bytes, limit: int) -> None:
            pipes_turns.append(turn)
            super().__init__(stdin_data, limit)

    starts.around(monkeypatch, before=lambda: turns.append(turn))
    monkeypatch.setattr(process_module, "Pipes", NotingPipes)
    path = scripts.sh("exit 0")
    async with anyio.create_task_group() as counting:
        counting.start_soon(count_turns)
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(RawExec().exec_plugin, path, b"", None)
        counting.cancel_scope.cancel()
    for each in (turns, pipes_turns):
        assert len(each) == 12
        assert max(Counter(each).values()) <= 2


async def test_a_start_that_fails_gives_up_its_turn(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pipes(*args: object) -> Pipes:
        raise OSError(errno.EMFILE, "too many open files")

    path = scripts.sh("exit 0")
    for _ in range(5):
        with pytest.raises(PluginError):
            await RawExec().exec_plugin("/no/such/plugin", b"", None)
        with monkeypatch.context() as patch:
            patch.setattr(process_module, "Pipes", no_pipes)
            with pytest.raises(PluginError, match="too many open files"):
                await RawExec().exec_plugin(path, b"", None)
    with anyio.fail_after(20):
        await RawExec().exec_plugin(path, b"", None)


async def test_operations_do_not_all_begin_in_one_turn() -> None:
    """The work of each operation before its first wait adds up to a stall, too."""
    turn = 0
    turns: list[int] = []

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await anyio.lowlevel.checkpoint()

    def note_turn(_: FakeCall) -> bytes:
        turns.append(turn)
        return b"{}"

    cni = CNIConfig(["/bin"], exec=FakeExec({("p", "ADD"): note_turn}), cache=MemoryCache())
    async with anyio.create_task_group() as counting:
        counting.start_soon(count_turns)
        async with anyio.create_task_group() as group:
            for number in range(50):
                rt = RuntimeConf(f"c{number}", "/ns", "eth0")
                group.start_soon(cni.add_network_list, network("p"), rt)
        counting.cancel_scope.cancel()
    assert len(turns) == 50
    assert max(Counter(turns).values()) <= 16

"""Plugins run by a program that uses only asyncio, not anyio.

Each docstring says what the test leaves behind. After each test a fixture checks that no child,
zombies included, and no file descriptor is left.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import signal
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
import pytest_asyncio

from cni_async.errors import PluginError, PluginTimeoutError
from cni_async.invoke import DefaultExec, RawExec
from tests.support import starts
from tests.support.processes import comes_to_rest, is_running, wait_until_gone
from tests.support.program import PIPE, Program
from tests.support.scripts import Scripts, has_children, open_fds, wait_for_fds
from tests.support.wait import LIMITS, Stopwatch, eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("spawn")]

HANG = 60
ROOT = Path(__file__).parents[2]
# A shell that is forking may react late to a signal, but not by much.
NAPPING = "while :; do sleep 0.05; done"


@pytest_asyncio.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


class Plugins(Scripts):
    """Plugins for these tests; most write their process ID once they are ready."""

    def fast(self) -> str:
        return self.sh("exec cat", "fast")

    def slow(self) -> str:
        return self.sh(f"{self.note('pid')}; exec sleep {HANG}", "slow")

    def stubborn(self) -> str:
        """Return a plugin that notes SIGTERM without ending, and has a child that ignores it."""
        return self.sh(
            f"trap '' TERM; sleep {HANG} & {self.note('child', '$!')};"
            f"trap {shlex.quote(self.note('told'))} TERM; {self.note('pid')}; {NAPPING}",
            "stubborn",
        )

    def tidy(self) -> str:
        """Return a plugin that takes a while to clean up on SIGTERM."""
        return self.sh(
            f"trap 'sleep 0.3; echo done > {self.folder}/cleaned; exit 1' TERM;"
            f"{self.note('pid')}; {NAPPING}",
            "tidy",
        )

    def marking(self) -> str:
        """Return a plugin that leaves a mark when it starts."""
        return self.sh(f"touch {self.folder}/started", "marking")

    async def ready(self) -> int:
        """Wait until a plugin is ready; return the process ID of the last one."""
        return (await self.numbers("pid"))[-1]

    @property
    def started(self) -> bool:
        return (self.folder / "started").exists()


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(tmp_path)


async def run(path: str, grace: float = HANG) -> bytes:
    return await RawExec(grace=grace).exec_plugin(path, b"{}", None)


# Deadlines


async def test_timeout(plugins: Plugins) -> None:
    """The call raises a plain TimeoutError. The plugin is gone and the task is unharmed."""
    for limit in LIMITS:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(limit):
                await run(plugins.slow())
        assert not isinstance(caught.value, PluginError)
        if plugins.lines("pid"):
            break
    assert not is_running(await plugins.ready())
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert await run(plugins.fast()) == b"{}"


async def test_timeout_of_a_stubborn_plugin(plugins: Plugins) -> None:
    """The call returns late by the grace period. Both processes are gone."""
    for limit in LIMITS:
        watch = Stopwatch()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(limit):
                await run(plugins.stubborn(), grace=0.3)
        assert watch.within(limit + 0.3)
        if plugins.lines("pid"):
            assert watch.seconds >= limit + 0.3
            break
    assert not is_running(await plugins.ready())
    assert not is_running(plugins.number("child"))


async def test_timeout_that_has_passed(plugins: Plugins) -> None:
    """No plugin was started."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await run(plugins.marking())
    await asyncio.sleep(0.1)
    assert not plugins.started


async def test_timeout_in_time(plugins: Plugins) -> None:
    async with asyncio.timeout(20):
        assert await run(plugins.fast()) == b"{}"


async def test_two_deadlines(plugins: Plugins) -> None:
    """The error is that of the deadline that passes first. Both are TimeoutErrors."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(20):
            await RawExec(timeout=0.2).exec_plugin(plugins.slow(), b"", None)
    assert isinstance(caught.value, PluginTimeoutError)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await RawExec(timeout=20).exec_plugin(plugins.slow(), b"", None)
    assert not isinstance(caught.value, PluginTimeoutError)


async def test_wait_for(plugins: Plugins) -> None:
    """The call raises TimeoutError, and the plugin is gone by then."""
    assert await asyncio.wait_for(run(plugins.fast()), 20) == b"{}"
    for limit in LIMITS:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(plugins.slow()), limit)
        if plugins.lines("pid"):
            break
    assert not is_running(await plugins.ready())


# Cancellation


async def test_cancel(plugins: Plugins) -> None:
    """The task is cancelled. The plugin has cleaned up and is gone."""
    task = asyncio.create_task(run(plugins.tidy()))
    pid = await plugins.ready()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert not is_running(pid)
    assert plugins.read("cleaned") == "done\n"


@pytest.mark.parametrize("times", [2, 3, 5])
async def test_cancel_several_times(plugins: Plugins, times: int) -> None:
    """Further cancellations cut the grace period short. Both processes are gone."""
    task = asyncio.create_task(run(plugins.stubborn()))
    pid = await plugins.ready()
    started = time.monotonic()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < HANG / 2
    assert not is_running(pid)
    assert wait_until_gone(plugins.number("child"))


async def test_cancel_twice_at_once(plugins: Plugins) -> None:
    """To asyncio both are one cancellation. The plugin has cleaned up."""
    task = asyncio.create_task(run(plugins.tidy()))
    await plugins.ready()
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plugins.read("cleaned") == "done\n"


async def test_cancel_before_the_first_step(plugins: Plugins) -> None:
    """No plugin was started."""
    task = asyncio.create_task(run(plugins.marking()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert not plugins.started


@pytest.mark.parametrize("steps", range(12))
async def test_cancel_after_any_step(plugins: Plugins, steps: int) -> None:
    """The task was cancelled or has the answer. Either way nothing is left."""
    task = asyncio.create_task(run(plugins.fast()))
    for _ in range(steps):
        await asyncio.sleep(0)
    cancelled = task.cancel()
    (answer,) = await asyncio.gather(task, return_exceptions=True)
    assert answer == b"{}" or (cancelled and isinstance(answer, asyncio.CancelledError))


async def test_no_cancellation_is_lost(plugins: Plugins) -> None:
    """All tasks are cancelled: no deadline of the library passes at the wrong moment.

    Before 4.16 an anyio scope whose deadline passes swallows a task.cancel() of that moment.
    """
    path = plugins.sh(f"exec sleep {HANG}")

    async def cancel(delay: float) -> bool:
        task = asyncio.create_task(run(path))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    async with asyncio.timeout(HANG / 2):
        for _ in range(3):
            delays = [number / 500 for number in range(60)]
            assert all(await asyncio.gather(*map(cancel, delays)))


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancel_in_the_middle_of_the_start(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The cancellation takes effect once the plugin has started. The plugin is gone then."""
    starts.skip_with("posix", "that is over at once")
    started: list[int] = []
    start = anyio.open_process
    starting = asyncio.Event()

    async def start_slowly(*args: Any, **kwargs: Any) -> anyio.abc.Process:
        starting.set()
        await asyncio.sleep(0.1)
        process = await start(*args, **kwargs)
        started.append(process.pid)
        await asyncio.sleep(0.1)
        return process

    monkeypatch.setattr(anyio, "open_process", start_slowly)
    task = asyncio.create_task(run(plugins.slow()))
    await starting.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.03)
    with pytest.raises(asyncio.CancelledError):
        await task
    (pid,) = started
    assert not is_running(pid)


async def test_cancel_in_the_middle_of_a_start_that_fails(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No plugin has to be ended."""
    starts.skip_with("posix", "that is over at once")
    starting, cancelled = asyncio.Event(), asyncio.Event()

    async def fail_slowly(*args: Any, **kwargs: Any) -> None:
        starting.set()
        await cancelled.wait()
        await asyncio.sleep(0)
        raise OSError(errno.EAGAIN, "try again")

    monkeypatch.setattr(anyio, "open_process", fail_slowly)
    task = asyncio.create_task(run(plugins.slow()))
    await starting.wait()
    task.cancel()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_clean_up_while_being_cancelled(plugins: Plugins) -> None:
    """A plugin that is called during the cancellation, such as a DEL, runs to its end."""
    answers: list[bytes] = []

    async def attach() -> None:
        try:
            await run(plugins.slow())
        finally:
            answers.append(await run(plugins.fast()))

    task = asyncio.create_task(attach())
    pid = await plugins.ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answers == [b"{}"]
    assert not is_running(pid)


async def test_cancellation_that_is_caught(plugins: Plugins) -> None:
    """The task continues normally. The next call works, and so does its deadline."""

    async def user() -> bytes:
        task = asyncio.current_task()
        assert task is not None
        try:
            await run(plugins.slow())
        except asyncio.CancelledError:
            task.uncancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await run(plugins.slow())
        return await run(plugins.fast())

    task = asyncio.create_task(user())
    await plugins.ready()
    task.cancel()
    assert await task == b"{}"


async def test_shield(plugins: Plugins) -> None:
    """The waiting task is cancelled. The plugin keeps running, and its answer arrives later."""
    path = plugins.sh(f"{plugins.note('pid')}; sleep 0.3; echo done")
    call = asyncio.create_task(run(path))

    async def wait() -> None:
        await asyncio.shield(call)

    waiting = asyncio.create_task(wait())
    await plugins.ready()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await call == b"done\n"


async def test_cancel_while_stderr_blocks(plugins: Plugins) -> None:
    """The plugin has ended. The thread that writes its stderr is left to finish and then ends."""
    read, write = os.pipe()
    os.write(write, bytes(65536))
    path = plugins.sh(f"echo warn >&2; {plugins.note('pid')}")
    with os.fdopen(write, "wb", buffering=0) as full:
        task = asyncio.create_task(DefaultExec(stderr=full).exec_plugin(path, b"", None))
        assert wait_until_gone(await plugins.ready())
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.set_blocking(read, False)
        received = b""
        async with asyncio.timeout(20):
            while not received.endswith(b"warn\n"):
                try:
                    received = os.read(read, 100000)
                except BlockingIOError:
                    await asyncio.sleep(0.01)
    os.close(read)


# Several at once


async def test_task_group_with_a_failing_sibling(plugins: Plugins) -> None:
    """Only the sibling's error is raised. The plugin has cleaned up and is gone."""

    async def fail() -> None:
        await plugins.ready()
        raise LookupError("sibling")

    tasks: list[asyncio.Task[bytes]] = []
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(run(plugins.tidy())))
            group.create_task(fail())
    (error,) = caught.value.exceptions
    assert isinstance(error, LookupError)
    assert tasks[0].cancelled()
    assert not is_running(await plugins.ready())
    assert plugins.read("cleaned") == "done\n"


async def test_task_group_with_a_failing_plugin(plugins: Plugins) -> None:
    """The plugin's error is raised. Its sibling is gone."""
    ready = plugins.folder / "pid"
    bad = plugins.sh(f"until [ -s {ready} ]; do sleep 0.01; done; echo no >&2; exit 1", "bad")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            group.create_task(run(plugins.slow()))
            group.create_task(run(bad))
    (error,) = caught.value.exceptions
    assert isinstance(error, PluginError)
    assert not is_running(await plugins.ready())


async def test_task_group_of_many(plugins: Plugins) -> None:
    path = plugins.fast()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(RawExec().exec_plugin(path, b"%d" % number, None))
            for number in range(20)
        ]
    assert [task.result() for task in tasks] == [b"%d" % number for number in range(20)]


async def test_gather(plugins: Plugins) -> None:
    """One failure does not stop the other call, whose answer arrives."""
    bad = plugins.sh("exit 3", "bad")
    good, error = await asyncio.gather(run(plugins.fast()), run(bad), return_exceptions=True)
    assert good == b"{}"
    assert isinstance(error, PluginError)
    assert error.exit_code == 3


async def test_gather_that_is_cancelled(plugins: Plugins) -> None:
    """All calls are cancelled, though gather waits only for the first. All plugins are gone."""
    path = plugins.slow()
    calls = [asyncio.create_task(run(path)) for _ in range(5)]

    async def user() -> None:
        await asyncio.gather(*calls)

    task = asyncio.create_task(user())
    pids = await plugins.numbers("pid", len(calls))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    assert len(set(pids)) == len(calls)
    assert not any(map(is_running, pids))


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
async def test_eager_tasks(plugins: Plugins) -> None:
    """Calls may start before they are awaited."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
    assert await asyncio.create_task(run(plugins.fast())) == b"{}"
    task = asyncio.create_task(run(plugins.slow()))
    pid = await plugins.ready()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)


# The end of the event loop


def program(plugins: Plugins, body: str) -> Program:
    """Start a separate program that uses asyncio.run and can receive signals."""
    code = """
        import asyncio
        from cni_async.invoke import RawExec
        from tests.support import starts
        starts.inherit()
        {body}
    """
    code = textwrap.dedent(code).replace("{body}", textwrap.dedent(body))
    return Program(code=code, warnings="default", stderr=PIPE)


async def finish(process: Program) -> str:
    """Wait for a program to end; return its stderr."""
    try:
        _, stderr = await asyncio.to_thread(process.communicate, timeout=HANG / 2)
    finally:
        process.kill()
    # On a busy machine asyncio's debug mode reports every callback as slow.
    return "".join(line for line in stderr.splitlines(True) if not line.startswith("Executing <"))


async def test_interrupted_program(plugins: Plugins) -> None:
    """Ctrl+C: the plugin cleans up, then KeyboardInterrupt is raised, without warnings."""
    process = program(
        plugins,
        f"""
        asyncio.run(RawExec(grace=60).exec_plugin({plugins.tidy()!r}, b"", None))
        """,
    )
    pid = await plugins.ready()
    process.send_signal(signal.SIGINT)
    stderr = await finish(process)
    assert process.returncode == -signal.SIGINT
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert "Warning" not in stderr
    assert plugins.read("cleaned") == "done\n"
    assert not is_running(pid)


async def test_interrupted_program_in_a_hurry(plugins: Plugins) -> None:
    """A second Ctrl+C ends the grace period. Both processes are gone."""
    process = program(
        plugins,
        f"""
        asyncio.run(RawExec(grace=60).exec_plugin({plugins.stubborn()!r}, b"", None))
        """,
    )
    pid = await plugins.ready()
    process.send_signal(signal.SIGINT)
    await eventually(lambda: plugins.lines("told"))  # otherwise two signals could arrive as one
    await comes_to_rest(process.pid)
    assert is_running(pid)
    process.send_signal(signal.SIGINT)
    stderr = await finish(process)  # does not wait for the end of the grace period
    assert process.returncode == -signal.SIGINT
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert wait_until_gone(pid, plugins.number("child"))


async def test_program_that_does_not_wait(plugins: Plugins) -> None:
    """asyncio.run cancels what still runs. The plugin has cleaned up, and nothing is on stderr."""
    process = program(
        plugins,
        f"""
        async def main():
            task = asyncio.create_task(
                RawExec(grace=60).exec_plugin({plugins.tidy()!r}, b"", None)
            )
            while not __import__("os").path.exists({str(plugins.folder / "pid")!r}):
                await asyncio.sleep(0.01)  # it traps SIGTERM by then
        asyncio.run(main())
        """,
    )
    assert await finish(process) == ""
    assert process.returncode == 0
    assert plugins.read("cleaned") == "done\n"
    assert not is_running(await plugins.ready())


async def test_program_in_debug_mode(plugins: Plugins) -> None:
    """In asyncio's debug mode good and bad calls print nothing on stderr."""
    bad = plugins.sh("exit 1", "bad")
    process = program(
        plugins,
        f"""
        async def main():
            for _ in range(10):
                await RawExec().exec_plugin({plugins.fast()!r}, bytes(200000), None)
            await asyncio.gather(
                *(RawExec().exec_plugin({bad!r}, b"", None) for _ in range(10)),
                return_exceptions=True,
            )
        with asyncio.Runner(debug=True) as runner:
            runner.get_loop().slow_callback_duration = 10
            runner.run(main())
        """,
    )
    assert await finish(process) == ""
    assert process.returncode == 0

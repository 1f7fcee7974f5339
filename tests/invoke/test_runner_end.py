"""How the library ends a plugin: deadline, cancellation and grace period.

The tests cover section U of docs/maintainers/conformance.md;
their names contain the numbers.

Each test asserts the remains of the plugin. After each test, no child process and no descriptor may
be left.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from cni_async.errors import PluginError, PluginTimeoutError
from cni_async.invoke import (
    RawExec,
    exec as exec_module,
    pipes as pipes_module,
    process as process_module,
)
from tests.support import starts
from tests.support.processes import is_running, is_stopped, wait_until_gone
from tests.support.recorder import Answer, Recorder
from tests.support.scripts import Scripts, has_children, open_fds, skip_on, wait_for_fds
from tests.support.undead import undead
from tests.support.wait import LIMITS, Stopwatch, eventually, lines

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

NO_MESSAGE = "netplugin failed with no error message: "
HANG = 60
# A script runs this until it is ended. A shell that forks may miss a signal, but not for long.
NAPPING = "while :; do sleep 0.05; done"


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


async def exists(path: Path) -> None:
    """Wait until a script has written a line to a file."""
    await eventually(lambda: lines(path))


async def cancelled(
    exec: RawExec, path: str, ready: Callable[[], Awaitable[object]], stdin: bytes = b"{}"
) -> Stopwatch:
    """Call a plugin and cancel the call once it is ready; return how long the cancellation took."""
    scopes: list[anyio.CancelScope] = []
    watches: list[Stopwatch] = []
    with anyio.fail_after(HANG - 5):
        async with anyio.create_task_group() as calls:

            async def call() -> None:
                with anyio.CancelScope() as scope:
                    scopes.append(scope)
                    await exec.exec_plugin(path, stdin, None)

            calls.start_soon(call)
            await ready()
            watches.append(Stopwatch())
            scopes[0].cancel()
    watches[0].stop()
    assert scopes[0].cancelled_caught
    return watches[0]


# Deadlines


async def test_item_230_timeout(scripts: Scripts) -> None:
    """The error has its own type, which is also a TimeoutError; the plugin is gone."""
    path = scripts.sh(f"{scripts.note('pid')}; exec sleep {HANG}", "bridge")
    for limit in LIMITS:
        with pytest.raises(PluginTimeoutError) as caught:
            await RawExec(timeout=limit).exec_plugin(path, b"", {"CNI_COMMAND": "ADD"})
        if scripts.lines("pid"):
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    error = caught.value
    assert str(error) == f"{NO_MESSAGE}timed out after {limit:g} s (signal: terminated)"
    assert isinstance(error, TimeoutError)
    assert (error.plugin, error.command, error.code) == ("bridge", "ADD", 0)
    assert (error.exit_code, error.signal, error.retryable) == (None, signal.SIGTERM, True)
    assert not is_running(scripts.number("pid"))


async def test_timeout_and_a_graceful_exit(scripts: Scripts) -> None:
    """A plugin that cleans up within its grace completes that; the call still times out."""
    path = scripts.sh(
        f"""
        trap 'sleep 0.1; echo done > {scripts.folder}/cleaned; exit 5' TERM
        {scripts.note("pid")}; {NAPPING}
        """
    )
    for limit in LIMITS:
        with pytest.raises(PluginTimeoutError) as caught:
            await RawExec(timeout=limit, grace=HANG).exec_plugin(path, b"", None)
        if scripts.lines("pid"):
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    assert str(caught.value) == f"{NO_MESSAGE}timed out after {limit:g} s (exit status 5)"
    assert (caught.value.exit_code, caught.value.signal) == (5, None)
    assert scripts.read("cleaned") == "done\n"


async def test_timeout_of_a_group(scripts: Scripts) -> None:
    """A child that ignores SIGTERM does not survive the plugin."""
    path = scripts.sh(
        f"(trap '' TERM; exec sleep {HANG}) & {scripts.note('pid', '$!')}; exec sleep {HANG}"
    )
    for limit in LIMITS:
        with pytest.raises(PluginTimeoutError):
            await RawExec(timeout=limit, grace=0.1).exec_plugin(path, b"{}", None)
        if scripts.lines("pid"):
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    assert not is_running(scripts.number("pid"))


# Cancellation


async def test_item_231_cancelled_before(scripts: Scripts) -> None:
    """Nothing is started."""
    path = scripts.sh(f"touch {scripts.folder}/started")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await RawExec().exec_plugin(path, b"", None)
    assert scope.cancelled_caught
    await anyio.sleep(0.1)
    assert not (scripts.folder / "started").exists()


async def test_item_227_cancelled(scripts: Scripts) -> None:
    """SIGTERM ends the plugin at once."""
    pid = scripts.folder / "pid"
    path = scripts.sh(f"{scripts.note('pid')}; exec sleep {HANG}")
    assert (await cancelled(RawExec(grace=HANG), path, lambda: exists(pid))).within(0)
    assert not is_running(scripts.number("pid"))


async def test_cancelled_plugin_uses_its_grace(scripts: Scripts) -> None:
    """The call waits for a plugin that cleans up on SIGTERM."""
    pid = scripts.folder / "pid"
    path = scripts.sh(
        f"""
        trap 'sleep 0.3; echo done > {scripts.folder}/cleaned; exit' TERM
        {scripts.note("pid")}; {NAPPING}
        """
    )
    watch = await cancelled(RawExec(grace=HANG), path, lambda: exists(pid))
    assert 0.3 <= watch.seconds < HANG / 2
    assert scripts.read("cleaned") == "done\n"


async def test_cancelled_while_the_pipes_are_full(scripts: Scripts) -> None:
    """Neither unread stdin nor output after SIGTERM keeps the plugin from exiting."""
    ready = scripts.folder / "ready"
    path = scripts.python(
        f"""
        import os, signal, time
        def end(*_):
            for fd in 1, 2:
                data = bytes(300000)
                while data:
                    data = data[os.write(fd, data):]
            open({str(scripts.folder / "cleaned")!r}, "w").write("done")
            os._exit(0)  # while a file is closed Python swallows a handler's SystemExit
        signal.signal(signal.SIGTERM, end)
        open({str(ready)!r}, "w").write("ready\\n")
        # Not one long sleep: a signal right before it begins is handled after it.
        while True:
            time.sleep(0.05)
        """
    )
    await cancelled(RawExec(grace=HANG), path, lambda: exists(ready), bytes(1000000))
    assert scripts.read("cleaned") == "done"


@pytest.mark.parametrize("grace", [0.0, 0.3])
async def test_cancelled_plugin_ignores_sigterm(scripts: Scripts, grace: float) -> None:
    """The plugin gets its grace and no more."""
    pid = scripts.folder / "pid"
    path = scripts.sh(f"trap '' TERM; {scripts.note('pid')}; {NAPPING}")
    watch = await cancelled(RawExec(grace=grace), path, lambda: exists(pid))
    assert watch.seconds >= grace
    assert watch.within(grace)
    assert not is_running(scripts.number("pid"))


async def test_item_228_cancelled_with_a_child_that_ignores_sigterm(recorder: Recorder) -> None:
    """The call returns within `grace` and a second; neither process exists afterwards."""
    path = recorder.plugin("bridge", {"": Answer(grandchild=HANG, sleep=HANG)})
    grace = 0.5

    async def ready() -> None:
        await recorder.wait_for_calls()
        await anyio.sleep(0.2)

    watch = await cancelled(RawExec(grace=grace), str(path), ready)
    assert watch.seconds >= grace
    assert watch.within(grace)
    (call,) = recorder.calls()
    assert call.grandchild
    assert not is_running(call.pid)
    assert not is_running(call.grandchild)


async def test_item_228_only_the_child_is_left(scripts: Scripts) -> None:
    """The plugin exits; its child gets the rest of the grace and exits in time."""
    pid = scripts.folder / "pid"
    path = scripts.sh(
        f"""
        (trap 'sleep 0.3; echo done > {scripts.folder}/cleaned; exit' TERM
         {scripts.note("pid")}; {NAPPING}) &
        exec sleep {HANG}
        """
    )
    watch = await cancelled(RawExec(grace=HANG), path, lambda: exists(pid))
    assert 0.3 <= watch.seconds < HANG / 2
    assert scripts.read("cleaned") == "done\n"


async def test_cancelled_while_stopped(scripts: Scripts) -> None:
    """A stopped plugin is continued, so that it can clean up."""
    pid = scripts.folder / "pid"
    path = scripts.sh(
        f"""
        trap 'echo done > {scripts.folder}/cleaned; exit' TERM
        {scripts.note("pid")}; kill -STOP $$; {NAPPING}
        """
    )

    async def stopped() -> None:
        await exists(pid)
        await eventually(lambda: is_stopped(scripts.number("pid")))

    assert (await cancelled(RawExec(grace=HANG), path, stopped)).seconds < HANG / 2
    assert scripts.read("cleaned") == "done\n"


@pytest.mark.parametrize("code", [0, 1])
async def test_nobody_is_signalled_after_an_exit(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Processes left in the plugin's group, such as a daemon, get no signal; numbers are reused."""
    signals: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: signals.append(number))
    path = scripts.sh(f"sleep 0.5 & exit {code}")
    with suppress(PluginError):
        await RawExec(timeout=20).exec_plugin(path, b"", None)
    assert not signals


async def test_cancelled_before_the_exit_is_noticed(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is cancelled; the plugin is reaped."""
    pid, end = scripts.folder / "pid", scripts.folder / "end"
    path = scripts.sh(f"{scripts.note('pid')}; until [ -e {end} ]; do sleep 0.01; done; echo done")
    waits = anyio.Event()
    wait = pipes_module.Pipes.wait

    async def say_so_and_wait(pipes: pipes_module.Pipes) -> bool:
        waits.set()
        return await wait(pipes)

    monkeypatch.setattr(pipes_module.Pipes, "wait", say_so_and_wait)

    async def exited() -> None:
        await exists(pid)
        await waits.wait()  # trio starts the process in a thread, then checks it
        # Until the cancellation the event loop notices nothing, however slow the machine is.
        end.touch()
        assert wait_until_gone(scripts.number("pid"))

    assert (await cancelled(RawExec(grace=HANG), path, exited)).within(0)


@pytest.mark.parametrize("grace", [0.0, float(HANG)])
async def test_cancelled_while_being_started(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, grace: float
) -> None:
    """A child that exists when the cancellation is noticed is ended and reaped."""
    starts.skip_with("posix", "that is over at once")
    skip_on("trio", "trio heeds no cancellation from when it starts a process until it has")
    scope = anyio.CancelScope()
    started: list[int] = []

    start = anyio.open_process

    async def start_and_cancel(*args: Any, **kwargs: Any) -> anyio.abc.Process:
        process = await start(*args, **kwargs)
        started.append(process.pid)
        scope.cancel()
        await anyio.sleep(0.05)
        return process

    monkeypatch.setattr(anyio, "open_process", start_and_cancel)
    with anyio.fail_after(20), scope:
        await RawExec(grace=grace).exec_plugin(scripts.sh(f"exec sleep {HANG}"), b"", None)
    assert scope.cancelled_caught
    assert not is_running(*started)


async def test_cancelled_while_a_start_fails(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is reported; the cancellation takes effect at the next opportunity."""
    scope = anyio.CancelScope()

    def fail() -> None:
        scope.cancel()
        raise OSError(errno.EAGAIN, "try again")

    starts.around(monkeypatch, before=fail)
    with scope, pytest.raises(PluginError, match="resource temporarily unavailable"):
        await RawExec().exec_plugin(scripts.sh("exit"), b"", None)
    assert not scope.cancelled_caught


async def test_no_exception_group(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is raised as it is."""

    def fail() -> None:
        raise RuntimeError("out of luck")

    starts.around(monkeypatch, before=fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        await RawExec().exec_plugin(scripts.sh("exit"), b"", None)


# Uninterruptible sleep


@pytest.fixture
def kill_wait(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten the wait after SIGKILL; it normally ends a process in a few milliseconds."""
    monkeypatch.setattr(process_module, "_KILL_WAIT", 0.2)
    return 0.2


def test_kill_wait() -> None:
    """The wait takes half of the second that a call may last beyond its grace."""
    assert process_module._KILL_WAIT == 0.5


@pytest.fixture(name="undead")
async def undead_children(anyio_backend: object) -> AsyncIterator[list[int]]:
    async with undead() as pids:
        yield pids


@pytest.mark.parametrize(
    ("body", "bounds", "text"),
    [
        pytest.param(f"exec sleep {HANG}", {"timeout": 0.1}, "timed out after 0.1 s", id="slow"),
        pytest.param("exec yes", {"max_output": 10}, "it printed more than 10 bytes", id="flood"),
    ],
)
async def test_sigkill_does_not_help(
    scripts: Scripts,
    undead: list[int],
    kill_wait: float,
    caplog: pytest.LogCaptureFixture,
    body: str,
    bounds: Any,
    text: str,
) -> None:
    """The call fails in time and names the process that it leaves behind."""
    watch = Stopwatch()
    with pytest.raises(PluginError) as caught:
        await RawExec(grace=0, **bounds).exec_plugin(scripts.sh(body), b"", None)
    assert watch.within(0.1 + kill_wait)
    assert str(caught.value) == (
        f"{NO_MESSAGE}{text} (it is still running, SIGKILL did not end it)"
    )
    assert (caught.value.exit_code, caught.value.signal) == (None, None)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages == [f"process {undead[0]} survives SIGKILL, in uninterruptible sleep?"]


async def test_sigkill_does_not_help_a_cancellation(
    scripts: Scripts, undead: list[int], kill_wait: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The cancellation proceeds in time; the log names the process that is left behind."""
    pid = scripts.folder / "pid"
    path = scripts.sh(f"{scripts.note('pid')}; exec sleep {HANG}")
    watch = await cancelled(RawExec(grace=0.1), path, lambda: exists(pid))
    assert watch.within(0.1 + kill_wait)
    assert "survives SIGKILL" in caplog.text


# Processes left in a group


async def test_another_user_s_group(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, kill_wait: float
) -> None:
    """Processes that we may not signal are waited for, but not for ever."""
    pid, end = scripts.folder / "pid", scripts.folder / "end"

    def killpg(group: int, number: int) -> None:
        end.touch()
        raise PermissionError(errno.EPERM, "not yours")

    path = scripts.sh(
        f"({scripts.note('pid')}; exec sleep {HANG}) & until [ -e {end} ]; do sleep 0.01; done"
    )
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", killpg)
        watch = await cancelled(RawExec(grace=0.5), path, lambda: exists(pid))
    assert watch.seconds >= 0.5
    assert watch.within(0.5 + kill_wait)
    os.killpg(scripts.number("pid"), signal.SIGKILL)


async def test_no_proc(scripts: Scripts, monkeypatch: pytest.MonkeyPatch, kill_wait: float) -> None:
    """Without /proc, the library relies on what the kernel says about the group."""
    pid = scripts.folder / "pid"
    path = scripts.sh(
        f"(trap '' TERM; {scripts.note('pid')}; exec sleep {HANG}) & exec sleep {HANG}"
    )
    real = os.listdir

    def listdir(path: str = ".") -> list[str]:
        if path == "/proc":
            raise FileNotFoundError(path)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", listdir)
        watch = await cancelled(RawExec(grace=0.2), path, lambda: exists(pid))
    assert watch.seconds >= 0.2
    assert watch.within(0.2 + kill_wait)
    assert wait_until_gone(scripts.number("pid"))


# An executable that is being written


class Writing:
    """Keeps a file open for writing, which makes it busy."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab")  # noqa: SIM115

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def done(self) -> None:
        self._file.close()


async def test_item_223_and_225_busy_for_a_while(scripts: Scripts) -> None:
    """The plugin runs as soon as it can, exactly once, with its whole input."""
    path = scripts.sh(f"echo ran >> {scripts.folder}/log; cat")
    with Writing(path) as writing:
        async with anyio.create_task_group() as others:

            async def finish() -> None:
                await anyio.sleep(0.2)
                writing.done()

            others.start_soon(finish)
            with anyio.fail_after(20):
                assert await RawExec().exec_plugin(path, b"in", None) == b"in"
    assert scripts.read("log") == "ran\n"


async def test_item_224_busy_for_too_long(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails; Go reports a success."""
    monkeypatch.setattr(exec_module, "_BUSY_BUDGET", 0.3)
    path = scripts.sh(f"touch {scripts.folder}/started")
    watch = Stopwatch()
    with Writing(path), pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(path, b"", None)
    assert watch.seconds >= 0.3
    assert watch.within(0.3 + 1)
    assert str(caught.value) == f"{NO_MESSAGE}fork/exec {path}: text file busy"
    assert caught.value.retryable
    assert not (scripts.folder / "started").exists()


def test_item_224_budget() -> None:
    """The budget is libcni's: six attempts, a second apart."""
    assert exec_module._BUSY_BUDGET == 5


async def test_item_226_cancelled_while_busy(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause ends at once and nothing is started."""
    monkeypatch.setattr(exec_module, "_BUSY_FIRST_PAUSE", float(HANG))
    path = scripts.sh(f"touch {scripts.folder}/started")
    watch = Stopwatch()
    with Writing(path), anyio.move_on_after(0.1) as scope:
        await RawExec().exec_plugin(path, b"", None)
    assert scope.cancelled_caught
    assert watch.within(0.1)
    await anyio.sleep(0.1)
    assert not (scripts.folder / "started").exists()


async def test_timeout_does_not_count_waiting_for_a_writer(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline applies to the plugin, which has not started."""
    monkeypatch.setattr(exec_module, "_BUSY_LAST_PAUSE", 0.05)
    monkeypatch.setattr(exec_module, "_BUSY_BUDGET", float(HANG))
    path = scripts.sh("echo done")

    async def finish(writing: Writing, seconds: float) -> None:
        await anyio.sleep(seconds)
        writing.done()

    answer = b""
    for limit in LIMITS:
        with Writing(path) as writing:
            async with anyio.create_task_group() as others:
                others.start_soon(finish, writing, limit + 0.05)
                try:
                    answer = await RawExec(timeout=limit).exec_plugin(path, b"", None)
                    break
                except PluginTimeoutError:
                    continue  # the plugin was started, but a busy machine did not run it
    assert answer == b"done\n"

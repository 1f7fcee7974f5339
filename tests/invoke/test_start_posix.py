"""Behaviour specific to starting plugins with `os.posix_spawn`."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import os
import signal
import warnings
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from cni_async import CNIConfig
from cni_async._async.shielded import on_uvloop
from cni_async.errors import PluginError, PluginTimeoutError
from cni_async.invoke import RawExec, child, process, start_posix
from cni_async.invoke.pipes import Pipes
from cni_async.invoke.start import Started
from tests.support import starts
from tests.support.processes import is_running
from tests.support.scripts import Scripts, has_children, open_fds
from tests.support.wait import eventually, eventually_blocking

anyio_test = pytest.mark.anyio

HANG = 60
NO_MESSAGE = "netplugin failed with no error message: "


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


async def run(path: str, environ: dict[str, str] | None = None) -> str:
    with anyio.fail_after(20):
        return (await RawExec(spawn="posix").exec_plugin(path, b"{}", environ)).decode()


# -- the choice between the two ways


@anyio_test
async def test_the_usual_way(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    """`posix` is the default only on uvloop; either way can be chosen on any event loop."""
    spawned: list[int] = []
    spawn = os.posix_spawn

    def note(*args: Any, **options: Any) -> int:
        spawned.append(spawn(*args, **options))
        return spawned[-1]

    monkeypatch.setattr(os, "posix_spawn", note)
    path = scripts.sh("exit")
    await RawExec().exec_plugin(path, b"", None)
    assert len(spawned) == (1 if on_uvloop() else 0)
    spawned.clear()
    await RawExec(spawn="anyio").exec_plugin(path, b"", None)
    assert not spawned
    await RawExec(spawn="posix").exec_plugin(path, b"", None)
    assert len(spawned) == 1


@anyio_test
async def test_without_pidfds_there_is_one_way(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a pidfd, the end of a child that the event loop does not know goes unnoticed."""

    def spawn(*args: object, **options: object) -> int:
        raise AssertionError

    monkeypatch.setattr(start_posix, "is_available", lambda: False)
    monkeypatch.setattr(os, "posix_spawn", spawn)
    assert await run(scripts.sh("exec cat")) == "{}"


@pytest.mark.parametrize(
    ("number", "available"),
    [
        (None, True),
        (errno.ENOSYS, False),  # Linux before 5.3
        (errno.EPERM, False),  # a sandbox
        (errno.EMFILE, True),  # succeeds once descriptors are free again
        (errno.ENFILE, True),
    ],
)
def test_is_available(number: int | None, available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pidfd_open = os.pidfd_open

    def fail(pid: int) -> int:
        if number is None:
            return pidfd_open(pid)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", fail)
    assert start_posix.is_available.__wrapped__() == available


def test_is_not_available_where_no_session_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython raises this error if it was built with the headers of an old C library."""

    def spawn(*args: object, setsid: bool) -> int:
        assert setsid
        raise NotImplementedError("posix_spawn: setsid unavailable on this platform")

    monkeypatch.setattr(os, "posix_spawn", spawn)
    assert not start_posix.is_available.__wrapped__()


def test_is_not_available_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert not start_posix.is_available.__wrapped__()


@pytest.mark.parametrize(
    "make", [lambda way: CNIConfig([], spawn=way), lambda way: RawExec(spawn=way)]
)
def test_there_are_two_ways(make: Any) -> None:
    make("anyio")
    with pytest.raises(ValueError, match='spawn must be "anyio" or "posix", not \'fork\''):
        make("fork")


# -- the resources of the child


@anyio_test
async def test_no_signal_is_ignored(scripts: Scripts) -> None:
    """The plugin ignores and blocks no signal, not even one that the application ignores."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        status = await run(scripts.sh("exec grep -E '^Sig(Ign|Blk)' /proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, before)
    masks = [int(line.split()[1], 16) for line in status.splitlines()]
    # The C library reserves 32 and 33, and sets their handlers when it needs them.
    assert [mask & ~(0b11 << 31) for mask in masks] == [0, 0]


@pytest.mark.parametrize(
    ("ends", "copies"),
    [
        ((5, 6, 7), 0),
        ((3, 4, 5), 0),
        ((1, 4, 5), 0),
        ((0, 1, 2), 3),
        ((2, 0, 1), 2),
        ((1, 2, 0), 1),
    ],
)
def test_ends_with_the_numbers_of_standard_streams(
    ends: tuple[int, int, int], copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No end is overwritten before it is in place, and none is dup2()ed onto itself."""
    holds = {fd: f"file {fd}" for fd in range(8)}

    def duplicate(fd: int, command: int, least: int) -> int:
        assert (command, least) == (fcntl.F_DUPFD_CLOEXEC, 3)
        new = max(holds) + 1
        holds[new] = holds[fd]
        return new

    monkeypatch.setattr(fcntl, "fcntl", duplicate)
    pipes = cast("Pipes", SimpleNamespace(stdin=ends[0], stdout=ends[1], stderr=ends[2]))
    spare: list[int] = []
    for action, source, *target in start_posix._file_actions(pipes, spare):
        if action == os.POSIX_SPAWN_DUP2:
            assert [source] != target
            holds[target[0]] = holds[source]
    assert [holds[number] for number in range(3)] == [f"file {end}" for end in ends]
    assert len(spare) == copies


@anyio_test
async def test_a_bare_name_is_looked_for(scripts: Scripts, tmp_path: Path) -> None:
    """PATH is searched as by `subprocess`: missing and non-executable files are skipped."""
    for name in ("unfit", "fit"):
        (tmp_path / name).mkdir()
        Scripts(tmp_path / name).sh("echo found", "some-plugin")
    (tmp_path / "unfit" / "some-plugin").chmod(0o644)
    path = f"/none:{tmp_path}/unfit:{tmp_path}/fit"
    assert await run("some-plugin", {"PATH": path}) == "found\n"
    for folders, why in [
        (f"/none:{tmp_path}/unfit", "permission denied"),
        ("/none:/none", "no such file or directory"),
    ]:
        with pytest.raises(PluginError) as caught:
            await run("some-plugin", {"PATH": folders})
        assert str(caught.value) == f"{NO_MESSAGE}fork/exec some-plugin: {why}"


# -- the process is never lost


@anyio_test
async def test_cancelled_as_soon_as_it_is_there(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    scope = anyio.CancelScope()

    def cancel(pid: int) -> None:
        pids.append(pid)
        scope.cancel()

    starts.around(monkeypatch, after=cancel)
    with anyio.fail_after(20), scope:
        await RawExec(spawn="posix", grace=0).exec_plugin(
            scripts.sh(f"exec sleep {HANG}"), b"", None
        )
    assert scope.cancelled_caught
    assert len(pids) == 1
    assert not is_running(*pids)


@pytest.mark.asyncio
@pytest.mark.parametrize("times", [1, 2])
async def test_task_cancelled_as_soon_as_it_is_there(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The plugin gets its grace even if the task is cancelled twice at that moment."""
    path = scripts.sh(
        f"trap 'echo done >>{scripts.folder}/cleaned; exit' TERM; {scripts.note('pid')};"
        "while :; do sleep 0.05; done"
    )
    checkpoint = anyio.lowlevel.checkpoint
    ahead = ["the start"]

    async def when_it_runs() -> None:
        if ahead:  # the checkpoint before the start
            ahead.clear()
        else:
            eventually_blocking(lambda: scripts.lines("pid"))
            for _ in range(times):
                task.cancel()
        await checkpoint()

    monkeypatch.setattr(anyio.lowlevel, "checkpoint", when_it_runs)
    task = asyncio.create_task(RawExec(spawn="posix", grace=HANG).exec_plugin(path, b"", None))
    await eventually(lambda: scripts.lines("pid"))
    monkeypatch.undo()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scripts.read("cleaned") == "done\n"
    assert not is_running(scripts.number("pid"))


@anyio_test
async def test_one_that_is_cancelled_keeps_no_other_from_starting(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two plugins may start in a turn. These two are cancelled in it and use all of their grace."""
    stubborn = scripts.sh(f"trap '' TERM; {scripts.note('pid')}; while :; do sleep 0.05; done")
    path = scripts.sh("exec cat", "cat")
    grace = 3.0
    own_scope = ContextVar[anyio.CancelScope]("own_scope")

    def cancel(pid: int) -> None:
        if len(pids) < 2:
            pids.append(pid)
            eventually_blocking(lambda: len(scripts.lines("pid")) == len(pids))
            own_scope.get().cancel()  # the scope of the task that has just started the plugin

    async def call() -> None:
        with anyio.CancelScope() as scope:
            own_scope.set(scope)
            await RawExec(spawn="posix", grace=grace).exec_plugin(stubborn, b"", None)

    pids: list[int] = []
    starts.around(monkeypatch, after=cancel)
    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        calls.start_soon(call)
        await eventually(lambda: len(pids), lambda count: count == 2)
        assert await run(path) == "{}"
        assert all(map(is_running, pids))


class Interrupted(BaseException):
    """Raised by a signal handler, as Python's own handler of SIGINT raises KeyboardInterrupt."""


class AlarmError(TimeoutError):
    """Raised by a handler of SIGALRM."""


@pytest.mark.parametrize("kind", [Interrupted, AlarmError])
def test_a_signal_while_it_is_started(scripts: Scripts, kind: type[BaseException]) -> None:
    """The signal's handler may raise an exception right after the process starts."""
    path = scripts.sh(f"exec sleep {HANG}")
    found: list[Started] = []
    interrupted = 0
    spawning = False

    def interrupt(*_: object) -> None:
        if spawning:  # the kernel may have delivered the signal to another, slower thread
            raise kind

    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # an exception raised in a callback of the collector is lost
    try:
        for number in range(300):
            found.clear()
            with closing(Pipes(b"", 1)) as pipes:
                try:
                    spawning = True
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number % 60 * 0.00002)
                    start_posix._spawn(path, os.environ, pipes, found.append)
                    spawning = False
                except kind:
                    spawning = False
                    interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not found:
                assert not has_children()
            for pid in {each.pid for each in found}:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted


@pytest.fixture
def undead_pid(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make plugins survive their signals, and shorten the wait before they are given up."""
    monkeypatch.setattr(process, "_KILL_WAIT", 0.05)
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    pids: list[int] = []
    starts.around(monkeypatch, after=pids.append)
    return pids


async def give_up(scripts: Scripts) -> None:
    with anyio.fail_after(20), pytest.raises(PluginTimeoutError, match="still running"):
        await RawExec(spawn="posix", timeout=0.05, grace=0).exec_plugin(
            scripts.sh(f"exec sleep {HANG}", "slow"), b"", None
        )


@anyio_test
@pytest.mark.parametrize("has_pidfd", [True, False])
async def test_what_is_given_up_is_reaped_by_a_later_call(
    scripts: Scripts,
    undead_pid: list[int],
    monkeypatch: pytest.MonkeyPatch,
    has_pidfd: bool,
) -> None:
    """The event loop does not know the plugin, so nothing else would reap it."""
    if not has_pidfd:

        def dup(fd: int) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(os, "dup", dup)
    fds = len(open_fds())
    await give_up(scripts)
    monkeypatch.undo()
    [pid] = undead_pid
    assert is_running(pid)
    assert len(open_fds()) == fds + has_pidfd
    assert await run(scripts.sh("exec cat")) == "{}"
    assert is_running(pid)  # the call does not wait for it
    os.kill(pid, signal.SIGKILL)
    eventually_blocking(lambda: child._status(pid, None, keep=True), lambda how: how is not None)
    assert await run(scripts.sh("exec cat")) == "{}"
    assert not has_children()
    assert len(open_fds()) == fds


@anyio_test
async def test_what_is_given_up_and_reaped_by_others(
    scripts: Scripts, undead_pid: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fds = len(open_fds())
    await give_up(scripts)
    monkeypatch.undo()
    os.kill(undead_pid[0], signal.SIGKILL)
    os.waitpid(undead_pid[0], 0)
    await run(scripts.sh("exit"))
    assert not child._LEFT
    assert len(open_fds()) == fds


@anyio_test
async def test_a_forked_child_does_not_keep_its_parents_plugin(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that also ends in the forked child leaves the plugin to the parent."""
    begun = child.Child(start_posix._Unwatched(os.getppid()))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    begun.close()
    assert not child._LEFT


@anyio_test
async def test_what_is_given_up_is_none_of_a_forked_child_s(
    scripts: Scripts, undead_pid: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fds = len(open_fds())
    await give_up(scripts)
    monkeypatch.undo()
    [left] = child._LEFT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests may have left threads
        forked = os.fork()
    if not forked:
        try:
            os.fstat(left.pidfd or 0)
        except OSError:
            os._exit(3 if not child._LEFT else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 3
    os.kill(left.pid, signal.SIGKILL)
    eventually_blocking(
        lambda: child._status(left.pid, left.pidfd, keep=True), lambda how: how is not None
    )
    child.reap_left()
    assert not child._LEFT
    assert len(open_fds()) == fds

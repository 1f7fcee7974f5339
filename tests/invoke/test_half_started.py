"""A start that fails when the process already exists leaves nothing running."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from cni_async.errors import PluginError
from cni_async.invoke import RawExec, process as process_module
from tests.support import starts
from tests.support.processes import is_running
from tests.support.scripts import Scripts, has_children, open_fds, skip_on, wait_for_fds
from tests.support.wait import Stopwatch, eventually_blocking

pytestmark = pytest.mark.anyio

NO_MESSAGE = "netplugin failed with no error message: "
GRACE = 0.3


@pytest.fixture(autouse=True)
def _spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use anyio's way: with `os.posix_spawn` nothing can fail once the process exists."""
    starts.use("anyio", monkeypatch)


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    """Check that a test leaves no children (zombies included) and no file descriptors."""
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


def hanging(scripts: Scripts) -> str:
    """Return a plugin that has a child of its own. Both ignore SIGTERM and note their PIDs."""
    child = scripts.sh(f"trap '' TERM; {scripts.note('pids')}; while :; do sleep 0.05; done", "sub")
    return scripts.sh(f"trap '' TERM; '{child}' & {scripts.note('pids')}; wait")


def both_run(scripts: Scripts) -> list[int]:
    """Block the event loop until the plugin and its child have begun; return their PIDs."""
    found = eventually_blocking(lambda: scripts.lines("pids"), lambda found: len(found) == 2)
    return [int(line) for line in found]


def too_many_open() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.fixture
def pids(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make asyncio fail to watch a process that it has just started."""
    pids: list[int] = []
    pidfd_open, start = os.pidfd_open, threading.Thread.start

    def no_pidfd(pid: int, flags: int = 0) -> int:
        if pid == os.getpid():  # asyncio checks once whether the system has pidfds
            return pidfd_open(pid, flags)
        pids[:] = both_run(scripts)
        raise too_many_open()

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("asyncio-waitpid"):
            pids[:] = both_run(scripts)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    return pids


async def test_nothing_outlives_it(scripts: Scripts, pids: list[int]) -> None:
    """Neither the plugin nor its child survives; the error is that of any failed start."""
    skip_on("uvloop", "nothing can fail there once the process is started")
    skip_on("trio", "trio goes on without a pidfd")
    path = hanging(scripts)
    watch = Stopwatch()
    with pytest.raises(PluginError) as caught:
        await RawExec(grace=GRACE).exec_plugin(path, b"{}", None)
    assert watch.within(GRACE + 1)
    assert len(pids) == 2
    # Look while the error still exists, because it holds asyncio's objects of the process.
    assert not [pid for pid in pids if is_running(pid)]
    assert not has_children()
    reasons = "too many open files", "resource temporarily unavailable"
    assert str(caught.value) in [f"{NO_MESSAGE}fork/exec {path}: {reason}" for reason in reasons]
    assert caught.value.retryable
    assert caught.value.started


async def test_others_go_on_without_a_pidfd(scripts: Scripts, pids: list[int]) -> None:
    skip_on("asyncio", "it fails there")
    path = hanging(scripts)
    with anyio.move_on_after(0.5) as scope:
        await RawExec(grace=GRACE).exec_plugin(path, b"{}", None)
    assert scope.cancelled_caught
    assert not [pid for pid in pids if is_running(pid)]


async def test_cancelled_meanwhile(scripts: Scripts, pids: list[int]) -> None:
    """A cancelled call still ends and reaps the plugin."""
    skip_on("uvloop", "nothing can fail there once the process is started")
    skip_on("trio", "trio goes on without a pidfd")
    task = asyncio.create_task(RawExec(grace=GRACE).exec_plugin(hanging(scripts), b"{}", None))
    while not pids:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [pid for pid in pids if is_running(pid)]
    assert not has_children()


async def test_what_wraps_the_process_fails(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin is ended if, for example, anyio has no memory for its process object."""
    skip_on("trio", "it is lost sight of there")
    pids: list[int] = []

    def fail(*args: Any, **options: Any) -> None:
        pids[:] = both_run(scripts)
        raise MemoryError

    from anyio._backends import _asyncio

    monkeypatch.setattr(_asyncio, "Process", fail)
    with pytest.raises(MemoryError):
        await RawExec(grace=GRACE).exec_plugin(hanging(scripts), b"{}", None)
    assert len(pids) == 2
    assert not [pid for pid in pids if is_running(pid)]


async def test_a_start_that_fails_before_leaves_nothing(scripts: Scripts) -> None:
    with pytest.raises(PluginError, match="no such file or directory") as caught:
        await RawExec().exec_plugin(str(scripts.folder / "missing"), b"{}", None)
    assert not caught.value.started


async def test_a_group_that_cannot_be_looked_at_is_not_empty(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free descriptor for /proc, a child that ignores SIGTERM still gets SIGKILL."""
    child = scripts.sh(f"trap '' TERM; {scripts.note('pids')}; while :; do sleep 0.05; done", "sub")
    path = scripts.sh(f"'{child}' & {scripts.note('pids')}; wait")
    real = open

    def full(file: Any, *args: Any, **options: Any) -> Any:
        if str(file).startswith("/proc/"):
            raise too_many_open()
        return real(file, *args, **options)

    monkeypatch.setattr(process_module, "open", full, raising=False)
    pids: list[int] = []
    async with anyio.create_task_group() as group:
        group.start_soon(RawExec(grace=GRACE).exec_plugin, path, b"{}", None)
        pids = await scripts.numbers("pids", 2)
        group.cancel_scope.cancel()
    assert not [pid for pid in pids if is_running(pid)]

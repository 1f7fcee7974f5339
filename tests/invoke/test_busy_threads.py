"""Calls in an application that keeps all of its worker threads busy."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_thread
import pytest

from cni_async.errors import PluginTimeoutError
from cni_async.invoke import RawExec, Spawn
from tests.support import starts
from tests.support.processes import is_running
from tests.support.scripts import Scripts, has_children, open_fds, skip_on, wait_for_fds

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

HANG = 60
POPEN: Final = cast("Callable[..., subprocess.Popen[bytes]]", subprocess.Popen)
# The extra time that a slow machine may add to any wait.
SLACK = 5.0


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


@asynccontextmanager
async def busy_threads() -> AsyncIterator[threading.Event]:
    """Occupy all default worker threads until the event is set or the block ends."""
    release = threading.Event()
    limiter = anyio.to_thread.current_default_thread_limiter()
    async with anyio.create_task_group() as blockers:
        for _ in range(int(limiter.total_tokens)):
            blockers.start_soon(anyio.to_thread.run_sync, release.wait, HANG)
        try:
            with anyio.fail_after(20):
                while limiter.available_tokens:
                    await anyio.sleep(0.001)
            yield release
        finally:
            release.set()


async def test_a_cancellation_does_not_wait_for_a_thread(scripts: Scripts, spawn: Spawn) -> None:
    """A cancelled call returns at once; if trio has not got a thread by then, nothing starts."""
    path = scripts.sh(f"touch {scripts.folder}/started; exec sleep {HANG}")
    async with busy_threads():
        started = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await RawExec(grace=0).exec_plugin(path, b"", None)
        assert scope.cancelled_caught
        assert time.monotonic() - started < 0.3 + SLACK
    await anyio.sleep(0.1)
    if spawn == "anyio" and not asyncio_runs():
        assert not (scripts.folder / "started").exists()


def asyncio_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def test_the_end_of_a_plugin_does_not_wait_for_a_thread(scripts: Scripts) -> None:
    """A timeout ends the plugin and its group even if all threads are busy once the plugin runs."""
    path = scripts.sh(
        f"(trap '' TERM; exec sleep {HANG}) & echo $! > {scripts.folder}/pid; exec sleep {HANG}"
    )
    ended: list[float] = []

    async def call() -> None:
        with pytest.raises(PluginTimeoutError):
            await RawExec(timeout=2, grace=0.1).exec_plugin(path, b"", None)
        ended.append(time.monotonic())

    started = time.monotonic()
    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        await scripts.numbers("pid")
        async with busy_threads():
            with anyio.fail_after(20):
                while not ended:
                    await anyio.sleep(0.01)
    assert ended[0] - started < 2.1 + SLACK
    assert not is_running(scripts.number("pid"))


async def test_cancelled_while_trio_starts_it(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process exists once its thread is done; the call ends and reaps it."""
    for loop in ("asyncio", "uvloop"):
        skip_on(loop, "only trio starts processes in threads")
    starts.skip_with("posix", "it needs no thread")
    token = pytest.importorskip("trio").lowlevel.current_trio_token()
    scope = anyio.CancelScope()
    cancelled = threading.Event()
    started: list[int] = []

    def cancel() -> None:
        scope.cancel()
        cancelled.set()

    def popen(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        process = POPEN(*args, **kwargs)
        started.append(process.pid)
        token.run_sync_soon(cancel)
        assert cancelled.wait(20)
        return process

    monkeypatch.setattr(subprocess, "Popen", popen)
    with anyio.fail_after(20), scope:
        await RawExec(grace=0).exec_plugin(scripts.sh(f"exec sleep {HANG}"), b"", None)
    assert scope.cancelled_caught
    assert not is_running(*started)

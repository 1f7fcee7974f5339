"""One descriptor of a lock file for everything that an event loop holds and waits for in it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from cni_async.operations import lockfile, order as locks_module
from cni_async.operations.order import Locks
from tests.support.crowd import Crowd, Hold, attachment, collection, container, nobody_left
from tests.support.holder import holder, is_queueing
from tests.support.scripts import open_fds
from tests.support.wait import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    async with nobody_left():
        yield


def is_locked(file: Path, kind: str, name: str) -> bool:
    """Return whether a name is locked, as another process sees it."""
    fd = os.open(file, os.O_RDWR)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, locks_module._byte_of(kind, name))
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


# -- how many descriptors and looks


async def test_one_descriptor_whatever_is_held_and_waited_for(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "lock")
    before = open_fds()
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        names = [f"c{number}" for number in range(20)]
        for name in names:
            await crowd.arrive(name, attachment("n", name))
        await crowd.has_inside(*names)
        assert len(open_fds() - before) == 1
        await crowd.arrive("gc", collection())
        for name in names:
            await crowd.arrive(f"{name} again", attachment("n", name))
        assert len(open_fds() - before) == 1
        assert not locks.is_busy("s", "d")
        assert len(open_fds() - before) == 1
        await crowd.end("gc", "c19 again")
    assert open_fds() == before


# Locks every byte of the file.
ALL_OF_IT: Final = """
import fcntl
import sys

with open(sys.argv[2], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("inside", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("behind", "hold"),
    [
        pytest.param("gc", lambda number: attachment("n", f"c{number}"), id="collection"),
        pytest.param("all", lambda number: container(f"c{number}"), id="their-containers"),
    ],
)
async def test_a_thousand_who_wait_cost_little(
    tmp_path: Path, behind: str, hold: Callable[[int], Hold]
) -> None:
    """The kernel does not wake a task that waits for another process, and each look costs time."""
    file = tmp_path / "lock"
    locks = Locks(file)
    passed = 0

    async def one(number: int) -> None:
        nonlocal passed
        async with hold(number)(locks):
            passed += 1

    async def wait_cheaply() -> None:
        """Wait until half a second uses less than a seventh of its CPU time."""
        most = 0.07 if sys.gettrace() is None else 0.2  # coverage costs time, too
        with anyio.fail_after(PATIENCE):
            while True:
                before = time.process_time()
                await anyio.sleep(0.5)
                if time.process_time() - before < most:
                    return

    program = (ALL_OF_IT,) if behind == "all" else ()
    with holder(behind, file, *program) as other:
        assert await other.says() == "inside"
        async with anyio.create_task_group() as group:
            for number in range(1000):
                group.start_soon(one, number)
            await wait_cheaply()
            assert passed == 0
            other.tell()
            with anyio.fail_after(PATIENCE):
                while passed < 1000:
                    await anyio.sleep(0.01)


# -- which operations keep a byte locked


async def test_the_last_to_leave_unlocks(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(file))
        await crowd.arrive("one", attachment("n", "c1"))
        await crowd.arrive("two", attachment("n", "c2"))
        await crowd.has_inside("one", "two")
        assert is_locked(file, "container", "c1")
        crowd.tell("one")
        await crowd.has_inside("two")
        assert not is_locked(file, "container", "c1")
        assert is_locked(file, "container", "c2")
        assert is_locked(file, "network", "n")
        # Another operation is inside, and the file is open.
        await crowd.arrive("other", container("d"))
        await crowd.has_inside("two", "other")
        crowd.tell("two")
        await crowd.has_inside("other")
        assert not is_locked(file, "network", "n")
        assert not is_locked(file, "container", "c2")
        assert is_locked(file, "container", "d")
        await crowd.end()


async def test_two_of_one_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of two containers, or of two networks, may map to the same byte."""
    monkeypatch.setattr(locks_module, "_byte_of", lambda kind, name: 5 if kind == "network" else 9)
    file = tmp_path / "lock"
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(file))
        await crowd.arrive("one", attachment("n", "c"))
        await crowd.has_inside("one")
        assert crowd._locks.is_busy("s", "d")
        await crowd.arrive("two", attachment("m", "d"))
        await crowd.has_inside("one")
        crowd.tell("one")
        await crowd.has_inside("two")
        assert is_locked(file, "network", "m")
        assert is_locked(file, "container", "d")
        await crowd.arrive("gc", collection("k"))
        await crowd.has_inside("two")
        await crowd.end("gc")


async def test_who_leaves_while_another_waits_behind_another_process(tmp_path: Path) -> None:
    """The other process's GC is next, and waits only for the operations that are inside."""
    file = tmp_path / "lock"
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(file))
        await crowd.arrive("one", attachment("n", "c1"))
        await crowd.has_inside("one")
        with holder("gc", file) as other:
            await is_queueing(file, "network", "n")
            await crowd.arrive("two", attachment("n", "c2"))
            await crowd.has_inside("one")
            crowd.tell("one")
            assert await other.says() == "inside"
            await crowd.has_inside()
            other.tell()
            await crowd.has_inside("two")
        await crowd.end()


async def test_the_one_who_looks_is_cancelled(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with holder("gc", file) as other:
        assert await other.says() == "inside"
        async with anyio.create_task_group() as group:
            crowd = Crowd(group, Locks(file))
            await crowd.arrive("stays", container("d"))  # keeps the file open
            for number in range(3):
                await crowd.arrive(f"{number}", attachment("n", f"c{number}"))
            crowd.cancel("0")
            await crowd.has_inside("stays")
            with holder("gc", file) as second:
                crowd.cancel("1", "2")
                # No operation here blocks the GC.
                await is_queueing(file, "network", "n")
                other.tell()
                assert await second.says() == "inside"
                await crowd.arrive("3", attachment("n", "c3"))
                await crowd.has_inside("stays")
                second.tell()
                await crowd.has_inside("stays", "3")
            await crowd.end()


async def test_a_byte_that_cannot_be_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlocking may need kernel memory. The descriptor is closed as soon as possible."""
    file = tmp_path / "lock"
    locks = Locks(file)
    call = lockfile._LockFile._call

    def fail(self: Any, command: int, how: int, *more: int) -> int:
        if how == fcntl.F_UNLCK and more != (0, 0):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        return call(self, command, how, *more)

    async with container("c")(locks):
        with monkeypatch.context() as patched:
            patched.setattr(lockfile._LockFile, "_call", fail)
            async with container("d")(locks):
                pass
        async with container("e")(locks):
            pass
    for name in "cde":
        assert not is_locked(file, "container", name)


# -- event loops that end


async def test_an_event_loop_that_is_closed(tmp_path: Path) -> None:
    """An operation in the middle can no longer await anything, and its locks are released."""
    file = tmp_path / "lock"

    async def hold(inside: asyncio.Event) -> None:
        async with attachment()(Locks(file)):
            inside.set()
            await asyncio.sleep(3600)

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # a destroyed task is expected
        inside = asyncio.Event()
        task = loop.create_task(hold(inside))
        loop.run_until_complete(inside.wait())
        assert is_locked(file, "container", "c")
        loop.close()
        del task
        gc.collect()

    await anyio.to_thread.run_sync(run)
    assert not is_locked(file, "container", "c")
    assert not is_locked(file, "network", "n")

"""A lock file: order between processes, event loops and threads; the dead hold no lock."""

from __future__ import annotations

import asyncio
import base64
import errno
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from cni_async import CacheError, CNIConfig, FileCache
from cni_async.operations import lockfile, order as locks_module
from cni_async.operations.order import Locks
from cni_async.testing import FakeExec
from tests.support.chains import KEY, RT, network, runtime
from tests.support.crowd import Crowd, attachment, collection, container, nobody_left
from tests.support.holder import Holder, holder
from tests.support.processes import wait_until_gone
from tests.support.wait import PATIENCE, eventually

pytestmark = pytest.mark.anyio

NET = network("a")


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    async with nobody_left():
        yield


# -- between processes


@pytest.mark.parametrize("end", ["leaves", "is killed"])
async def test_another_process(tmp_path: Path, end: str) -> None:
    file = tmp_path / "lock"
    locks = Locks(file)
    with holder("c", file) as other:
        assert await other.says() == "inside"
        assert locks.is_busy("s", "c")
        async with anyio.create_task_group() as group:
            crowd = Crowd(group, locks)
            await crowd.arrive("add", attachment())
            await crowd.arrive("check", container())
            await crowd.arrive("other container", attachment("n", "d"))
            await crowd.has_inside("other container")
            await crowd.arrive("gc", collection())
            crowd.tell("other container")
            await crowd.has_inside()
            if end == "leaves":
                other.tell()
            else:
                other.kill()
            await crowd.has_inside("add")
            await crowd.end("check", "gc")
            assert sorted(crowd.came) == ["add", "check", "gc", "other container"]


async def test_a_collection_in_another_process(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with holder("gc", file) as other:
        assert await other.says() == "inside"
        fake = runtime(lock_file=file)
        with anyio.move_on_after(0.2) as waiting:
            await fake.cni.add_network_list(network("a", name="n"), RT)
        assert waiting.cancelled_caught
        assert not fake.exec.calls
        await fake.cni.add_network_list(network("a", name="m"), RT)
        other.kill()
        with anyio.fail_after(PATIENCE):
            await fake.cni.add_network_list(network("a", name="n"), RT)


async def test_two_processes_and_us(tmp_path: Path) -> None:
    """Either process may be first, and the two are never inside together."""
    file = tmp_path / "lock"
    locks = Locks(file)
    inside: list[Holder] = []

    async def listen(other: Holder) -> None:
        assert await other.says() == "inside"
        inside.append(other)

    async def are_inside(count: int) -> None:
        await eventually(lambda: len(inside), lambda number: number >= count)

    with holder("c", file) as one, holder("c", file) as two:
        async with anyio.create_task_group() as group:
            group.start_soon(listen, one)
            group.start_soon(listen, two)
            await are_inside(1)
            await anyio.sleep(0.2)
            assert len(inside) == 1
            assert locks.is_busy("s", "c")
            inside[0].tell()
            await are_inside(2)
            inside[1].tell()
        with anyio.fail_after(PATIENCE):
            async with container()(locks):
                pass


# -- between event loops of one process


async def test_a_collection_gets_its_turn_among_many_adds(tmp_path: Path) -> None:
    """At every moment some ADD runs, each in an event loop of its own."""
    file = tmp_path / "lock"
    stop = threading.Event()
    begun = threading.Semaphore(0)
    counts: list[int] = []

    def adds(name: str) -> int:
        async def run() -> int:
            count = 0
            while not stop.is_set():
                async with attachment("n", f"{name}-{count % 2}")(Locks(file)):
                    count += 1
                    begun.release()
                    await asyncio.sleep(0.02)
            return count

        return asyncio.run(run())

    async def stream(name: str) -> None:
        counts.append(await anyio.to_thread.run_sync(adds, name))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(stream, f"c{number}")
        try:
            for _ in range(12):
                await anyio.to_thread.run_sync(begun.acquire, True, PATIENCE)
            with anyio.fail_after(PATIENCE):
                for _ in range(3):
                    async with collection()(Locks(file)):
                        pass
        finally:
            stop.set()
    assert sum(counts) >= 12


@pytest.mark.parametrize("same_file", [True, False])
async def test_event_loops_in_two_threads(tmp_path: Path, same_file: bool) -> None:
    go_on = threading.Event()
    inside = threading.Event()

    def other_loop() -> None:
        async def hold() -> None:
            async with attachment()(Locks(tmp_path / "lock")):
                inside.set()
                await asyncio.to_thread(go_on.wait)

        asyncio.run(hold())

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, other_loop)
        try:
            await anyio.to_thread.run_sync(inside.wait, PATIENCE)
            crowd = Crowd(group, Locks(tmp_path / "lock" if same_file else None))
            await crowd.arrive("here", attachment())
            await crowd.has_inside(*[] if same_file else ["here"])
        finally:
            go_on.set()
        await crowd.has_inside("here")
        await crowd.end()


# -- processes that have the descriptor, but not the lock

FORKING: Final = """
import os
import sys
import time
import anyio
from cni_async.operations.order import Locks

def say(what):
    os.write(1, b"%s\\n" % what)  # print() would write twice, and two of us do

async def main():
    kind, file = sys.argv[1:3]
    try:
        async with Locks(file).container("s", kind):
            child = os.fork()
            if child == 0:
                taken = os.open("/dev/null", os.O_RDONLY)  # the number that was the lock file's
                raise LookupError
            say(b"%d" % child)
            say(b"inside")
            sys.stdin.readline()
    except LookupError:
        os.fstat(taken)  # still open: it is not the lock file's any more
        say(b"forked")
        time.sleep(60)

anyio.run(main)
"""


async def test_a_forked_child_keeps_nothing(tmp_path: Path) -> None:
    """The child outlives its killed parent, and closes no descriptor that is not its own."""
    file = tmp_path / "lock"
    with holder("c", file, FORKING) as other:
        said = sorted([await other.says() for _ in range(3)])
        child = int(said[0])
        try:
            assert said[1:] == ["forked", "inside"]
            assert Locks(file).is_busy("s", "c")
            other.kill()
            with anyio.fail_after(PATIENCE):
                async with container()(Locks(file)):
                    pass
        finally:
            os.kill(child, signal.SIGKILL)
    assert wait_until_gone(child)


async def test_what_is_forgotten_is_not_closed_twice(tmp_path: Path) -> None:
    """A forked child does this: the descriptor's number may soon belong to another file."""
    locks = Locks(tmp_path / "lock")
    async with container()(locks):
        [lock_file] = lockfile._OPEN
        number = lock_file._fd
        lockfile._leave_all_to_parent()
        assert not lockfile.is_locked(
            str(tmp_path / "lock"), locks_module._byte_of("container", "c")
        )
        taken = os.open("/dev/null", os.O_RDONLY)
        assert taken == number
    os.close(taken)  # fails if the descriptor was closed


async def test_a_plugin_that_is_started_meanwhile_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    locks = Locks(file)
    async with container()(locks):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert not locks.is_busy("s", "c")
        with anyio.fail_after(PATIENCE):
            async with container()(locks):
                pass
    finally:
        child.kill()
        child.wait()


# -- the lock file itself


async def test_the_lock_file_is_made_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    fake = runtime(lock_file=file)
    await fake.cni.add_network_list(NET, RT)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes() == b""
    await fake.cni.del_network_list(NET, RT)
    assert file.exists()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: path.mkdir(), "is a directory", id="directory"),
        pytest.param(
            lambda path: path.symlink_to(path.parent / "no" / "lock"),
            "no such file or directory",
            id="missing-folder",
        ),
        pytest.param(
            lambda path: path.symlink_to(path), "too many levels of symbolic links", id="loop"
        ),
    ],
)
async def test_a_lock_file_that_cannot_be_opened(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    file = tmp_path / "lock"
    make(file)
    await every_operation_is_refused(file, f"cannot lock {file}: {reason}")


async def test_a_lock_file_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lock"
    really_open = os.open

    def open_read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if path == str(file) and flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return really_open(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", open_read_only)
    await every_operation_is_refused(file, f"cannot lock {file}: read-only file system")


async def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lock"

    def no_locks(*args: Any) -> bytes:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", no_locks)
    await every_operation_is_refused(file, f"cannot lock {file}: no locks available")


# An ADD that did not complete: `recover` would look at it.
UNFINISHED: Final = (
    b'{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"net","config":"'
    + base64.b64encode(NET.raw)
    + b'"}'
)


async def every_operation_is_refused(file: Path, words: str) -> None:
    """Check that the error is clear, no plugin was run, and nothing is locked or open."""
    fake = runtime(lock_file=file, rollback=True)
    await fake.cache.store(KEY, UNFINISHED)
    [attached] = await fake.cni.get_cached_attachments()
    before = dict(fake.cache.records)

    async def attach() -> None:
        async with fake.cni.attachment(NET, RT):
            raise AssertionError("attached")

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: fake.cni.add_network_list(NET, RT),
        lambda: fake.cni.check_network_list(NET, RT),
        lambda: fake.cni.del_network_list(NET, RT),
        lambda: fake.cni.gc_network_list(NET, None),
        lambda: fake.cni.del_attachment(attached),
        lambda: fake.cni.recover(),
        lambda: fake.cni.recover(delete=True),
        attach,
    ]
    for call in calls:
        with pytest.raises(CacheError) as caught:
            await call()
        assert str(caught.value) == words
        assert caught.value.path == str(file)
    assert not fake.exec.calls
    assert fake.cache.records == before


async def test_who_is_turned_away_by_the_file_lets_the_next_in(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.mkdir()
    locks = Locks(file)
    with pytest.raises(CacheError):
        async with attachment()(locks):
            pass
    file.rmdir()
    with anyio.fail_after(PATIENCE):
        async with attachment()(locks):
            pass


async def test_bytes_of_a_lock_file() -> None:
    """Each kind and name has its own odd byte. The byte before it is its queue."""
    keys = [(kind, name) for kind in ("network", "container") for name in ("a", "b", "\udcff")]
    places = {locks_module._byte_of(*key) for key in keys}
    assert len(places) == len(keys)
    assert all(place % 2 and 0 < place < 2**61 for place in places)
    # A container never shares a byte with its own network, for which it would wait forever.
    assert {locks_module._byte_of("network", str(number)) & 2 for number in range(99)} == {2}
    assert {locks_module._byte_of("container", str(number)) & 2 for number in range(99)} == {0}


async def test_the_lock_file_is_not_in_the_way_of_the_cache(tmp_path: Path) -> None:
    cache = FileCache(tmp_path)
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache, lock_file=tmp_path / "lock")
    await cni.add_network_list(NET, RT)
    assert len(await cni.get_cached_attachments()) == 1

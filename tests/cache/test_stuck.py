"""A disk that answers late or never: what late answers change, and which callers wait."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from cni_async import (
    AttachmentKey,
    CacheError,
    CacheWriteError,
    CNIConfig,
    ConfigError,
    FileCache,
    RuntimeConf,
    conf_list_from_file,
)
from cni_async._async import disk, pacing
from cni_async._async.disk import BusyError, Disk
from cni_async._async.threads import Threads, Visit
from cni_async.cache import files, turns
from cni_async.conf import load
from cni_async.testing import FakeExec
from tests.support.chains import KEY, RT, address, as_dict, network
from tests.support.stuck import Stuck, until_no_thread_is_busy

pytestmark = pytest.mark.anyio

A = network("a")


class Node:
    """A runtime with fake plugins and a cache in a directory."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.exec = FakeExec({("a", "ADD"): self._add})
        self.cni = CNIConfig(["/bin"], exec=self.exec, cache=FileCache(folder), **options)
        self.results = folder / "results"
        self.adds = 0

    async def _add(self, call: object) -> dict[str, Any]:
        self.adds += 1
        return address(self.adds)

    async def prepared(self) -> None:
        """Make the cache create its directories."""
        await self.cni.add_network_list(A, RuntimeConf("c0", "", "eth0"))
        await self.cni.del_network_list(A, RuntimeConf("c0", "", "eth0"))
        self.adds = 0
        self.exec.calls.clear()

    async def add(self) -> None:
        await self.cni.add_network_list(A, RT)

    async def delete(self) -> None:
        with impatience():
            await self.cni.del_network_list(A, RT)

    async def recorded(self) -> dict[str, Any] | None:
        result = await self.cni.get_network_list_cached_result(A, RT)
        return None if result is None else as_dict(result)

    @property
    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.results))
            for path in self.results.rglob("*")
            if path.name != ".tmp"
        )


@pytest.fixture
async def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    await node.prepared()
    return node


@contextmanager
def impatience() -> Iterator[None]:
    """Make the cache give up soon on calls that the disk does not answer.

    This applies only where the disk is stuck, as a busy machine may take its time. The time limit
    ends a moment after a call has come to hang.
    """
    scopes: list[anyio.CancelScope] = []

    @contextmanager
    def fail_after(delay: float) -> Iterator[anyio.CancelScope]:
        with anyio.fail_after(delay) as scope:
            scopes.append(scope)
            try:
                yield scope
            finally:
                scopes.remove(scope)

    def hurry() -> None:
        for scope in scopes:
            scope.deadline = min(scope.deadline, anyio.current_time() + 0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_WAIT", 1.0)
        patch.setattr(
            disk, "anyio", SimpleNamespace(fail_after=fail_after, lowlevel=anyio.lowlevel)
        )
        patch.setattr(Stuck, "told", [lambda: anyio.from_thread.run_sync(hurry)])
        yield


async def unanswered(call: Awaitable[object]) -> CacheError:
    with impatience(), anyio.fail_after(20), pytest.raises(CacheError) as caught:
        await call
    assert str(caught.value).endswith(": no answer in 1 s")
    return caught.value


def is_folder(file: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{file}")


def is_file(file: int) -> bool:
    return not is_folder(file)


# -- late answers


async def test_a_record_that_was_given_up_is_not_written_later(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Stuck(monkeypatch, "fsync", when=is_file)
    error = await unanswered(node.add())
    assert isinstance(error, CacheWriteError)
    assert as_dict(error.result) == address(1)
    assert error.path == str(node.results / KEY.file_name)
    await node.delete()
    await fsync.let_go()
    assert node.files == []


async def test_a_late_record_replaces_no_later_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = Stuck(monkeypatch, "fsync", when=is_file, times=1)
    await unanswered(node.add())
    # The next ADD waits for its turn, and fails before any plugin runs.
    await unanswered(node.add())
    assert node.adds == 1
    await fsync.let_go()
    await node.add()
    await until_no_thread_is_busy()
    assert await node.recorded() == address(2)
    assert node.files == [KEY.file_name]


async def test_a_record_that_was_given_up_leaves_the_older_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.add()
    fsync = Stuck(monkeypatch, "fsync", when=is_file)
    await unanswered(node.add())
    await fsync.let_go()
    assert await node.recorded() == address(1)


async def test_a_late_removal_removes_no_later_record(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await node.add()
    unlink = Stuck(monkeypatch, "unlink", times=1)
    with caplog.at_level(logging.WARNING):
        await node.delete()
    path = node.results / KEY.file_name
    assert caplog.messages[-1:] == [
        f"the record net-c1-eth0 stays after its DEL: {path}: no answer in 1 s"
    ]
    await unanswered(node.add())
    assert node.adds == 1
    await unlink.let_go()
    assert await node.recorded() is None
    await node.add()
    await until_no_thread_is_busy()
    assert await node.recorded() == address(2)


async def test_a_removal_that_was_given_up_before_does_nothing_later(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.add()
    path = str(node.results / KEY.file_name)
    read = Stuck(monkeypatch, "open", when=lambda file, *args, **options: file == path)
    await unanswered(FileCache(node.results.parent).remove(KEY))
    await read.let_go()
    assert await node.recorded() == address(1)


@pytest.mark.parametrize("rollback", [False, True])
@pytest.mark.parametrize("step", ["the renaming", "the syncing of the directory"])
async def test_what_was_with_the_kernel_already_is_taken_back_by_a_del(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, rollback: bool
) -> None:
    node = Node(tmp_path, rollback=rollback)
    await node.prepared()
    if step == "the renaming":
        stuck = Stuck(monkeypatch, "replace", when=lambda *args: len(node.exec.calls) == 1)
    else:
        stuck = Stuck(
            monkeypatch, "fsync", when=lambda file: is_folder(file) and len(node.exec.calls) == 1
        )
    await unanswered(node.add())
    if not rollback:
        await node.delete()
    assert [call.command for call in node.exec.calls] == ["ADD", "DEL"]
    await stuck.let_go()
    assert node.files == []


async def test_what_was_with_the_kernel_already_is_there_without_a_del(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is right. Only the error could not know that it would be written."""
    rename = Stuck(monkeypatch, "replace")
    await unanswered(node.add())
    await rename.let_go()
    assert await node.recorded() == address(1)


async def test_a_del_takes_nothing_back_that_others_wrote_since(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = node.results / KEY.file_name
    sync = Stuck(monkeypatch, "fsync", when=is_folder)
    await unanswered(node.add())
    await node.delete()
    other = path.with_name("other")
    other.write_bytes(b"of another process")
    other.rename(path)
    await sync.let_go()
    assert path.read_bytes() == b"of another process"


async def test_other_records_do_not_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = Stuck(monkeypatch, "fsync", when=is_file, times=1)
    await unanswered(node.add())
    other = RuntimeConf("c2", "", "eth0")
    await node.cni.add_network_list(A, other)
    await node.cni.del_network_list(A, other)
    await fsync.let_go()


async def test_another_event_loop_and_another_name_keep_the_order(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (link := tmp_path / "link").symlink_to(tmp_path)
    fsync = Stuck(monkeypatch, "fsync", when=is_file, times=1)
    await unanswered(node.add())

    def remove() -> str:
        try:
            with impatience():
                anyio.run(FileCache(link).remove, KEY)
        except CacheError as error:
            return str(error)
        return "done"

    words = await anyio.to_thread.run_sync(remove)
    assert words == f"{link}/results/{KEY.file_name}: no answer in 1 s"
    await fsync.let_go()
    assert await anyio.to_thread.run_sync(remove) == "done"


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parents() -> None:
    place, done = turns.Place(), threading.Event()
    inside = threading.Event()

    def stay() -> None:
        with turns.Alone(place, "a", Visit(Threads(at_once=1, most_stuck=1))):
            inside.set()
            done.wait(20)

    thread = threading.Thread(target=stay)
    thread.start()
    try:
        assert inside.wait(20)
        with pytest.raises(BusyError), turns.Alone(place, "a", Visit(None)):
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # another thread runs
            child = os.fork()
        if not child:
            with turns.Alone(place, "a", Visit(None)):
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


# -- which callers wait


async def stuck_calls(folder: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    cache = FileCache(folder, durable=False)
    return {
        "prepare": lambda: cache.prepare(KEY),
        "store": lambda: cache.store(KEY, b"{}"),
        "load": lambda: cache.load(KEY),
        "remove": lambda: cache.remove(KEY),
        "attachments": cache.attachments,
        "identity": cache.identity,
    }


@pytest.mark.parametrize("name", ["prepare", "store", "load", "remove", "attachments", "identity"])
async def test_the_event_loop_goes_on_and_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    calls = await stuck_calls(tmp_path)
    FileCache(tmp_path)  # creating a cache does not touch the disk
    stuck = [Stuck(monkeypatch, each) for each in ("open", "stat")]
    monkeypatch.setattr(files, "_WAIT", 0.3)
    begun = time.monotonic()
    ticks = 0
    words = ""

    async def ask() -> None:
        nonlocal words
        try:
            await calls[name]()
        except CacheError as error:
            words = str(error)
        group.cancel_scope.cancel()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            while True:
                await anyio.sleep(0.01)
                ticks += 1
    assert ticks > 3
    assert time.monotonic() - begun < 15
    of = tmp_path / "results"
    path = of if name == "attachments" else of / KEY.file_name
    assert words == ("" if name == "identity" else f"{path}: no answer in 0.3 s")
    for each in stuck:
        each.release()
    await until_no_thread_is_busy()


async def test_a_disk_that_is_not_seen_blocks_no_del(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path)
    stuck = [Stuck(monkeypatch, each) for each in ("open", "stat")]
    monkeypatch.setattr(files, "_WAIT", 0.3)
    with anyio.fail_after(20):
        await cni.del_network_list(A, RT)
    assert [call.command for call in exec.calls] == ["DEL"]
    for each in stuck:
        each.release()
    await until_no_thread_is_busy()


async def test_no_more_threads_than_a_few_get_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "STUCK_THREADS", 2)
    cache = FileCache(tmp_path)
    await cache.store(KEY, b"{}")
    before = threading.active_count()
    fsync = Stuck(monkeypatch, "fsync")
    keys = [AttachmentKey("net", f"c{number}", "eth0") for number in range(4)]
    for key in keys[:2]:
        await unanswered(cache.store(key, b"{}"))
    begun = time.monotonic()
    for key in keys[2:]:
        with pytest.raises(CacheError) as caught:
            await cache.store(key, b"{}")
        path = tmp_path / "results" / key.file_name
        assert str(caught.value) == f"{path}: 2 threads wait for the disk already"
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EBUSY
    assert time.monotonic() - begun < 10
    assert threading.active_count() <= before + 2
    # Another directory may be on another disk.
    other = FileCache(tmp_path / "other", durable=False)
    await other.store(KEY, b"{}")
    await fsync.let_go()
    for key in keys:
        await cache.store(key, b"{}")


async def test_the_applications_threads_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "net.conflist").write_bytes(A.raw)
    exec = FakeExec({("a", "ADD"): address(1)})
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path)
    limiter = anyio.to_thread.current_default_thread_limiter()
    go = threading.Event()
    async with anyio.create_task_group() as group:
        for _ in range(int(limiter.total_tokens)):
            group.start_soon(anyio.to_thread.run_sync, go.wait, 30)
        try:
            with anyio.fail_after(20):
                while limiter.available_tokens:
                    await anyio.sleep(0.005)
                net = await conf_list_from_file(tmp_path / "net.conflist")
                await cni.add_network_list(net, RT)
                [one] = await cni.get_cached_attachments()
                assert one.completed
                await cni.del_network_list(net, RT)
                assert await cni.get_cached_attachments() == []
        finally:
            go.set()


async def test_a_listing_that_takes_long_is_read_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled listing ends soon, and the time limit applies to a slice, not to a full cache."""
    cache = FileCache(tmp_path, durable=False)
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache=cache)
    ids = [f"c{number}" for number in range(5)]
    for container_id in ids:
        await cni.add_network_list(A, RuntimeConf(container_id, "", "eth0"))
    visits = 0
    visit = Threads.visit

    async def count(self: Threads, function: Callable[[Visit], Any]) -> Any:
        nonlocal visits
        visits += 1
        return await visit(self, function)

    monkeypatch.setattr(Threads, "visit", count)
    monkeypatch.setattr("cni_async.cache.reading._SLICE", -1.0)
    assert [one.container_id for one in await cache.attachments()] == ids
    assert visits >= len(ids)


async def test_loading_from_a_dead_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_THREADS", Threads(at_once=1, most_stuck=1))
    file = tmp_path / "net.conflist"
    file.write_bytes(A.raw)
    stuck = Stuck(monkeypatch, "open", when=lambda path, *args, **options: path == str(file))
    async with anyio.create_task_group() as group:
        group.start_soon(conf_list_from_file, file)
        await stuck.until_it_hangs()
        group.cancel_scope.cancel()
    with anyio.fail_after(10), pytest.raises(ConfigError) as caught:
        await conf_list_from_file(file)
    assert str(caught.value) == "1 threads wait for the disk already"
    await stuck.let_go()
    assert (await conf_list_from_file(file)).name == "net"


# Both have the same file name.
ONE = AttachmentKey("a-b", "c", "eth0")
OTHER = AttachmentKey("a", "b-c", "eth0")


async def test_the_removal_of_another_attachment_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write that blocks this removal may be that of an attachment with the same file name."""
    assert ONE.file_name == OTHER.file_name
    cache = FileCache(tmp_path)
    await cache.prepare(ONE)
    rename = Stuck(monkeypatch, "replace")
    await unanswered(cache.store(ONE, b"{}"))
    await unanswered(cache.remove(OTHER))
    await rename.let_go()
    assert await cache.load(ONE) == b"{}"


async def test_a_removal_that_has_had_its_turn_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is given up after the removal's turn is a later one."""
    cache = FileCache(tmp_path)
    await cache.store(ONE, b"{}")
    removing = Stuck(monkeypatch, "unlink", times=1)
    rename = Stuck(monkeypatch, "replace")
    real = Disk.ask

    async def ask_late(self: Disk, *args: Any, **options: Any) -> Any:
        try:
            return await real(self, *args, **options)
        except TimeoutError:
            if not rename.hangs.is_set():
                # The disk completes the removal and then hangs at the next store.
                await removing.let_go()
                await unanswered(cache.store(ONE, b'{"later": 1}'))
            raise

    monkeypatch.setattr(Disk, "ask", ask_late)
    await unanswered(cache.remove(ONE))
    await rename.let_go()
    assert await cache.load(ONE) == b'{"later": 1}'


async def test_a_removal_where_not_even_the_directory_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal still takes back the write that was given up."""
    cache, another = FileCache(tmp_path), FileCache(tmp_path)
    await cache.prepare(ONE)
    rename = Stuck(monkeypatch, "replace")
    await unanswered(cache.store(ONE, b"{}"))
    stat = Stuck(monkeypatch, "stat", when=lambda path: path == another.directory)
    await unanswered(another.remove(ONE))
    stat.release()
    await rename.let_go()
    assert await cache.load(ONE) is None

"""Cache calls that run in the event loop's own thread: each can be cancelled before it starts."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from cni_async import AttachmentKey, FileCache
from cni_async._async import disk
from cni_async._async.pacing import DISK_CALLS
from cni_async._async.shielded import shielded
from tests.support.wait import PATIENCE

pytestmark = pytest.mark.anyio

KEY = AttachmentKey("net", "c1", "eth0")
# Far more calls than fit in one turn of the event loop.
MANY = 20_000


@pytest.fixture
async def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileCache:
    """Provide a cache that takes its disk to be fast, however busy the machine is."""
    cache = FileCache(tmp_path, durable=False)
    await cache.store(KEY, b"{}")
    for name in ("_SLOW", "_SLOW_IN_THREAD", "_FAST_FOR"):
        monkeypatch.setattr(disk, name, 2 * PATIENCE)
    await cache.load(KEY)
    assert cache._disk._is_fast()
    return cache


async def test_a_loop_over_records_starves_nothing(cache: FileCache) -> None:
    turns = seen = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count)
        await anyio.lowlevel.checkpoint()
        turns = 0
        for _ in range(1000):
            await cache.load(KEY)
        seen = turns
        group.cancel_scope.cancel()
    assert seen >= 1000 // DISK_CALLS - 1


async def test_a_loop_over_records_ends_when_its_time_is_up(cache: FileCache) -> None:
    asked = 0
    began = time.monotonic()
    with anyio.move_on_after(0.05) as scope:
        while asked < MANY and time.monotonic() - began < PATIENCE:
            await cache.load(KEY)
            asked += 1
    assert scope.cancelled_caught
    assert asked < MANY


@pytest.mark.parametrize("what", ["store", "remove"])
async def test_what_is_cancelled_before_has_not_happened(cache: FileCache, what: str) -> None:
    for _ in range(2 * DISK_CALLS):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await (cache.remove(KEY) if what == "remove" else cache.store(KEY, b"new"))
        assert scope.cancelled_caught
    assert await cache.load(KEY) == b"{}"


async def test_what_has_happened_is_told(cache: FileCache) -> None:
    """The caller learns of each change that has been made, whenever the cancellation comes."""
    for number in range(2 * DISK_CALLS):
        told = None
        with anyio.CancelScope() as scope:

            def cancel(key: AttachmentKey, scope: anyio.CancelScope = scope) -> None:
                scope.cancel()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cache, "_check_owner", cancel)
                await cache.store(KEY, b"%d" % number)
            told = number
        assert not scope.cancelled_caught
        assert told is not None
        assert await cache.load(KEY) == b"%d" % told


async def test_what_must_not_be_cut_short_is_not(cache: FileCache) -> None:
    done = False

    async def work() -> None:
        nonlocal done
        for number in range(2 * DISK_CALLS):
            await cache.store(KEY, b"%d" % number)
        done = True

    with anyio.CancelScope() as scope:
        scope.cancel()
        await shielded(work())
    assert done

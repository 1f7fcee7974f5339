"""Records that other programs wrote: nested too deeply, too large, or not regular files."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import (
    CacheError,
    CNIConfig,
    CorruptRecordError,
    FileCache,
    GCArgs,
    GCError,
    MemoryCache,
    RecoveryError,
    RuntimeConf,
)
from cni_async.cache import reading
from cni_async.testing import FakeExec
from tests.support.chains import KEY, RT, address, network

pytestmark = pytest.mark.anyio

A = network("a")


def record(**more: Any) -> dict[str, Any]:
    return {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(A.raw).decode(),
        "ifName": "eth0",
        "networkName": "net",
        **more,
    }


def deep(depth: int, inside: str = '"\\ud800"') -> str:
    """Nest arrays around a lone surrogate, which only the lenient decoder accepts."""
    return "[" * depth + inside + "]" * depth


def with_deep(key: str, depth: int, inside: str = '"\\ud800"') -> bytes:
    text = json.dumps(record(**{key: {"x": "HERE"}}))
    return text.replace('"HERE"', deep(depth, inside)).encode()


def config_deep(depth: int) -> bytes:
    plugin = '{"type": "a", "x": ' + deep(depth) + "}"
    config = '{"cniVersion": "1.1.0", "name": "net", "plugins": [' + plugin + "]}"
    return json.dumps(record(config=base64.b64encode(config.encode()).decode())).encode()


DEPTHS = (300, 480, 900, 940, 980, 1000, 5000)

DEEP: dict[str, Callable[[int], bytes]] = {
    "capability args": lambda depth: with_deep("capabilityArgs", depth),
    "capability args without a surrogate": lambda depth: with_deep("capabilityArgs", depth, "1"),
    "result": lambda depth: with_deep("result", depth),
    "result without a surrogate": lambda depth: with_deep("result", depth, "1"),
    "unknown key": lambda depth: with_deep("other", depth),
    "configuration": config_deep,
    "bare": lambda depth: deep(depth).encode(),
    "bare result": lambda depth: b'{"cniVersion": "1.1.0", "x": ' + deep(depth).encode() + b"}",
    "open": lambda depth: b"[" * depth,
}


class Node:
    """A cache with one good record of an unfinished ADD, and an odd record."""

    def __init__(self, folder: Path) -> None:
        self.exec = FakeExec({("a", "ADD"): address(1)})
        self.cache = FileCache(folder, durable=False)
        self.cni = CNIConfig(["/bin"], exec=self.exec, cache=self.cache)
        self.results = folder / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self.file = self.results / KEY.file_name

    def put(self, content: bytes | None = None) -> None:
        good = json.dumps(record(containerId="c2")).encode()
        (self.results / "net-c2-eth0").write_bytes(good)
        if content is not None:
            self.file.write_bytes(content)

    async def survives(self) -> None:
        """Check that the odd record blocks no operation, and that its DEL removes it."""
        listed = [one.container_id for one in await self.cni.get_cached_attachments()]
        assert listed[-1] == "c2"
        assert await self.recovered() <= {"c1", "c2"}
        assert not (self.results / "net-c2-eth0").exists()
        (self.results / "net-c2-eth0").write_bytes(json.dumps(record(containerId="c2")).encode())
        await self.collected()
        assert not (self.results / "net-c2-eth0").exists()
        if os.path.lexists(self.file):
            with suppress(CacheError):
                await self.cni.check_network_list(A, RT)
        self.exec.calls.clear()
        await self.cni.del_network_list(A, RT)
        assert [call.command for call in self.exec.calls] == ["DEL"]
        assert not os.path.lexists(self.file)

    async def recovered(self) -> set[str]:
        """Return the containers that `recover` found; only the odd record may fail."""
        failures: list[Exception] = []
        try:
            return {one.container_id for one in await self.cni.recover(delete=True)}
        except RecoveryError as error:
            failures += error.errors
        assert all("c1" in str(each) for each in failures)
        return set()

    async def collected(self) -> None:
        """Run GC on the network; only the odd record may fail."""
        failures: list[Exception] = []
        try:
            await self.cni.gc_network_list(A, GCArgs([]))
        except GCError as error:
            failures += error.errors
        assert all("c1" in str(each) for each in failures)


@pytest.mark.parametrize("make", DEEP.values(), ids=DEEP)
async def test_deeply_nested(
    tmp_path: Path, anyio_backend_name: str, make: Callable[[int], bytes]
) -> None:
    node = Node(tmp_path)
    # Go reads 10,000 levels. The deepest record takes long and does not depend on the event loop.
    for depth in (*DEPTHS, 20_000) if anyio_backend_name == "asyncio" else DEPTHS:
        node.put(make(depth))
        await node.survives()


# Reading a record does not depend on the event loop, and the deepest ones take long.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("make", DEEP.values(), ids=DEEP)
async def test_deeply_nested_in_memory(make: Callable[[int], bytes]) -> None:
    cache = MemoryCache()
    for depth in (*DEPTHS, 100_000):
        cache.records[KEY] = make(depth)
        assert len(await cache.attachments()) <= 1
        cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache)
        await cni.del_network_list(A, RT)
        assert not cache.records


@pytest.mark.parametrize("depth", [100, 500, 700])
async def test_deeply_nested_where_the_stack_is_deep_already(tmp_path: Path, depth: int) -> None:
    node = Node(tmp_path)
    node.put(with_deep("capabilityArgs", 600))

    async def down(left: int) -> None:
        if left:
            await down(left - 1)
        else:
            await node.survives()

    await down(depth - 400 if depth > 400 else depth)


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(200 * 2**30)


def endless(file: Path) -> None:
    file.symlink_to("/proc/self/pagemap")  # a regular file of size 0


def device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def fifo(file: Path) -> None:
    os.mkfifo(file.with_name("fifo"))
    file.symlink_to("fifo")


def folder(file: Path) -> None:
    (file.parent.parent / "folder").mkdir(exist_ok=True)
    file.symlink_to("../folder")


ODD = {each.__name__: each for each in (sparse, endless, device, fifo, folder)}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
async def test_what_is_no_record(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(tmp_path)
    node.put()
    try:
        make(node.file)
    except OSError as error:  # a file system with a smaller limit on file sizes
        pytest.skip(str(error))
    with anyio.fail_after(30):
        with pytest.raises(CacheError):
            await node.cache.load(KEY)
        await node.survives()
    assert "cache record net-c1-eth0 is left out" in caplog.text


async def test_a_regular_file_that_has_nothing_to_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file like /proc/kmsg, where one reader takes the data from the others."""
    node = Node(tmp_path)
    node.put(b"")
    read = os.read

    def refuse(file: int, size: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{file}") == str(node.file):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return read(file, size)

    monkeypatch.setattr(os, "read", refuse)
    with pytest.raises(CacheError, match="resource temporarily unavailable"):
        await node.cache.load(KEY)
    await node.survives()


async def test_a_record_that_is_too_large_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    large = json.dumps(record(netns="x" * 2**20)).encode()
    cache = FileCache(tmp_path)
    await cache.store(KEY, large)
    assert await cache.load(KEY) == large
    for module in ("reading", "files"):
        monkeypatch.setattr(f"cni_async.cache.{module}.MAX_SIZE", len(large) - 1)
    with pytest.raises(CorruptRecordError, match="the record is larger than"):
        await cache.load(KEY)
    assert await cache.attachments() == []
    with pytest.raises(CacheError, match="file too large"):
        await cache.store(KEY, large)
    exec = FakeExec({("a", "ADD"): address(1)})
    cni = CNIConfig(["/bin"], exec=exec, cache=cache, rollback=True)
    with pytest.raises(CacheError, match="the record is larger than"):
        await cni.check_network_list(A, RT)
    # To ADD this is a damaged record: what earlier plugins did is unknown.
    await cni.add_network_list(A, RuntimeConf("c1", "", "eth0"))
    assert [one.completed for one in await cache.attachments()] == [True]


def test_whatever_an_add_can_write_can_be_read() -> None:
    largest = 16 * 2**20  # bytes of a configuration, and of a plugin's output
    assert largest * 4 / 3 + largest + largest < reading.MAX_SIZE
    assert sys.maxsize > reading.MAX_SIZE

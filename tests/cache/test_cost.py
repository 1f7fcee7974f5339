"""How many file system calls a cache in files makes, which is what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni_async import AttachmentKey, CNIConfig, FileCache
from cni_async._async import disk
from cni_async.testing import FakeExec
from tests.support.chains import RT, address, network
from tests.support.system_calls import counted

pytestmark = pytest.mark.anyio

NET = network("a")


@pytest.mark.parametrize("durable", [False, True])
async def test_an_add_and_a_del(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    for name in ("_SLOW", "_SLOW_IN_THREAD", "_FAST_FOR"):
        monkeypatch.setattr(disk, name, 60)  # this machine may be slow
    cache = FileCache(tmp_path, durable=durable)
    exec = FakeExec({("a", "ADD"): address(2)})
    cni = CNIConfig(["/bin"], exec=exec, cache=cache)
    await cni.add_network_list(NET, RT)  # makes the directories
    await cni.del_network_list(NET, RT)
    written = ["fsync"] if durable else []
    # The caller may give up a worker thread, which then has to know which file it wrote.
    seen = ["fstat"] if durable else []
    synced = ["open", "fsync", "close"] if durable else []
    with counted() as calls:
        await cni.add_network_list(NET, RT)
    assert calls == [
        # Check that the record may be written and that its name is free.
        "stat",  # identity of the directory, for the order of operations
        *("access", "lstat"),
        # No record exists yet. The new one is written to another file, which is then renamed.
        "stat",
        "open",
        *("open", "flock", "write", *written, *seen, "replace", "close"),
        *synced,
    ]
    with counted() as calls:
        await cni.del_network_list(NET, RT)
    assert calls == [
        *("open", "read", "close"),  # the result of ADD
        "stat",
        *("open", "read", "close"),  # the record's owner
        "unlink",
        *synced,
    ]


async def test_what_a_class_of_ones_own_does_is_always_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass's own store and remove run even where the cache could answer at once."""
    done: list[str] = []

    class Audited(FileCache):
        async def store(self, key: AttachmentKey, record: bytes) -> None:
            await super().store(key, record)
            done.append("store")

        async def remove(self, key: AttachmentKey) -> None:
            await super().remove(key)
            done.append("remove")

    for name in ("_SLOW", "_SLOW_IN_THREAD", "_FAST_FOR"):
        monkeypatch.setattr(disk, name, 60)  # this machine may be slow
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=Audited(tmp_path, durable=False))
    for _ in range(2):
        await cni.add_network_list(NET, RT)
        await cni.del_network_list(NET, RT)
    assert done == ["store", "remove"] * 2

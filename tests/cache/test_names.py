"""One cache directory under several names, and one cache object for each directory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import CNIConfig, FileCache, RuntimeConf
from cni_async.cache import records
from cni_async.testing import FakeCall, FakeExec
from tests.support.chains import RT, network
from tests.support.require import require
from tests.support.scripts import skip_on

pytestmark = pytest.mark.anyio

A = network("a")


class Slow:
    """A plugin whose ADD waits until the test sets `go`."""

    def __init__(self) -> None:
        self.exec = FakeExec({("a", "ADD"): self._add})
        self.begun = anyio.Event()
        self.go = anyio.Event()

    async def _add(self, call: FakeCall) -> dict[str, Any]:
        self.begun.set()
        await self.go.wait()
        return {"cniVersion": "1.1.0"}

    @property
    def calls(self) -> list[str]:
        return [call.command for call in self.exec.calls]


def symlink(real: Path, name: Path) -> None:
    name.symlink_to(real)


def link_above(real: Path, name: Path) -> None:
    name.parent.rmdir()
    name.parent.symlink_to(real.parent)


def link_to_results(real: Path, name: Path) -> None:
    name.mkdir()
    (name / "results").symlink_to(real / "results")


NAMES = {"link": symlink, "link above": link_above, "link to results": link_to_results}


@pytest.mark.parametrize("made", [False, True], ids=["not made yet", "made"])
@pytest.mark.parametrize("link", NAMES.values(), ids=NAMES)
async def test_operations_wait_for_those_under_another_name(
    tmp_path: Path, link: Callable[[Path, Path], None], made: bool
) -> None:
    slow = Slow()
    real, name = tmp_path / "real" / "cache", tmp_path / "other" / "cache"
    real.parent.mkdir()
    name.parent.mkdir()
    if made:
        (real / "results").mkdir(parents=True)
    link(real, name)
    await see_that_they_wait(slow, real, name)


async def see_that_they_wait(slow: Slow, real: Path, name: Path) -> None:
    one = CNIConfig(["/bin"], exec=slow.exec, cache_dir=real)
    other = CNIConfig(["/bin"], exec=slow.exec, cache_dir=name)
    async with anyio.create_task_group() as group:
        group.start_soon(one.add_network_list, A, RT)
        with anyio.fail_after(20):
            await slow.begun.wait()
        group.start_soon(other.del_network_list, A, RT)
        # The waiting DEL is not observable. A DEL that does not wait would run far sooner than
        # this.
        for _ in range(20):
            await anyio.sleep(0.01)
        assert slow.calls == ["ADD"]
        assert await other.recover() == []  # an ADD that still runs is not lost
        slow.go.set()
    assert slow.calls == ["ADD", "DEL"]
    assert await one.get_cached_attachments() == await other.get_cached_attachments() == []


async def test_a_directory_that_is_mounted_twice(tmp_path: Path) -> None:
    require(os.geteuid() == 0, "mounting needs root")
    real, name = tmp_path / "real", tmp_path / "name"
    (real / "results").mkdir(parents=True)
    name.mkdir()
    bind = ["mount", "--bind", str(real), str(name)]
    mounted = subprocess.run(bind, capture_output=True, check=False).returncode == 0
    require(mounted, "bind mounts are not allowed here")
    try:
        await see_that_they_wait(Slow(), real, name)
    finally:
        subprocess.run(["umount", name], check=True)


async def test_a_relative_directory_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    configured = CNIConfig(["/bin"], exec=FakeExec(), cache_dir="cache")
    rt = RuntimeConf("c1", "", "eth0", cache_dir="other")
    unconfigured = CNIConfig(["/bin"], exec=FakeExec())
    cache = FileCache("third")
    await configured.add_network_list(A, RT)
    await unconfigured.add_network_list(A, rt)
    monkeypatch.chdir(tmp_path / "two")
    assert [one.container_id for one in await configured.get_cached_attachments()] == ["c1"]
    assert await unconfigured.get_cached_attachments(cache_dir="other")
    await configured.del_network_list(A, RT)
    await unconfigured.del_network_list(A, rt)
    assert not [*tmp_path.rglob("net-*")]
    assert cache.directory == str(tmp_path / "one" / "third" / "results")
    assert not [*(tmp_path / "two").iterdir()]


async def test_a_directory_that_is_made_anew_is_the_same(tmp_path: Path) -> None:
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache_dir=tmp_path / "cache")
    cache = FileCache(tmp_path / "cache")
    before = await cache.identity()
    for _ in range(2):
        await cni.add_network_list(A, RT)
        (tmp_path / "cache").rename(tmp_path / "gone")
        await cni.add_network_list(A, RT)
        subprocess.run(["rm", "-r", tmp_path / "gone"], check=True)
    assert await cache.identity() is before
    assert await FileCache(tmp_path / "cache").identity() is before
    assert await FileCache(tmp_path / "else").identity() is not before


async def test_first_come_first_served_though_the_disk_is_asked_first(tmp_path: Path) -> None:
    skip_on("trio", "it begins tasks in any order")
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path)
    pair: list[Callable[..., Coroutine[Any, Any, object]]] = [
        cni.add_network_list,
        cni.del_network_list,
    ]
    async with anyio.create_task_group() as group:
        for operation in pair * 4:
            group.start_soon(operation, A, RT)
    assert [call.command for call in exec.calls] == ["ADD", "DEL"] * 4


async def test_one_cache_for_each_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = (str(tmp_path / "host"),)
    monkeypatch.setattr(FileCache.__init__, "__defaults__", defaults)
    made: list[Any] = []

    class Counted(FileCache):
        def __init__(self, *args: Any) -> None:
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(records, "FileCache", Counted)
    monkeypatch.setattr("cni_async.api.FileCache", Counted)
    theirs = str(tmp_path / "theirs")
    cni = CNIConfig(["/bin"], exec=FakeExec(), rollback=True)
    for _ in range(2):
        for rt in (RT, RuntimeConf("c1", "", "eth0", cache_dir=theirs)):
            await cni.add_network_list(A, rt)
            await cni.get_network_list_cached_result(A, rt)
            await cni.get_cached_attachments(cache_dir=rt.cache_dir or None)
            await cni.recover(cache_dir=rt.cache_dir)
            await cni.del_network_list(A, rt)
        await cni.gc_network_list(A, None)
    assert made == [(), (theirs,)]


async def test_caches_that_have_not_been_used_for_long_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_MOST_CACHES", 3)
    known = records.Attachments(None)
    caches = [known.cache_in(tmp_path / name) for name in "abc"]
    assert known.cache_in(tmp_path / "a") is caches[0]
    known.cache_in(tmp_path / "d")
    assert known.cache_in(tmp_path / "a") is caches[0]
    assert known.cache_in(tmp_path / "c") is caches[2]
    assert known.cache_in(tmp_path / "b") is not caches[1]

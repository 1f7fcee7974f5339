"""The cache directory: locations of files, how they are written, and obstacles.

The tests cover sections O and Q of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from cni_async import (
    CACHE_DIR,
    AttachmentKey,
    CacheError,
    CacheWriteError,
    CNIConfig,
    CNIError,
    FileCache,
    ForeignRecordError,
    InvalidIdentifierError,
    RuntimeConf,
)
from cni_async._async import disk as disk_module
from cni_async._async.threads import Threads, Visit
from cni_async.cache.reading import Listing
from cni_async.testing import FakeExec
from tests.support.chains import KEY, RT, Operation, address, as_dict, network, operations
from tests.support.program import run_program
from tests.support.require import require
from tests.support.wait import PATIENCE, Stopwatch

pytestmark = pytest.mark.anyio

NOBODY = 65534


def record(key: AttachmentKey = KEY, *, size: int = 0) -> bytes:
    """Return a record of about `size` bytes."""
    document = {
        "kind": "cniCacheV1",
        "containerId": key.container_id,
        "config": None,
        "ifName": key.ifname,
        "networkName": key.network,
        "netns": "x" * size,
    }
    return json.dumps(document).encode()


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


class Cache(FileCache):
    """A cache with access to the files in its directory."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self.results = folder / "results"
        self.file = self.results / KEY.file_name

    @property
    def records(self) -> dict[str, bytes]:
        return files_in(self.results)

    @property
    def unfinished(self) -> list[str]:
        return os.listdir(self.results / ".tmp")

    def put(self, content: bytes) -> None:
        """Write content to the attachment's file, as any program could."""
        self.results.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(content)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@contextmanager
def as_nobody(path: Path) -> Iterator[None]:
    """Drop root's privileges for a block, with every directory above the path made searchable."""
    if os.geteuid() != 0:
        yield
        return
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & 0o001:
            folder.chmod(mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def refused(call: Any) -> str:
    with pytest.raises(CacheError) as caught:
        await call
    assert type(caught.value) is CacheError
    return str(caught.value)


# -- where records are


async def test_item_162_the_order_of_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The default is the host's directory, which tests must not write to.
    assert CACHE_DIR == "/var/lib/cni"
    defaults = FileCache.__init__.__defaults__
    assert defaults == (CACHE_DIR,)
    monkeypatch.setattr(FileCache.__init__, "__defaults__", (str(tmp_path / "host"),))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    rt = RuntimeConf("c1", "", "eth0", cache_dir=str(theirs))
    bare = RuntimeConf("c1", "", "eth0")

    async def added(cni: CNIConfig, rt: RuntimeConf) -> list[str]:
        before = set(tmp_path.rglob("net-c1-eth0"))
        await cni.add_network_list(network("a"), rt)
        made = set(tmp_path.rglob("net-c1-eth0")) - before
        assert await cni.get_network_list_cached_result(network("a"), rt)
        await cni.del_network_list(network("a"), rt)
        return [str(path.relative_to(tmp_path)) for path in made]

    exec = FakeExec()
    configured = CNIConfig(["/bin"], exec=exec, cache_dir=ours)
    assert await added(configured, rt) == ["ours/results/net-c1-eth0"]
    assert await added(configured, bare) == ["ours/results/net-c1-eth0"]
    for nothing in (None, ""):
        unconfigured = CNIConfig(["/bin"], exec=exec, cache_dir=nothing)
        assert await added(unconfigured, rt) == ["theirs/results/net-c1-eth0"]
        assert await added(unconfigured, bare) == ["host/results/net-c1-eth0"]


async def test_items_163_and_171_one_file_for_each_attachment(cache: Cache) -> None:
    keys = [AttachmentKey(n, c, i) for n in "ab" for c in "cd" for i in "ef"]
    for key in keys:
        await cache.store(key, record(key))
    assert sorted(cache.records) == sorted(f"{k.network}-{k.container_id}-{k.ifname}" for k in keys)
    assert [await cache.load(key) for key in keys] == [record(key) for key in keys]


async def test_item_169_modes(cache: Cache) -> None:
    before = os.umask(0)
    try:
        await cache.store(KEY, record())
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in cache.results.rglob("*")}
    assert modes == {KEY.file_name: 0o600, ".tmp": 0o700}
    for folder in (cache.results, cache.results.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_item_169_directories_that_are_there_keep_their_mode(cache: Cache) -> None:
    cache.results.mkdir(parents=True)
    cache.results.chmod(0o755)
    await cache.store(KEY, record())
    assert stat.S_IMODE(cache.results.stat().st_mode) == 0o755


async def test_a_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await FileCache("a/b").store(KEY, record())
    assert files_in(tmp_path / "a/b/results") == {KEY.file_name: record()}


async def test_directories_made_by_several_at_once(tmp_path: Path) -> None:
    keys = [AttachmentKey("net", f"c{number}", "eth0") for number in range(20)]
    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(Cache(tmp_path / "x/y").store, key, record(key))
    assert len(await FileCache(tmp_path / "x/y").attachments()) == 20


# -- a record's life


async def test_store_load_replace_remove(cache: Cache) -> None:
    assert await cache.load(KEY) is None
    await cache.remove(KEY)
    await cache.store(KEY, record())
    await cache.store(KEY, record(size=9))
    assert await cache.load(KEY) == record(size=9)
    assert cache.unfinished == []
    await cache.remove(KEY)
    assert await cache.load(KEY) is None
    assert cache.records == {}
    await cache.remove(KEY)


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b'{"cniVersion":"1.0.0"}'])
async def test_what_shows_no_other_owner_can_be_replaced_and_removed(
    cache: Cache, content: bytes
) -> None:
    cache.put(content)
    assert await cache.load(KEY) == content
    await cache.prepare(KEY)
    await cache.store(KEY, record())
    assert cache.records == {KEY.file_name: record()}
    cache.put(content)
    await cache.remove(KEY)
    assert cache.records == {}


async def test_item_165_names_that_collide(cache: Cache) -> None:
    mine, theirs = AttachmentKey("a-b", "c", "e"), AttachmentKey("a", "b-c", "e")
    assert mine.file_name == theirs.file_name
    await cache.store(mine, record(mine))
    for refuse in (cache.prepare(theirs), cache.store(theirs, b"{}"), cache.remove(theirs)):
        with pytest.raises(ForeignRecordError) as caught:
            await refuse
        assert caught.value.path == str(cache.results / "a-b-c-e")
    assert cache.records == {mine.file_name: record(mine)}
    await cache.remove(mine)
    await cache.store(theirs, record(theirs))
    assert cache.records == {mine.file_name: record(theirs)}


async def test_item_165_two_adds_at_once_whose_names_collide(tmp_path: Path) -> None:
    both = anyio.Event()
    waiting = 0

    async def together(call: object) -> dict[str, Any]:
        nonlocal waiting
        waiting += 1
        if waiting == 2:
            both.set()
        await both.wait()
        return address(1)

    cni = CNIConfig(["/bin"], exec=FakeExec({("a", "ADD"): together}), cache_dir=tmp_path)
    failed: list[CacheWriteError] = []

    async def add(name: str, container_id: str) -> None:
        try:
            await cni.add_network_list(network("a", name=name), RuntimeConf(container_id, "", "e"))
        except CacheWriteError as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(add, "a-b", "c")
        group.start_soon(add, "a", "b-c")
    assert len(await cni.get_cached_attachments()) == 1
    assert [as_dict(error.result) for error in failed] in ([address(1)], [])


# -- atomicity and durability


@pytest.mark.parametrize("durable", [True, False])
async def test_item_170_a_reader_never_sees_half_a_record(tmp_path: Path, durable: bool) -> None:
    cache = Cache(tmp_path, durable=durable)
    versions = [record(size=10), record(size=30_000)]
    await cache.store(KEY, versions[0])
    seen: set[bytes] = set()
    listed: set[int] = set()
    done = False

    def read() -> None:
        while not done:
            seen.add(cache.file.read_bytes())
            listing = Listing(cache.directory, "")
            listing.go_on(Visit(None))
            listed.add(len(listing.found))

    async with anyio.create_task_group() as group:
        group.start_soon(to_thread.run_sync, read)
        for number in range(100):
            await cache.store(KEY, versions[number % 2])
        while len(seen) < 2:  # a slow machine
            await cache.store(KEY, versions[0])
            await anyio.sleep(0.01)
            await cache.store(KEY, versions[1])
        done = True
    assert seen == set(versions)
    assert listed == {1}


async def test_short_writes_are_continued(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    await cache.store(KEY, record(size=100))
    assert cache.records == {KEY.file_name: record(size=100)}


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
async def test_item_170_a_step_that_fails_leaves_the_old_record(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    await cache.store(KEY, record())
    real = getattr(os, step)

    def fail(*args: Any, **options: Any) -> Any:
        if step == "open" and not args[1] & os.O_CREAT:
            return real(*args, **options)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        words = await refused(cache.store(KEY, record(size=9)))
    assert words == f"{cache.file}: {os.strerror(number).lower()}"
    assert cache.records == {KEY.file_name: record()}
    assert cache.unfinished == []
    await cache.store(KEY, record(size=9))


async def test_item_170_interrupted_by_the_end_of_the_program(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file: int, data: bytes) -> int:
        raise SystemExit

    monkeypatch.setattr(os, "write", interrupt)
    with pytest.raises(SystemExit):
        cache._store(KEY, record(), Visit(None))
    assert (cache.records, cache.unfinished) == ({}, [])


async def test_a_directory_that_cannot_be_synced(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is complete. Whether it survives a power cut is unknown."""
    await cache.store(KEY, record())
    fsync = os.fsync

    def fail(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(file)

    monkeypatch.setattr(os, "fsync", fail)
    assert await refused(cache.store(KEY, record(size=9))) == f"{cache.file}: input/output error"
    assert cache.records == {KEY.file_name: record(size=9)}


async def test_a_file_system_without_locks(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    await cache.store(KEY, record())
    assert cache.records == {KEY.file_name: record()}


class Traced:
    """The calls that a cache makes to the disk, in order."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.steps: list[str] = []
        self._folder = folder
        for name in ("fsync", "replace", "unlink", "mkdir"):
            patch.setattr(os, name, self._traced(name, getattr(os, name)))

    def _traced(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            target = args[-1] if name == "replace" else args[0]
            path = os.readlink(f"/proc/self/fd/{target}") if name == "fsync" else target
            place = os.path.relpath(path, self._folder)
            if place.startswith("cache/results/.tmp/"):
                place = "unfinished"
            self.steps.append(f"{name} {place}")
            return real(*args, **options)

        return step


async def test_durable_records_reach_the_disk_in_the_right_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    traced = Traced(monkeypatch, tmp_path)
    await cache.store(KEY, record())
    file = f"cache/results/{KEY.file_name}"
    assert traced.steps == [
        "mkdir cache",
        "fsync .",
        "mkdir cache/results",
        "fsync cache",
        "mkdir cache/results/.tmp",
        "fsync cache/results",
        "fsync unfinished",
        f"replace {file}",
        "fsync cache/results",
    ]
    traced.steps.clear()
    await cache.store(KEY, record())
    await cache.load(KEY)
    await cache.prepare(KEY)
    await cache.attachments()
    await cache.remove(KEY)
    await cache.remove(KEY)
    assert traced.steps == [
        "fsync unfinished",
        f"replace {file}",
        "fsync cache/results",
        f"unlink {file}",
        "fsync cache/results",
        f"unlink {file}",
    ]


async def test_where_durability_does_not_matter_nothing_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", durable=False)
    traced = Traced(monkeypatch, tmp_path)
    await cache.store(KEY, record())
    await cache.remove(KEY)
    assert not [step for step in traced.steps if step.startswith("fsync")]
    assert traced.steps[-2:] == [f"{step} cache/results/{KEY.file_name}" for step in
                                 ("replace", "unlink")]  # fmt: skip


CRASH = """
import os, sys
import anyio
from cni_async import AttachmentKey, FileCache

def replace(*args):
    os.kill(os.getpid(), 9)

os.replace = replace
anyio.run(FileCache(sys.argv[1]).store, AttachmentKey("net", "c1", "eth0"), b"half")
"""


async def test_what_a_writer_that_died_leaves_is_invisible_and_cleaned(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    await cache.store(KEY, record())
    died = run_program(str(tmp_path), code=CRASH)
    assert died.returncode == -9
    [leftover] = cache.unfinished
    assert cache.records == {KEY.file_name: record()}
    assert len(await cache.attachments()) == 1
    # The file is young: its writer may be about to lock it.
    os.utime(cache.results / ".tmp" / leftover)
    await Cache(tmp_path).store(KEY, record())
    assert cache.unfinished == [leftover]
    old = time.time() - 60
    os.utime(cache.results / ".tmp" / leftover, (old, old))
    # A cache that has cleaned once does not look again.
    await cache.store(KEY, record())
    assert cache.unfinished == [leftover]
    await Cache(tmp_path).store(KEY, record())
    assert cache.unfinished == []


async def test_what_a_writer_that_lives_is_writing_is_not_cleaned(tmp_path: Path) -> None:
    unfinished = tmp_path / "results/.tmp/of-somebody"
    unfinished.parent.mkdir(parents=True)
    with unfinished.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(unfinished, (0, 0))
        await Cache(tmp_path).store(KEY, record())
        assert unfinished.exists()
    await Cache(tmp_path).store(KEY, record())
    assert not unfinished.exists()


async def test_a_writer_waits_for_one_who_cleans(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleaner may check the age of a file between its creation and its lock."""
    replace, flock = os.replace, fcntl.flock
    cleaners: list[Any] = []

    def lock(file: int, operation: int) -> None:
        if not cleaners:
            path = os.readlink(f"/proc/self/fd/{file}")
            cleaner = open(path)  # noqa: SIM115 - closed by the timer
            flock(cleaner, fcntl.LOCK_EX)
            cleaners.append(cleaner)
            threading.Timer(0.05, cleaner.close).start()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    monkeypatch.setattr(os, "replace", replace)
    await cache.store(KEY, record())
    assert cleaners
    assert cache.records == {KEY.file_name: record()}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
async def test_odd_things_among_the_unfinished_are_no_obstacle(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    odd = tmp_path / "results/.tmp/odd"
    odd.parent.mkdir(parents=True)
    make(odd)
    if not odd.is_symlink():
        os.utime(odd, (0, 0))
    with anyio.fail_after(PATIENCE):
        await Cache(tmp_path).store(KEY, record())
    assert files_in(tmp_path / "results") == {KEY.file_name: record()}


# -- obstacles


async def test_a_full_disk(tmp_path: Path) -> None:
    require(os.geteuid() == 0, "a file system of its own needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    require(mounted, "mounting a tmpfs is not allowed here")
    try:
        exec = FakeExec({("a", "ADD"): address(1)})
        cni = CNIConfig(["/bin"], exec=exec, cache_dir=disk)
        await cni.add_network_list(network("a"), RT)
        cache = Cache(disk)
        before = cache.records
        (disk / "filler").write_bytes(b"x" * 4096)
        big = RuntimeConf("c1", "/" + "n" * 8000, "eth0")
        with pytest.raises(CacheWriteError) as caught:
            await cni.add_network_list(network("a"), big)
        path = str(cache.file)
        assert str(caught.value) == (
            f'failed to set network "net" cached result: {path}: no space left on device'
        )
        assert (caught.value.path, as_dict(caught.value.result)) == (path, address(1))
        assert cache.records == before
        assert cache.unfinished == []
        # There is room for a smaller record, and DEL needs none.
        await cni.add_network_list(network("a"), RT)
        await cni.del_network_list(network("a"), big)
        assert cache.records == {}
    finally:
        subprocess.run(["umount", disk], check=True)


class Watched(FakeExec):
    """Plugins that must not be called."""

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        raise AssertionError("a plugin was called")


async def not_added(cache: Cache) -> str:
    cni = CNIConfig(["/bin"], exec=Watched(), cache=cache)
    with pytest.raises(CacheWriteError) as caught:
        await cni.add_network_list(network("a"), RT)
    assert caught.value.result is None
    assert caught.value.path == str(cache.file)
    prefix = f'failed to set network "net" cached result: {cache.file}: '
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


@pytest.mark.parametrize("place", [".", "results", "results/.tmp"])
async def test_item_96_a_file_where_a_directory_should_be(tmp_path: Path, place: str) -> None:
    cache = Cache(tmp_path / "cache")
    file = tmp_path / "cache" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert await not_added(cache) == "not a directory"
    assert file.is_file()


async def test_item_96_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere/at/all")
    assert await not_added(Cache(link)) == "no such file or directory"


@pytest.mark.parametrize("exists", [True, False])
async def test_item_96_a_directory_that_cannot_be_written(tmp_path: Path, exists: bool) -> None:
    cache = Cache(tmp_path / "cache")
    (cache.results / ".tmp" if exists else tmp_path / "cache").mkdir(parents=True)
    for folder in (tmp_path / "cache", cache.results):
        if folder.exists():
            folder.chmod(0o555)
    with as_nobody(tmp_path / "cache/results"):
        assert await not_added(cache) == "permission denied"


async def test_item_96_a_directory_where_the_record_should_be(cache: Cache) -> None:
    cache.file.mkdir(parents=True)
    assert await not_added(cache) == "is a directory"


async def test_item_96_a_name_too_long(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fits = AttachmentKey("n", "c" * (255 - len("n--eth0")), "eth0")
    await cache.prepare(fits)
    await cache.store(fits, record(fits))
    long = AttachmentKey("n", fits.container_id + "c", "eth0")
    path = cache.results / long.file_name
    for call in (cache.prepare(long), cache.load(long), cache.remove(long)):
        assert await refused(call) == f"{path}: file name too long"
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache=cache)
    rt = RuntimeConf(long.container_id, "", "eth0")
    with pytest.raises(CacheWriteError, match="file name too long"):
        await cni.add_network_list(network("a", name="n"), rt)
    assert not exec.calls
    # This attachment cannot have been recorded, so DEL has nothing to lose.
    await cni.del_network_list(network("a", name="n"), rt)
    assert [call.command for call in exec.calls] == ["DEL"]


@pytest.mark.parametrize("ifname", ["a\0b", "\ud800"])
async def test_item_312_names_that_are_no_file_names(tmp_path: Path, ifname: str) -> None:
    """Go accepts them. Plugins cannot be called with them, and file names cannot contain them."""
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path)
    rt = RuntimeConf("c1", "", ifname)
    for name, operation in operations().items():
        if not name.startswith("del"):
            with pytest.raises(CNIError):
                await operation(cni, rt)
    assert not exec.calls
    assert not list(tmp_path.rglob("*-*"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
    ],
    ids=["directory", "fifo", "device", "loop"],
)
async def test_item_173_things_that_are_no_records(
    cache: Cache, make: Callable[[Path], None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.results.mkdir(parents=True)
    make(cache.file)
    with anyio.fail_after(PATIENCE):
        assert await refused(cache.load(KEY)) == f"{cache.file}: {words}"
        assert await cache.attachments() == []
        assert KEY.file_name in caplog.text
        exec = FakeExec()
        cni = CNIConfig(["/bin"], exec=exec, cache=cache)
        with pytest.raises(CacheError, match=words):
            await cni.check_network_list(network("a"), RT)
        await cni.del_network_list(network("a"), RT)
        assert "prevResult" not in exec.calls[0].config
        assert not os.path.lexists(cache.file)


async def test_a_directory_with_something_in_it_is_left_alone(cache: Cache) -> None:
    inside = cache.file / "inside"
    inside.mkdir(parents=True)
    assert await refused(cache.remove(KEY)) == f"{cache.file}: directory not empty"
    assert inside.is_dir()


async def test_item_173_a_record_that_may_not_be_read(
    cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put(record())
    cache.file.chmod(0)
    with as_nobody(cache.file):
        assert await refused(cache.load(KEY)) == f"{cache.file}: permission denied"
        assert await cache.attachments() == []
    assert "cache record net-c1-eth0 is left out" in caplog.text


async def test_item_187_a_directory_that_cannot_be_listed(cache: Cache) -> None:
    assert await cache.attachments() == []
    cache.results.mkdir(parents=True)
    cache.results.chmod(0o311)
    with as_nobody(cache.file):
        assert await refused(cache.attachments()) == f"{cache.results}: permission denied"
    cache.results.rmdir()
    cache.results.touch()
    assert await refused(cache.attachments()) == f"{cache.results}: not a directory"


async def test_a_record_that_may_not_be_removed(cache: Cache) -> None:
    await cache.store(KEY, record())
    cache.results.chmod(0o555)
    with as_nobody(cache.file):
        assert await refused(cache.remove(KEY)) == f"{cache.file}: permission denied"
    cache.results.chmod(0o700)
    assert cache.records == {KEY.file_name: record()}


# -- listing


async def test_items_188_and_190_listing(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    for container_id in ("c2", "c1", "c10"):
        await cache.store(
            AttachmentKey("net", container_id, "eth0"),
            record(AttachmentKey("net", container_id, "e")),
        )
    (cache.results / "net-c1-empty").touch()
    (cache.results / "net-c1-gone").symlink_to("nowhere")
    (cache.results / "net-c1-dir").mkdir()
    (cache.results / "net-c1-legacy").write_text('{"cniVersion":"1.0.0"}')
    assert [one.container_id for one in await cache.attachments()] == ["c1", "c10", "c2"]
    assert [one.container_id for one in await cache.attachments("c1")] == ["c1"]
    assert await cache.attachments("c3") == []
    assert "net-c1-gone" not in caplog.text


async def test_item_188_names_that_are_no_text_are_sorted_bytewise(cache: Cache) -> None:
    for number, name in enumerate([b"\xff", "\U0001f600".encode(), b"a"]):
        key = AttachmentKey("net", f"c{number}", "eth0")
        await cache.store(key, record(key))
        file = cache.results / key.file_name
        os.rename(file, os.path.join(os.fsencode(cache.results), name))
    assert [one.container_id for one in await cache.attachments()] == ["c2", "c1", "c0"]


async def test_a_thousand_attachments(tmp_path: Path) -> None:
    cache = Cache(tmp_path, durable=False)
    for number in range(1000):
        key = AttachmentKey("net", f"c{number:04}", "eth0")
        cache._store(key, record(key), Visit(None))
    watch = Stopwatch()
    found = await cache.attachments()
    watch.stop()
    assert [one.container_id for one in found] == [f"c{number:04}" for number in range(1000)]
    assert [one.container_id for one in await cache.attachments("c0500")] == ["c0500"]
    assert watch.within(1)  # usually a tenth of this


Visits = list[str]


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Visits:
    """Return the list of cache calls that a worker thread runs, which grows as they are made."""
    names: Visits = []
    visit = Threads.visit

    async def count(self: Threads, function: Callable[[Visit], Any]) -> Any:
        names.append(doing[-1])
        return await visit(self, function)

    doing: list[str] = []
    for name in ("prepare", "store", "load", "attachments", "remove"):
        monkeypatch.setattr(FileCache, name, _noting(getattr(FileCache, name), name, doing))
    monkeypatch.setattr(Threads, "visit", count)
    # This machine may be slow.
    monkeypatch.setattr(disk_module, "_SLOW", 60)
    monkeypatch.setattr(disk_module, "_SLOW_IN_THREAD", 60)
    monkeypatch.setattr(disk_module, "_FAST_FOR", 60)
    return names


def _noting(real: Callable[..., Any], name: str, doing: list[str]) -> Callable[..., Any]:
    async def call(*args: Any) -> Any:
        doing.append(name)
        return await real(*args)

    return call


async def use(cache: FileCache) -> None:
    await cache.prepare(KEY)
    await cache.store(KEY, record())
    await cache.load(KEY)
    await cache.attachments()
    await cache.remove(KEY)


async def test_what_waits_for_the_disk_visits_a_thread(tmp_path: Path, visits: Visits) -> None:
    await use(FileCache(tmp_path / "cache"))
    assert visits == ["prepare", "store", "attachments", "remove"]


async def test_what_does_not_wait_for_the_disk_visits_none(tmp_path: Path, visits: Visits) -> None:
    cache = FileCache(tmp_path / "cache", durable=False)
    await use(cache)
    await use(cache)
    # The first operation uses a thread because the cache knows nothing of the disk yet.
    assert visits == ["prepare", "attachments", "attachments"]


async def test_a_slow_disk_is_given_to_a_thread_for_a_while(
    tmp_path: Path, visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FileCache(tmp_path / "cache", durable=False)
    await cache.prepare(KEY)
    monkeypatch.setattr(disk_module, "_SLOW", -1.0)
    monkeypatch.setattr(disk_module, "_REMEMBERED", 1e9)
    await cache.load(KEY)
    assert visits == ["prepare"]
    await cache.store(KEY, record())
    await cache.load(KEY)
    assert visits == ["prepare", "store", "load"]
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 11.0)
    monkeypatch.setattr(disk_module, "_SLOW", 60)
    await cache.load(KEY)
    await cache.remove(KEY)
    assert visits == ["prepare", "store", "load", "load"]


async def test_a_disk_that_nobody_has_asked_lately_is_given_to_a_thread(
    tmp_path: Path, visits: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FileCache(tmp_path / "cache", durable=False)
    for _ in range(2):
        await cache.load(KEY)
        await cache.load(KEY)
        monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + 61.0)
    assert visits == ["load", "load"]


# -- identifiers


BAD = ["../..", "/", "a/b", "..", ".", "a\n", "\n", "-a", ".a", "a b", "\u00e9", "../../../victim"]


@pytest.mark.parametrize("operation", operations().values(), ids=operations())
@pytest.mark.parametrize("part", ["container", "network", "interface"])
async def test_item_121_bad_identifiers_are_refused_before_anything(
    tmp_path: Path, operation: Operation, part: str
) -> None:
    exec = Watched()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path / "cache")
    name = next(name for name, one in operations().items() if one.__code__ is operation.__code__)
    fine_as_interface = {"-a", ".a", "\u00e9"}
    for bad in BAD:
        if part == "interface" and bad in fine_as_interface:
            continue
        rt = RuntimeConf(
            bad if part == "container" else "c1", "", bad if part == "interface" else "eth0"
        )
        call = operations(name=bad)[name] if part == "network" else operation
        with pytest.raises(InvalidIdentifierError):
            await call(cni, rt)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", operations())
async def test_item_164_empty_identifiers(tmp_path: Path, name: str) -> None:
    cni = CNIConfig(["/bin"], exec=Watched(), cache_dir=tmp_path / "cache")
    words = (
        'cache file path requires network name ("net"), container ID ("some-container-id"), and '
        'interface name ("")'
    )
    with pytest.raises(CNIError) as caught:
        await operations()[name](cni, RuntimeConf("some-container-id"))
    if name.startswith("add"):
        assert isinstance(caught.value, InvalidIdentifierError)
    else:
        assert str(caught.value).endswith(words)
    with pytest.raises(CNIError):
        await operations(name="")[name](cni, RT)
    with pytest.raises(CNIError):
        await operations()[name](cni, RuntimeConf("", "", "eth0"))
    assert not (tmp_path / "cache").exists()

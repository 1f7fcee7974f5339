"""Faults in plugins, disk and records: calls end, report a clear error, and lose nothing.

The tests of each part cover single faults. Here operations meet all of them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from cni_async import (
    AttachmentKey,
    CacheError,
    CacheWriteError,
    CNIConfig,
    CNIError,
    FileCache,
    GCArgs,
    GCAttachment,
    PluginTimeoutError,
    RecoveryError,
    create_result,
)
from cni_async.cache.record import encode_record, new_record
from cni_async.testing import FakeExec
from tests.support.chains import KEY, RT, Runtime, address, network, runtime
from tests.support.faulty import ENDLESS, FAULTS, ODDITIES, FaultyExec, FaultyPlugins
from tests.support.processes import processes_with
from tests.support.scripts import Scripts
from tests.support.undead import undead
from tests.support.wait import PATIENCE, Stopwatch

pytestmark = pytest.mark.anyio

starts_plugins = pytest.mark.usefixtures("spawn")

NET = network("a")
TIMEOUT = 0.4
GRACE = 0.2
# Seconds that bound every operation; `Stopwatch` adds an allowance for the machine.
BOUND = TIMEOUT + GRACE + 1
# For a plugin that does nothing, and need not have started.
SHORT: Final[dict[str, Any]] = {"timeout": 0.1, "grace": 0.05}
SHORT_BOUND = sum(SHORT.values()) + 1

Operation = Callable[[CNIConfig], Awaitable[object]]
OPERATIONS: Final[dict[str, Operation]] = {
    "add": lambda cni: cni.add_network_list(NET, RT),
    "check": lambda cni: cni.check_network_list(NET, RT),
    "del": lambda cni: cni.del_network_list(NET, RT),
    "gc": lambda cni: cni.gc_network_list(NET, GCArgs()),
    "status": lambda cni: cni.get_status_network_list(NET),
    "validate": lambda cni: cni.validate_network_list(NET),
    "version": lambda cni: cni.get_version_info("a"),
}


async def failure(call: Callable[[], Awaitable[object]]) -> CNIError | None:
    """Return the error that a call raised, or `None`."""
    try:
        await call()
    except CNIError as error:
        return error
    return None


# -- plugins


def faulty(folder: Path, fault: str, timeout: float = TIMEOUT) -> tuple[CNIConfig, FaultyPlugins]:
    """Return a runtime whose plugin has this fault in each call, and its plugins."""
    plugins = FaultyPlugins(folder / "plugins")
    plugins.install("a")
    exec = FaultyExec(lambda *_: fault, timeout=timeout, grace=GRACE, max_output=100_000)
    return CNIConfig(plugins.path, exec=exec, cache_dir=folder / "cache"), plugins


@starts_plugins
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_plugin_outlasts_its_bounds(tmp_path: Path, fault: str) -> None:
    """Bounds hold whether the plugin fails before it has done its work or after it."""
    for when in ("early", "late"):
        cni, plugins = faulty(tmp_path / when, f"{when}:{fault}")
        watch = Stopwatch()
        with pytest.raises(CNIError) as caught:
            await cni.add_network_list(NET, RT)
        assert watch.within(BOUND)
        if "sleep" in FAULTS[fault]:
            assert isinstance(caught.value, PluginTimeoutError)
        assert not processes_with(str(plugins.folder))
        assert await cni.get_cached_attachments() == []


@starts_plugins
@pytest.mark.parametrize("oddity", ODDITIES)
async def test_no_oddity_is_a_failure(tmp_path: Path, oddity: str) -> None:
    cni, plugins = faulty(tmp_path, f"late:{oddity}", PATIENCE)
    watch = Stopwatch()
    await cni.add_network_list(NET, RT)
    await cni.del_network_list(NET, RT)
    assert watch.within(2 * BOUND)
    assert not plugins.notes()


def test_faults_are_those_that_were_asked_for() -> None:
    assert len(FAULTS) > 15
    assert {"hangs", "ignores SIGTERM", "stops itself", "floods stderr"} <= set(ENDLESS)


@starts_plugins
@pytest.mark.parametrize("name", OPERATIONS)
async def test_uninterruptible_sleep(tmp_path: Path, name: str) -> None:
    """Not even SIGKILL ends the plugin, and the operation does not wait for that."""
    scripts = Scripts(tmp_path)
    scripts.sh("exec sleep 60", "a")
    cni = CNIConfig([str(tmp_path)], **SHORT, cache_dir=tmp_path / "cache")
    async with undead() as pids:
        watch = Stopwatch()
        with pytest.raises(CNIError, match="it is still running, SIGKILL did not end it"):
            await OPERATIONS[name](cni)
        assert watch.within(SHORT_BOUND)
        assert len(pids) == 1


@starts_plugins
@pytest.mark.parametrize("way", ["rollback", "attachment"])
async def test_uninterruptible_sleep_and_the_del_of_it(tmp_path: Path, way: str) -> None:
    """The DEL that takes the ADD back has bounds of its own."""
    scripts = Scripts(tmp_path)
    scripts.sh("exec sleep 60", "a")
    cni = CNIConfig(
        [str(tmp_path)],
        **SHORT,
        cache_dir=tmp_path / "cache",
        rollback=True,
    )

    async def attachment() -> None:
        async with cni.attachment(NET, RT):
            raise AssertionError("attached")

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "attachment": attachment,
        "rollback": partial(cni.add_network_list, NET, RT),
    }
    async with undead() as pids:
        watch = Stopwatch()
        with pytest.raises(PluginTimeoutError) as caught:
            await ways[way]()
        assert watch.within(2 * SHORT_BOUND)
        assert len(pids) == 2
    assert isinstance(caught.value.rollback_error, PluginTimeoutError)
    # The attachment is not forgotten.
    assert len(await cni.recover()) == 1


# -- the disk


class Disk:
    """A directory where writes fail, either a single one or all from some write on."""

    def __init__(self, folder: Path, place: int, number: int, *, for_good: bool) -> None:
        self._folder = str(folder)
        self._place = place
        self._number = number
        self._for_good = for_good
        self._count = 0
        self.failed: list[str] = []

    @contextmanager
    def failing(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for step in ("mkdir", "open", "write", "fsync", "replace", "unlink"):
                # A real fsync is not the subject of the test, and takes longer than all the rest.
                real = getattr(os, step) if step != "fsync" else lambda file: None
                patch.setattr(os, step, self._step(step, real))
            yield

    def _step(self, name: str, real: Any) -> Any:
        def step(*args: Any, **options: Any) -> Any:
            if self._is_ours(name, *args):
                here = self._count
                self._count += 1
                if here == self._place or (here > self._place and self._for_good):
                    self.failed.append(self._name(name, args[0]))
                    raise OSError(self._number, os.strerror(self._number))
            return real(*args, **options)

        return step

    def _is_ours(self, name: str, subject: Any, *rest: Any) -> bool:
        if isinstance(subject, int):
            return os.readlink(f"/proc/self/fd/{subject}").startswith(self._folder)
        if name == "open" and not rest[0] & os.O_CREAT:
            return False
        if name == "unlink" and self._number == errno.ENOSPC:
            return False  # an unlink needs no room
        return str(subject).startswith(self._folder)

    @staticmethod
    def _name(name: str, subject: Any) -> str:
        is_folder = isinstance(subject, int) and stat.S_ISDIR(os.fstat(subject).st_mode)
        return f"{name} of a directory" if is_folder else name


DISKS: Final = [
    pytest.param(errno.ENOSPC, False, id="full for a moment"),
    pytest.param(errno.ENOSPC, True, id="full"),
    pytest.param(errno.EIO, False, id="broken for a moment"),
    pytest.param(errno.EIO, True, id="broken"),
    pytest.param(errno.EROFS, True, id="read-only"),
]
DONE: Final = create_result("1.1.0", b'{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.9/24"}]}')
OLDER: Final = {
    "none": None,
    "completed": encode_record(new_record(KEY, NET.raw, RT), DONE),
    "unfinished": encode_record(new_record(KEY, NET.raw, RT), None),
}


def cached(
    folder: Path, exec: FakeExec, *, rollback: bool = False, durable: bool = True
) -> CNIConfig:
    cache = FileCache(folder, durable=durable)
    return CNIConfig(["/bin"], exec=exec, cache=cache, rollback=rollback)


def stored(folder: Path) -> bytes | None:
    file = folder / "results" / KEY.file_name
    return file.read_bytes() if file.exists() else None


def unfinished(folder: Path) -> list[Path]:
    return [*(folder / "results").glob(".tmp/*")]


def put(folder: Path, record: bytes | None) -> None:
    if record is not None:
        (folder / "results").mkdir(parents=True)
        (folder / "results" / KEY.file_name).write_bytes(record)


@pytest.mark.parametrize(("number", "for_good"), DISKS)
@pytest.mark.parametrize("older", OLDER)
@pytest.mark.parametrize("rollback", [False, True])
async def test_add_at_each_write(
    tmp_path: Path, number: int, for_good: bool, older: str, rollback: bool
) -> None:
    """Whichever write fails, the error is clear and nothing is torn or lost."""
    place = 0
    for place in count():
        folder = tmp_path / str(place)
        put(folder, OLDER[older])
        exec = FakeExec({("a", "ADD"): address(1)})
        disk = Disk(folder, place, number, for_good=for_good)
        with disk.failing():
            cni = cached(folder, exec, rollback=rollback)
            error = await failure(partial(cni.add_network_list, NET, RT))
        if not disk.failed:
            assert error is None
            break
        assert isinstance(error, CacheWriteError), disk.failed
        where = str(folder / "results" / KEY.file_name)
        assert str(error) == (
            f'failed to set network "net" cached result: {where}: {os.strerror(number).lower()}'
        )
        assert error.path == where
        record = stored(folder)
        # A record that may not be durable is nevertheless there and complete.
        written = "fsync of a directory" in disk.failed
        calls = [call.command for call in exec.calls]
        if not rollback or older == "completed":
            assert calls in ([], ["ADD"])
            assert (error.result is not None) == (calls == ["ADD"])
            assert record == OLDER[older] or (written and record is not None)
        else:
            begun = OLDER["unfinished"]
            assert calls in ([], ["ADD", "DEL"], ["DEL"])
            assert record is None or for_good or older == "unfinished"
            # The record of what was taken back is removed, or the error says that it is not.
            assert record in (None, begun) or (written and error.rollback_error is not None)
        if number == errno.ENOSPC or not for_good:
            assert unfinished(folder) == []
        # The disk works again.
        for path in unfinished(folder):
            os.utime(path, (0, 0))
        cni = cached(folder, exec, durable=False)
        await cni.add_network_list(NET, RT)
        assert unfinished(folder) == []
        await cni.del_network_list(NET, RT)
        assert stored(folder) is None
    # Directories, the file, its content, the sync of the file and of its directory, the rename.
    assert place > (3 if older == "completed" or not rollback else 6)


@pytest.mark.parametrize(("number", "for_good"), DISKS)
async def test_del_at_each_write(tmp_path: Path, number: int, for_good: bool) -> None:
    """DEL calls its plugin. A record that stays is unchanged."""
    place = 0
    for place in count():
        folder = tmp_path / str(place)
        put(folder, OLDER["completed"])
        exec = FakeExec()
        disk = Disk(folder, place, number, for_good=for_good)
        with disk.failing():
            await cached(folder, exec).del_network_list(NET, RT)
        assert [call.command for call in exec.calls] == ["DEL"]
        if not disk.failed:
            break
        assert stored(folder) == (OLDER["completed"] if "unlink" in disk.failed else None)
    assert place > 0


# -- records


def damages(record: bytes) -> Iterator[tuple[str, bytes]]:
    """Return what a crash or a bad disk may make of a record."""
    for length in range(0, len(record), 5):
        yield f"cut to {length}", record[:length]
    for bit in range(0, 8 * len(record), 11):
        at = bit // 8
        flipped = bytes([record[at] ^ 1 << bit % 8])
        yield f"bit {bit}", record[:at] + flipped + record[at + 1 :]
    yield "zeros", bytes(len(record))
    yield "null", b"null"


def with_record(record: bytes) -> Runtime:
    fake = runtime()
    fake.cache.records[KEY] = record
    return fake


# The meaning of a record does not depend on the event loop. One of these tests runs on each.
one_loop: Final = pytest.mark.parametrize("anyio_backend", ["asyncio"])
DAMAGED: Final = {name: [*damages(record)] for name, record in OLDER.items() if record is not None}


@pytest.mark.parametrize("kind", DAMAGED)
async def test_a_damaged_record_never_blocks_del(kind: str) -> None:
    for what, record in DAMAGED[kind]:
        fake = with_record(record)
        await fake.cni.del_network_list(NET, RT)
        assert fake.order == ["a DEL"], what
        assert not fake.cache.records, what


@one_loop
@pytest.mark.parametrize("kind", DAMAGED)
async def test_check_of_a_damaged_record_says_so(kind: str) -> None:
    """CHECK may also miss the damage: a changed letter can still be a valid letter."""
    refused = 0
    for what, record in DAMAGED[kind]:
        fake = with_record(record)
        error = await failure(partial(fake.cni.check_network_list, NET, RT))
        assert fake.order == ([] if error else ["a CHECK"]), what
        if error is not None:
            assert isinstance(error, CacheError)
            assert str(error).startswith('failed to get network "net" cached result: ')
            refused += 1
        assert fake.cache.records == {KEY: record}, what
    assert refused > len(DAMAGED[kind]) / 3


@one_loop
@pytest.mark.parametrize("kind", DAMAGED)
async def test_gc_with_a_damaged_record(kind: str) -> None:
    """GC deletes nothing valid, and plugins still get their GC."""
    valid = GCArgs([GCAttachment(KEY.container_id, KEY.ifname)])
    for what, record in DAMAGED[kind]:
        fake = with_record(record)
        error = await failure(partial(fake.cni.gc_network_list, NET, valid))
        # As in libcni, a record may be that of an attachment without a name.
        assert error is None or "cache file path requires" in str(error), what
        assert fake.order[-1] == "a GC", what
        assert not [
            call
            for call in fake.exec.calls
            if call.command == "DEL"
            and call.environ["CNI_CONTAINERID"] == KEY.container_id
            and call.environ["CNI_IFNAME"] == KEY.ifname
        ], what
        assert fake.cache.records == {KEY: record}, what


@one_loop
@pytest.mark.parametrize("kind", DAMAGED)
async def test_recovery_and_listing_with_a_damaged_record(kind: str) -> None:
    """Another container's attachment is still found and recovered."""
    key = AttachmentKey("net", "c0", "eth0")
    beside = encode_record(new_record(key, NET.raw, RT), None)
    for what, record in DAMAGED[kind]:
        fake = with_record(record)
        fake.cache.records[key] = beside
        listed = await fake.cni.get_cached_attachments()
        assert "c0" in {one.container_id for one in listed}, what
        error = await failure(partial(fake.cni.recover, delete=True))
        assert error is None or isinstance(error, RecoveryError)
        assert key not in fake.cache.records, what
        if b'"result"' in record:  # without this word the record is that of an unfinished ADD
            assert fake.cache.records == {KEY: record}, what


UNREADABLE: Final = [errno.EIO, errno.EACCES]


@pytest.fixture(params=UNREADABLE, ids=lambda number: errno.errorcode[number])
def unreadable(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Provide a cache whose only record cannot be read."""
    put(tmp_path, OLDER["completed"])
    real = os.open

    def fail(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if os.path.basename(os.fspath(path)) == KEY.file_name:
            raise OSError(request.param, os.strerror(request.param))
        return real(path, flags, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", fail)
        yield tmp_path


async def test_a_record_that_cannot_be_read(
    unreadable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exec = FakeExec()
    cni = cached(unreadable, exec)
    assert await cni.get_cached_attachments() == []
    assert f"cache record {KEY.file_name} is left out" in caplog.text
    assert await cni.recover(delete=True) == []
    with pytest.raises(CacheError, match=KEY.file_name):
        await cni.check_network_list(NET, RT)
    assert not exec.calls
    await cni.gc_network_list(NET, GCArgs())
    assert [call.command for call in exec.calls] == ["GC"]
    assert (unreadable / "results" / KEY.file_name).exists()
    await cni.del_network_list(NET, RT)
    assert [call.command for call in exec.calls] == ["GC", "DEL"]
    assert not (unreadable / "results" / KEY.file_name).exists()

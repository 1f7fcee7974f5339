"""`recover` and plugins whose runtime was killed: they keep running, and `recover` waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import (
    AttachmentKey,
    CNIConfig,
    NetworkConfigList,
    PluginError,
    RecoveryError,
    Result,
    RuntimeConf,
    create_result,
)
from cni_async.cache.record import encode_record, new_record
from cni_async.operations import orphans
from tests.support.adding import adding
from tests.support.chains import Runtime, network, runtime
from tests.support.processes import is_running
from tests.support.scripts import Scripts
from tests.support.wait import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

NET = network("a", "b")
# `recover` also sees the processes of other tests that run on this machine at the same time.
ME = f"me{os.getpid()}"
NETNS = f"/run/netns/{ME}"
KEY = AttachmentKey("net", ME, "eth0")
# Seconds that no test waits for in full; a test that has to wait ends as soon as the event occurs.
LONG = 30.0
# Seconds that a busy machine needs to look at its processes once.
ENOUGH = 1.5
# Works on an attachment until the file "go" exists.
PLUGIN = """
here=$(dirname "$0")
if [ "$CNI_COMMAND" = ADD ]; then
    echo $$ >> "$here/pid"
    while [ ! -e "$here/go" ]; do sleep 0.02; done
fi
echo "$(basename "$0") $CNI_COMMAND" >> "$here/order"
echo '{"cniVersion": "1.1.0"}'
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    folder = tmp_path / "plugins"
    folder.mkdir()
    return Scripts(folder)


class Orphans:
    """Starts processes that look like plugins of a runtime that is gone."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        name: str = "a",
        *,
        command: str = "ADD",
        container_id: str = ME,
        ifname: str = "eth0",
        netns: str = NETNS,
        leads: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a process that does not end by itself."""
        process = subprocess.Popen(
            [self._scripts.sh("echo; read line", name)],
            env={
                "PATH": os.defpath,
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": container_id,
                "CNI_IFNAME": ifname,
                "CNI_NETNS": netns,
                "CNI_PATH": str(self._scripts.folder),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=leads,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        return process


@pytest.fixture
def start(scripts: Scripts) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    family = Orphans(scripts)
    yield family.start
    for process in family.processes:
        with process:
            process.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process as plugins end; it is not reaped yet."""
    assert process.stdin is not None
    process.stdin.close()


def record(
    container_id: str = ME,
    ifname: str = "eth0",
    *,
    net: NetworkConfigList = NET,
    result: Result | None = None,
) -> tuple[AttachmentKey, bytes]:
    """Return the key and the record that a killed ADD leaves."""
    key = AttachmentKey(net.name, container_id, ifname)
    return key, encode_record(
        new_record(key, net.raw, RuntimeConf(container_id, NETNS, ifname)), result
    )


def killed(*records: tuple[AttachmentKey, bytes], within: float = LONG) -> Runtime:
    fake = runtime(cleanup_timeout=within)
    fake.cache.records.update(records)
    return fake


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when `recover` has seen an orphan."""
    event = threading.Event()
    report = orphans._still_runs

    def reported(*args: Any) -> PluginError:
        event.set()
        return report(*args)

    monkeypatch.setattr(orphans, "_still_runs", reported)
    return event


async def once(event: threading.Event, then: Callable[[], object]) -> None:
    """Do something once an orphan was seen."""
    await eventually(event.is_set)
    then()


async def recovered_while(fake: Runtime, *jobs: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with anyio.create_task_group() as group:
        for job in jobs:
            group.start_soon(job)
        with anyio.fail_after(2 * LONG):
            assert await fake.cni.recover(delete=True)


@pytest.mark.parametrize("command", ["ADD", "DEL"])
async def test_it_is_waited_for(
    start: Callable[..., subprocess.Popen[bytes]], seen: threading.Event, command: str
) -> None:
    fake = killed(record())
    orphan = start(command=command)

    def let_go() -> None:
        assert fake.order == []
        end(orphan)

    await recovered_while(fake, lambda: once(seen, let_go))
    assert not is_running(orphan.pid)
    assert fake.order == ["b DEL", "a DEL"]
    assert not fake.cache.records


async def test_no_thread_to_look_in(
    start: Callable[..., subprocess.Popen[bytes]],
    seen: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*args: object, **options: object) -> None:
        raise OSError

    monkeypatch.setattr(orphans, "in_thread", fail)
    fake = killed(record())
    orphan = start()
    await recovered_while(fake, lambda: once(seen, lambda: end(orphan)))
    assert fake.order == ["b DEL", "a DEL"]


async def test_one_after_the_other(
    start: Callable[..., subprocess.Popen[bytes]], seen: threading.Event
) -> None:
    """The runtime ran a plugin for each of its containers."""
    fake = killed(record(), record(f"{ME}b"), record(ME, "eth1"))
    first, second = start("a"), start("b", container_id=f"{ME}b")

    def let_first_go() -> None:
        end(first)
        seen.clear()

    async def let_go() -> None:
        await once(seen, let_first_go)
        await once(seen, lambda: end(second))

    await recovered_while(fake, let_go)
    assert len(fake.order) == 6
    assert not fake.cache.records


async def test_one_that_does_not_end(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Its attachment is left alone and can be recovered later. Others do not wait for it."""
    other = network("a", name="other")
    fake = killed(record(), record(f"{ME}b"), record(net=other), within=ENOUGH)
    orphan = start("b", command="DEL")
    with pytest.raises(RecoveryError) as caught:
        await fake.cni.recover(delete=True)
    assert str(caught.value) == (
        f"failed to delete attachment {ME} eth0: plugin b still runs (process {orphan.pid}), "
        "for a runtime that is gone"
    )
    [error] = caught.value.errors
    assert isinstance(error, PluginError)
    assert (error.plugin, error.command, error.retryable) == ("b", "DEL", True)
    # The plugin does not belong to the other network, whose attachment is recovered.
    assert sorted(fake.order) == ["a DEL", "a DEL", "b DEL"]
    assert list(fake.cache.records) == [KEY]
    end(orphan)
    orphan.wait()
    assert len(await fake.cni.recover(delete=True)) == 1
    assert not fake.cache.records


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"container_id": f"{ME}0"}, id="container"),
        pytest.param({"ifname": "eth01"}, id="interface"),
        pytest.param({"netns": f"{NETNS}0"}, id="network namespace"),
        pytest.param({"command": "CHECK"}, id="command"),
        pytest.param({"name": "c"}, id="plugin"),
        pytest.param({"leads": False}, id="child or daemon"),
    ],
)
async def test_what_is_none(start: Callable[..., subprocess.Popen[bytes]], other: Any) -> None:
    fake = killed(record(), within=3 * LONG)
    process = start(**other)
    with anyio.fail_after(LONG):
        assert len(await fake.cni.recover(delete=True)) == 1
    assert is_running(process.pid)
    assert not fake.cache.records


async def test_a_del_whose_namespace_is_gone(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    fake = killed(record(), within=ENOUGH)
    start(command="DEL", netns="")
    with pytest.raises(RecoveryError):
        await fake.cni.recover(delete=True)


async def test_a_zombie_is_none(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    fake = killed(record(), within=3 * LONG)
    process = start()
    end(process)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with anyio.fail_after(LONG):
        assert len(await fake.cni.recover(delete=True)) == 1


async def test_who_does_not_delete_does_not_wait(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    fake = killed(record(), within=3 * LONG)
    start()
    with anyio.fail_after(LONG):
        assert len(await fake.cni.recover()) == 1


async def test_a_configuration_that_is_lost(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """The plugins are unknown, and nothing can be deleted."""
    key, data = record()
    fake = killed((key, json.dumps(json.loads(data) | {"config": None}).encode()))
    start()
    with anyio.fail_after(LONG), pytest.raises(RecoveryError, match="no configuration"):
        await fake.cni.recover(delete=True)


async def test_an_add_that_came_to_its_end_after_all(
    start: Callable[..., subprocess.Popen[bytes]], seen: threading.Event
) -> None:
    """The orphan turns out to be a plugin of a live runtime. That is not an error."""
    fake = killed(record(), record(f"{ME}b"), within=ENOUGH)
    orphan = start()
    completed = create_result("1.1.0", b'{"cniVersion": "1.1.0"}')
    change = dict([record(result=completed)])
    await recovered_while(fake, lambda: once(seen, lambda: fake.cache.records.update(change)))
    assert is_running(orphan.pid)
    assert fake.cache.records == change


async def test_cancelled(
    start: Callable[..., subprocess.Popen[bytes]], seen: threading.Event
) -> None:
    fake = killed(record(), within=3 * LONG)
    start()
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: once(seen, group.cancel_scope.cancel))
            await fake.cni.recover(delete=True)
    assert fake.order == []
    assert list(fake.cache.records) == [KEY]


async def test_without_proc(
    start: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = killed(record())
    start()
    listdir = os.listdir

    def none(path: str = ".") -> list[str]:
        if path == "/proc":
            raise FileNotFoundError(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", none)
    assert len(await fake.cni.recover(delete=True)) == 1


async def test_processes_that_have_just_ended(
    start: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = killed(record())
    start()

    def gone(pid: int) -> int:
        raise ProcessLookupError

    monkeypatch.setattr(os, "getsid", gone)
    assert len(await fake.cni.recover(delete=True)) == 1


async def test_proc_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hangs in the kernel may block /proc. `recover` does not wait forever."""
    answer = threading.Event()

    def wait() -> list[int]:
        assert answer.wait(2 * LONG)
        return []

    monkeypatch.setattr(orphans, "_pids", wait)
    fake = killed(record(), within=0.2)
    try:
        with anyio.fail_after(LONG):
            assert len(await fake.cni.recover(delete=True)) == 1
    finally:
        answer.set()
    assert not fake.cache.records


async def test_a_runtime_that_is_killed(
    scripts: Scripts, tmp_path: Path, seen: threading.Event
) -> None:
    """From end to end: `recover` waits for the killed runtime's plugin, then takes the ADD back."""
    for name in ("a", "b"):
        scripts.sh(PLUGIN, name)
    cache, lock_file = tmp_path / "cache", tmp_path / "lock"
    let_go = (scripts.folder / "go").touch
    cni = CNIConfig([str(scripts.folder)], cache_dir=cache, lock_file=lock_file)
    try:
        with adding(scripts.folder, cache, lock_file, NET, ME) as child:
            (pid,) = await scripts.numbers("pid")
        assert child.returncode == -signal.SIGKILL
        assert is_running(pid)
        async with anyio.create_task_group() as group:
            group.start_soon(once, seen, let_go)
            with anyio.fail_after(LONG):
                assert len(await cni.recover(delete=True)) == 1
        assert scripts.read("order").splitlines() == ["a ADD", "b DEL", "a DEL"]
        assert await cni.get_cached_attachments() == []
    finally:
        let_go()

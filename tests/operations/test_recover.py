"""`recover`: attachments whose ADD never completed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cni_async import (
    AttachmentKey,
    CacheError,
    CNIConfig,
    CNIError,
    NetworkAttachment,
    NetworkConfig,
    NetworkConfigList,
    RecoveryError,
    Result,
    RuntimeConf,
    create_result,
)
from cni_async.cache.record import encode_record, new_record
from cni_async.testing import FakeCache, FakeCall, FakeExec
from tests.support.adding import adding
from tests.support.chains import KEY, RT, Blocker, Runtime, failure, network, runtime, single
from tests.support.recorder import Answer, Recorder

pytestmark = pytest.mark.anyio

starts_plugins = pytest.mark.usefixtures("spawn")

NET = network({"type": "a", "capabilities": {"p": True}}, "b")


def record(
    container_id: str = "c1",
    ifname: str = "eth0",
    *,
    net: NetworkConfigList | NetworkConfig = NET,
    name: str = "net",
    result: Result | None = None,
) -> tuple[AttachmentKey, bytes]:
    """Return the key and the record that a killed ADD leaves."""
    key = AttachmentKey(name, container_id, ifname)
    rt = RuntimeConf(
        container_id, f"/run/{container_id}", ifname, args=[("K", "v")], capability_args={"p": 1}
    )
    return key, encode_record(new_record(key, net.raw, rt), result)


COMPLETED = create_result("1.1.0", b'{"cniVersion": "1.1.0"}')


def killed(*records: tuple[AttachmentKey, bytes], **options: Any) -> Runtime:
    fake = runtime(**options)
    fake.cache.records.update(records)
    return fake


def names(attachments: list[NetworkAttachment]) -> list[str]:
    return [f"{one.container_id} {one.ifname}" for one in attachments]


def deleted(fake: Runtime) -> list[str]:
    environs = [call.environ for call in fake.exec.calls if call.plugin == "a"]
    return [f"{environ['CNI_CONTAINERID']} {environ['CNI_IFNAME']}" for environ in environs]


@pytest.mark.parametrize("delete", [False, True])
async def test_nothing_is_found(delete: bool, tmp_path: Path) -> None:
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache_dir=tmp_path / "no")
    assert await cni.recover(delete=delete) == []
    fake = killed(record(result=COMPLETED))
    assert await fake.cni.recover(delete=delete) == []
    assert not fake.exec.calls
    assert list(fake.cache.records) == [KEY]


async def test_found_and_left_to_the_caller() -> None:
    fake = killed(record("c3"), record("c1"), record("c2", result=COMPLETED), record("c1", "eth1"))
    before = dict(fake.cache.records)
    found = await fake.cni.recover()
    assert names(found) == ["c1 eth0", "c1 eth1", "c3 eth0"]
    assert {one.completed for one in found} == {False}
    assert (found[0].config, found[0].netns) == (NET.raw, "/run/c1")
    assert not fake.exec.calls
    assert fake.cache.records == before
    await fake.cni.del_attachment(found[2])
    assert fake.order == ["b DEL", "a DEL"]
    assert names(await fake.cni.recover()) == ["c1 eth0", "c1 eth1"]


async def test_found_and_deleted() -> None:
    fake = killed(record("c1"), record("c2", result=COMPLETED))
    assert names(await fake.cni.recover(delete=True)) == ["c1 eth0"]
    assert fake.order == ["b DEL", "a DEL"]
    call = fake.exec.calls[1]
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "K=v",
        "CNI_PATH": "/bin1:/bin2",
    }
    # libcni passes plugins the same: an empty result of the network's version.
    assert call.config["prevResult"] == {"cniVersion": "1.1.0"}
    assert call.config["runtimeConfig"] == {"p": 1}
    assert [key.container_id for key in fake.cache.records] == ["c2"]


@pytest.mark.parametrize("version", ["", "0.3.1"])
async def test_an_older_network(version: str) -> None:
    fake = killed(record(net=network("a", version=version)))
    await fake.cni.recover(delete=True)
    assert "prevResult" not in fake.only_config()
    assert not fake.cache.records


async def test_a_single_plugin() -> None:
    fake = killed(record(net=single("a")))
    await fake.cni.recover(delete=True)
    assert fake.order == ["a DEL"]
    assert not fake.cache.records


@pytest.mark.parametrize("failing", ["ADD", "DEL"])
async def test_what_a_rollback_could_not_take_back(failing: str) -> None:
    """From end to end: an ADD and its DEL fail, and later both would succeed."""
    well = False

    def answer(call: FakeCall) -> Any:
        return None if well else failure()

    fake = runtime({("b", "ADD"): answer, ("a", "DEL"): answer}, rollback=True)
    with pytest.raises(CNIError):
        await fake.cni.add_network_list(NET, RT)
    with pytest.raises(RecoveryError):
        await fake.cni.recover(delete=True)
    well = True
    if failing == "ADD":
        await fake.cni.add_network_list(NET, RT)
        assert await fake.cni.recover(delete=True) == []
        assert list(fake.cache.records) == [KEY]
    else:
        assert names(await fake.cni.recover(delete=True)) == ["c1 eth0"]
        assert not fake.cache.records


async def test_different_containers_at_the_same_time_those_of_one_in_turn() -> None:
    running: list[str] = []
    together: set[frozenset[str]] = set()
    both = anyio.Event()

    async def delete(call: FakeCall) -> None:
        me = f"{call.environ['CNI_CONTAINERID']} {call.environ['CNI_IFNAME']}"
        running.append(me)
        together.add(frozenset(running))
        if len(running) == 2:
            both.set()
        await both.wait()
        running.remove(me)

    fake = killed(record("c1"), record("c1", "eth1"), record("c2"), answers={("a", "DEL"): delete})
    with anyio.fail_after(10):
        await fake.cni.recover(delete=True)
    assert frozenset(["c1 eth0", "c2 eth0"]) in together
    assert not any({"c1 eth0", "c1 eth1"} <= each for each in together)
    assert not fake.cache.records


async def test_failures_stop_nothing_and_all_are_told() -> None:
    def of_c2(call: FakeCall) -> Any:
        return failure("no") if call.environ["CNI_CONTAINERID"] == "c2" else None

    fake = killed(
        record("c1"),
        record("c2"),
        record("c2", "eth1"),
        record("c3", net=network("a", name="other")),
        record("c4"),
        record("c5", net=network("gone")),
        answers={("a", "DEL"): of_c2},
        missing=["gone"],
    )
    with pytest.raises(RecoveryError) as caught:
        await fake.cni.recover(delete=True)
    assert [str(error) for error in caught.value.errors] == [
        'failed to delete attachment c2 eth0: plugin type="a" failed (delete): no',
        'failed to delete attachment c2 eth1: plugin type="a" failed (delete): no',
        'failed to delete attachment c3 eth0: no configuration of network "net" in the cache '
        "record of c3 eth0",
        'failed to delete attachment c5 eth0: plugin type="gone" failed (delete): failed to find '
        'plugin "gone" in path [/bin1 /bin2]',
    ]
    assert str(caught.value) == "\n".join(map(str, caught.value.errors))
    assert sorted(deleted(fake)) == ["c1 eth0", "c2 eth0", "c2 eth1", "c4 eth0"]
    left = [f"{key.container_id} {key.ifname}" for key in sorted(fake.cache.records, key=str)]
    assert left == ["c2 eth0", "c2 eth1", "c3 eth0", "c5 eth0"]


async def test_a_cache_that_cannot_be_listed() -> None:
    fake = killed(record(), fail_on=["attachments"])
    with pytest.raises(CacheError, match="attachments: input/output error"):
        await fake.cni.recover()


async def test_a_record_that_cannot_be_read_again() -> None:
    fake = killed(record(), fail_on=["load"])
    assert names(await fake.cni.recover()) == ["c1 eth0"]
    with pytest.raises(RecoveryError, match="load: input/output error"):
        await fake.cni.recover(delete=True)
    assert not fake.exec.calls
    assert list(fake.cache.records) == [KEY]


async def test_damaged_records_are_nobodys() -> None:
    fake = killed((KEY, b""), (AttachmentKey("net", "c2", "eth0"), b'{"kind":"cni'))
    assert await fake.cni.recover(delete=True) == []
    assert not fake.exec.calls
    assert len(fake.cache.records) == 2


@pytest.mark.parametrize("has_cache", [False, True])
async def test_another_directory(tmp_path: Path, *, has_cache: bool) -> None:
    key, data = record()
    folder = tmp_path / "there" / "results"
    folder.mkdir(parents=True)
    (folder / key.file_name).write_bytes(data)
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path / "here" if has_cache else None)
    assert names(await cni.recover(cache_dir=tmp_path / "there")) == ["c1 eth0"]
    assert names(await cni.recover(delete=True, cache_dir=tmp_path / "there")) == ["c1 eth0"]
    assert [call.plugin for call in exec.calls] == ["b", "a"]
    assert not list(folder.glob("*-*"))


# -- changes meanwhile


@pytest.mark.parametrize("way", ["attachment", "rollback"])
async def test_an_add_that_is_under_way_is_left_alone(way: str) -> None:
    blocker = Blocker()
    fake = killed(record("c2"), answers={("a", "ADD"): blocker}, rollback=way == "rollback")

    async def add() -> None:
        if way == "rollback":
            await fake.cni.add_network_list(NET, RT)
        async with fake.cni.attachment(NET, RT):
            raise AssertionError("attached")

    async def look() -> None:
        await blocker.started.wait()
        assert len(fake.cache.records) == 2
        with anyio.fail_after(10):
            # Another CNIConfig, with the same cache.
            cni = CNIConfig(["/bin"], exec=fake.exec, cache=fake.cache)
            assert names(await cni.recover(delete=True)) == ["c2 eth0"]
            assert names(await fake.cni.recover()) == []
        assert deleted(fake)[1:] == ["c2 eth0"]

    async with anyio.create_task_group() as group:
        group.start_soon(add)
        await look()
        group.cancel_scope.cancel()
    assert not fake.cache.records


class Meanwhile(FakeCache):
    """A cache that changes once it has been listed."""

    change: Callable[[], object]

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        found = await super().attachments(container_id)
        self.change()
        return found


@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize("how", ["completed", "removed"])
async def test_an_add_that_comes_to_its_end_meanwhile(how: str, delete: bool) -> None:
    cache, exec = Meanwhile(), FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache=cache)
    cache.records.update([record("c1"), record("c2")])
    key, completed = record("c1", result=COMPLETED)
    if how == "completed":
        cache.change = lambda: cache.records.update({key: completed})
    else:
        cache.change = lambda: cache.records.pop(key, None)
    assert names(await cni.recover(delete=delete)) == ["c2 eth0"]
    assert {call.environ["CNI_CONTAINERID"] for call in exec.calls} == ({"c2"} if delete else set())
    assert cache.records.get(key) == (completed if how == "completed" else None)


@starts_plugins
async def test_an_add_of_another_process(recorder: Recorder, tmp_path: Path) -> None:
    """It is left alone while that process lives. Then it is found, and taken back."""
    cache, lock_file = tmp_path / "cache", tmp_path / "lock"
    recorder.plugin("a", {"ADD": Answer(sleep=60)})
    recorder.plugin("b")
    cni = CNIConfig(recorder.path, cache_dir=cache, lock_file=lock_file)
    careless = CNIConfig(recorder.path, cache_dir=cache)
    with adding(recorder.folder, cache, lock_file, NET, "c1") as child:
        [add] = await recorder.wait_for_calls(1, timeout=30)
        assert names(await cni.recover(delete=True)) == []
        # Without the lock file the runtime cannot know.
        assert names(await careless.recover()) == ["c1 eth0"]
        child.send_signal(signal.SIGKILL)
        await anyio.to_thread.run_sync(child.wait)
        os.kill(add.pid, signal.SIGKILL)  # its parent is gone
        assert names(await cni.recover(delete=True)) == ["c1 eth0"]
    assert recorder.order() == ["a ADD", "b DEL", "a DEL"]
    assert recorder.calls()[2].environ["CNI_CONTAINERID"] == add.environ["CNI_CONTAINERID"]
    assert await cni.get_cached_attachments() == []


async def test_the_record_is_libcnis() -> None:
    _, data = record()
    assert list(json.loads(data)) == [
        "kind",
        "containerId",
        "config",
        "ifName",
        "networkName",
        "netns",
        "cniArgs",
        "capabilityArgs",
    ]

"""`del_attachment`: DEL with what the cache knows about the attachment's ADD."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import anyio
import pytest

from cni_async import (
    CNIConfig,
    ConfigError,
    NetworkAttachment,
    PluginError,
    PluginNotFoundError,
    RuntimeConf,
)
from cni_async.testing import FakeExec
from tests.support.chains import (
    KEY,
    RT,
    Blocker,
    Runtime,
    address,
    failure,
    network,
    runtime,
    single,
)
from tests.support.recorder import Recorder

pytestmark = pytest.mark.anyio

NET = network({"type": "a", "mtu": 1400, "capabilities": {"p": True}}, "b")
FULL = RuntimeConf(
    "c1", "/run/netns/gone", "eth0", args=[("K", "v"), ("L", "")], capability_args={"p": {"x": 1}}
)


async def only(fake: Runtime) -> NetworkAttachment:
    [attachment] = await fake.cni.get_cached_attachments()
    return attachment


async def test_of_a_list() -> None:
    fake = runtime({("b", "ADD"): address(2)})
    await fake.added(NET, FULL)
    await fake.cni.del_attachment(await only(fake))
    assert fake.order == ["b DEL", "a DEL"]
    call = fake.exec.calls[1]
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/gone",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "K=v;L=",
        "CNI_PATH": "/bin1:/bin2",
    }
    assert call.config == {
        "name": "net",
        "cniVersion": "1.1.0",
        "type": "a",
        "mtu": 1400,
        "capabilities": {"p": True},
        "runtimeConfig": {"p": {"x": 1}},
        "prevResult": address(2),
    }
    assert not fake.cache.records


async def test_of_a_single_plugin() -> None:
    answers = [failure(), None]
    fake = runtime({("a", "ADD"): address(1), ("a", "DEL"): lambda call: answers.pop(0)})
    await fake.cni.add_network(single(mtu=1400), FULL)
    attachment = await only(fake)
    with pytest.raises(PluginError) as caught:
        await fake.cni.del_attachment(attachment)
    assert (caught.value.plugin, caught.value.command) == ("a", "DEL")
    assert list(fake.cache.records) == [KEY]
    await fake.cni.del_attachment(attachment)
    assert fake.configs("DEL")[1] == {
        "name": "net",
        "cniVersion": "1.1.0",
        "type": "a",
        "mtu": 1400,
        "prevResult": address(1),
    }
    assert not fake.cache.records


@pytest.mark.parametrize("version", ["", "0.3.1"])
async def test_of_an_older_network(version: str) -> None:
    fake = runtime({("a", "ADD"): {"ip4": {"ip": "10.0.0.1/24"}, "cniVersion": "0.2.0"}})
    await fake.cni.add_network(single(version=version), RT)
    await fake.cni.del_attachment(await only(fake))
    assert fake.configs("DEL") == [{"name": "net", "cniVersion": version, "type": "a"}]
    assert not fake.cache.records


async def test_twice() -> None:
    fake = runtime()
    await fake.added(NET, FULL)
    attachment = await only(fake)
    await fake.cni.del_attachment(attachment)
    await fake.cni.del_attachment(attachment)
    assert fake.order == ["b DEL", "a DEL"] * 2


async def test_a_failure_stops_it_and_the_record_stays() -> None:
    fake = runtime({("a", "DEL"): failure()})
    await fake.added(NET, FULL)
    with pytest.raises(PluginError, match=r'^plugin type="a" failed \(delete\): boom$'):
        await fake.cni.del_attachment(await only(fake))
    assert fake.order == ["b DEL", "a DEL"]
    assert list(fake.cache.records) == [KEY]


async def test_a_plugin_is_missing() -> None:
    fake = runtime(missing=["gone"])
    await fake.added(network("a"), RT)
    record = json.loads(fake.cache.records[KEY])
    attachment = NetworkAttachment("c1", "net", "eth0", config=network("gone").raw)
    with pytest.raises(PluginNotFoundError):
        await fake.cni.del_attachment(attachment)
    assert json.loads(fake.cache.records[KEY]) == record


@pytest.mark.parametrize(
    "config",
    [
        None,
        b"",
        b"garbage",
        b"{}",
        b'{"name":"net","cniVersion":"1.0.0","plugins":[]',
        network("a", name="other").raw,
        single("a", name="other").raw,
    ],
)
async def test_a_configuration_that_is_lost(config: bytes | None) -> None:
    fake = runtime()
    await fake.added()
    before = dict(fake.cache.records)
    with pytest.raises(ConfigError) as caught:
        await fake.cni.del_attachment(NetworkAttachment("c1", "net", "eth0", config=config))
    words = 'no configuration of network "net" in the cache record of c1 eth0'
    assert str(caught.value) == words
    assert not fake.exec.calls
    assert fake.cache.records == before


async def test_a_record_that_is_damaged_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    fake = runtime()
    await fake.added(NET, FULL)
    attachment = await only(fake)
    fake.cache.records[KEY] = b'{"kind":'
    with caplog.at_level(logging.WARNING):
        await fake.cni.del_attachment(attachment)
    assert fake.order == ["b DEL", "a DEL"]
    assert not fake.cache.records
    [words] = caplog.messages
    assert "goes on without prevResult" in words


async def test_another_attachments_record_stays(tmp_path: Path) -> None:
    """Both share a file name. One of them is not in the cache at all."""
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path)
    await cni.add_network_list(network("a", name="x-y"), RuntimeConf("c", "", "eth0"))
    exec.calls.clear()
    net = network("a", name="x")
    await cni.del_attachment(NetworkAttachment("y-c", "x", "eth0", config=net.raw))
    [call] = exec.calls
    assert "prevResult" not in call.config
    [left] = await cni.get_cached_attachments()
    assert (left.network, left.container_id) == ("x-y", "c")


@pytest.mark.parametrize("has_cache", [False, True])
async def test_in_another_directory(tmp_path: Path, *, has_cache: bool) -> None:
    exec = FakeExec({("a", "ADD"): address(1)})
    here, there = tmp_path / "here", tmp_path / "there"
    await CNIConfig(["/bin"], exec=exec, cache_dir=there).add_network_list(network("a"), RT)
    exec.calls.clear()
    cni = CNIConfig(["/bin"], exec=exec)
    [attachment] = await cni.get_cached_attachments(cache_dir=there)
    await CNIConfig(["/bin"], exec=exec, cache_dir=here).del_attachment(attachment)
    assert "prevResult" not in exec.calls.pop().config
    # The directory counts also where the CNIConfig has a cache of its own.
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=here if has_cache else None)
    await cni.del_attachment(attachment, cache_dir=there)
    assert exec.calls.pop().config["prevResult"] == address(1)
    assert await cni.get_cached_attachments(cache_dir=there) == []


async def test_waits_for_its_turn() -> None:
    blocker = Blocker()
    fake = runtime({("a", "CHECK"): blocker})
    await fake.added(NET, FULL)
    attachment = await only(fake)

    async def check() -> None:
        with checking:
            await fake.cni.check_network_list(NET, FULL)

    checking = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(check)
        await blocker.started.wait()
        group.start_soon(fake.cni.del_attachment, attachment)
        await anyio.wait_all_tasks_blocked()
        assert fake.order == ["a CHECK"]
        checking.cancel()
    assert fake.order == ["a CHECK", "b DEL", "a DEL"]


async def test_with_real_plugins(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a")
    recorder.plugin("b")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache")
    await cni.add_network_list(NET, FULL)
    recorder.forget()
    # Another process, later: it knows nothing but the cache.
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache")
    [attachment] = await cni.get_cached_attachments("c1")
    assert attachment.netns == "/run/netns/gone"
    await cni.del_attachment(attachment)
    assert recorder.order() == ["b DEL", "a DEL"]
    assert recorder.calls()[1].environ["CNI_ARGS"] == "K=v;L="
    assert await cni.get_cached_attachments() == []

"""DEL and its cancellation.

The tests cover section J of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import logging
from pathlib import Path

import anyio
import pytest

from cni_async import (
    CacheError,
    CNIConfig,
    CNIError,
    InvalidIdentifierError,
    MemoryCache,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
    RuntimeConf,
    VersionError,
)
from cni_async.cache import AttachmentKey, records
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

pytestmark = pytest.mark.anyio

DAMAGED = {
    "empty": b"",
    "garbage": b"adfadsf",
    "truncated": b'{"kind":"cniCacheV1","contai',
    "object": b"{}",
    "null": b"null",
    "kind": b'{"kind":"cniCacheV2","result":{}}',
    "field": b'{"kind":"cniCacheV1","config":"?","result":{"cniVersion":"1.0.0"}}',
    "version": b'{"cniVersion":"0.4567.0"}',
}
damaged = pytest.mark.parametrize("record", [pytest.param(v, id=k) for k, v in DAMAGED.items()])


async def refused(fake: Runtime, net: NetworkConfigList, rt: RuntimeConf = RT) -> CNIError:
    with pytest.raises(CNIError) as caught:
        await fake.cni.del_network_list(net, rt)
    return caught.value


async def test_item_113_plugins_run_in_reverse_order() -> None:
    fake = runtime({("c", "ADD"): address(3)})
    net = network("a", "b", "c")
    await fake.added(net)
    await fake.cni.del_network_list(net, RT)
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert [config["prevResult"] for config in fake.configs("DEL")] == [address(3)] * 3
    assert not fake.cache.records


async def test_items_113_and_117_the_first_error_stops_and_the_record_stays() -> None:
    fake = runtime({("b", "DEL"): failure()})
    net = network("a", "b", "c")
    await fake.added(net)
    caught = await refused(fake, net)
    assert isinstance(caught, PluginError)
    assert fake.order == ["c DEL", "b DEL"]
    assert list(fake.cache.records) == [KEY]


@pytest.mark.parametrize(
    ("version", "has_prev_result"), [("", False), ("0.3.1", False), ("0.4.0", True)]
)
async def test_items_114_and_116_only_newer_versions_have_a_previous_result(
    version: str, has_prev_result: bool
) -> None:
    fake = runtime({("a", "ADD"): {"ip4": {"ip": "10.0.0.1/24"}, "cniVersion": "0.2.0"}})
    net = network("a", version=version)
    await fake.added(net)
    await fake.cni.del_network_list(net, RT)
    assert ("prevResult" in fake.only_config()) is has_prev_result
    assert not fake.cache.records


async def test_item_114_an_older_networks_record_is_no_obstacle() -> None:
    fake = runtime(fail_on=["load"])
    fake.cache.records[KEY] = b"garbage"
    await fake.cni.del_network_list(network("a", version="0.3.1"), RT)
    assert not fake.cache.records


async def test_item_115_errors_of_a_list_name_the_plugin() -> None:
    fake = runtime({("a", "DEL"): failure()})
    inner = network({"type": "a", "name": "inner"})
    words = 'plugin type="a" name="inner" failed (delete): boom'
    assert str(await refused(fake, inner)) == words
    assert str(await refused(fake, network("a"))) == 'plugin type="a" failed (delete): boom'
    with pytest.raises(PluginError, match=r"^boom$"):
        await fake.cni.del_network(single(), RT)


@pytest.mark.parametrize("version", ["", "1.1.0"])
async def test_item_116_a_second_del_succeeds(version: str) -> None:
    fake = runtime()
    net = network("a", version=version)
    await fake.added(net)
    for _ in range(2):
        await fake.cni.del_network_list(net, RT)
    assert fake.order == ["a DEL", "a DEL"]
    assert "prevResult" not in fake.configs("DEL")[1]


async def test_item_116_a_record_that_cannot_be_removed_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = runtime()
    await fake.added()
    fake.cache.fail_on.add("remove")
    with caplog.at_level(logging.WARNING):
        await fake.cni.del_network_list(network("a"), RT)
    words = "the record net-c1-eth0 stays after its DEL: remove: input/output error"
    assert caplog.messages == [words]


async def test_item_117_a_failing_single_del_keeps_the_record() -> None:
    fake = runtime({("a", "DEL"): failure()})
    await fake.cni.add_network(single(), RT)
    with pytest.raises(PluginError):
        await fake.cni.del_network(single(), RT)
    assert list(fake.cache.records) == [KEY]


@damaged
@pytest.mark.parametrize("chain", [True, False])
async def test_items_118_and_119_a_damaged_record_is_no_obstacle(
    chain: bool, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fake = runtime()
    fake.cache.records[KEY] = record
    with caplog.at_level(logging.WARNING):
        if chain:
            await fake.cni.del_network_list(network("a"), RT)
        else:
            await fake.cni.del_network(single(), RT)
    assert fake.order == ["a DEL"]
    assert "prevResult" not in fake.only_config()
    assert not fake.cache.records
    assert caplog.messages[0].startswith("DEL of net-c1-eth0 goes on without prevResult: ")


@damaged
@pytest.mark.parametrize("chain", [True, False])
async def test_items_118_and_119_a_damaged_record_outlives_a_failing_del(
    chain: bool, record: bytes
) -> None:
    fake = runtime({("a", "DEL"): failure()})
    fake.cache.records[KEY] = record
    cni = fake.cni
    with pytest.raises(PluginError):
        await (cni.del_network_list(network("a"), RT) if chain else cni.del_network(single(), RT))
    assert fake.cache.records == {KEY: record}


async def test_item_118_a_record_that_cannot_be_converted() -> None:
    fake = runtime({("a", "ADD"): {"cniVersion": "1.0.0"}})
    await fake.added()
    await fake.cni.del_network_list(network("a", version="7.0.0"), RT)
    assert "prevResult" not in fake.only_config()
    assert not fake.cache.records


async def test_item_118_a_cache_that_cannot_be_read() -> None:
    fake = runtime(fail_on=["load"])
    await fake.cni.del_network_list(network("a"), RT)
    assert fake.order == ["a DEL"]


@pytest.mark.parametrize(
    "rt", [RuntimeConf("", "", "eth0"), RuntimeConf("c1", "", "")], ids=["id", "ifname"]
)
async def test_item_120_an_empty_identifier_runs_nothing(rt: RuntimeConf) -> None:
    fake = runtime()
    assert str(await refused(fake, network("a"), rt)).startswith("cache file path requires")
    with pytest.raises(CacheError):
        await fake.cni.del_network(single(), rt)
    assert not fake.exec.calls


async def test_item_121_nothing_outside_the_cache_can_be_deleted(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    (tmp_path / "cache/results/net-c1-").mkdir(parents=True)
    exec = FakeExec()
    cni = CNIConfig(["/bin"], cache_dir=tmp_path / "cache", exec=exec)
    rt = RuntimeConf("c1", "", "/../../../victim")
    with pytest.raises(InvalidIdentifierError):
        await cni.del_network_list(network("a"), rt)
    with pytest.raises(InvalidIdentifierError):
        await cni.del_network(single(version=""), rt)
    assert victim.exists()
    assert not exec.calls


async def test_item_122_an_unparsable_version() -> None:
    fake = runtime()
    fake.cache.records[KEY] = b"{}"
    caught = await refused(fake, network("a", version="zz"))
    assert isinstance(caught, VersionError)
    assert str(caught).startswith('failed to convert major version part "zz": ')
    assert not fake.exec.calls
    assert fake.cache.records


async def test_item_123_args_are_the_callers() -> None:
    fake = runtime()
    net = network({"type": "a", "capabilities": {"p": True, "q": True}})
    await fake.added(
        net, RuntimeConf("c1", "/n", "eth0", args=[("A", "1")], capability_args={"p": 1})
    )
    await fake.cni.del_network_list(
        net, RuntimeConf("c1", "", "eth0", args=[("B;", "2=")], capability_args={"q": 2})
    )
    [call] = fake.exec.calls
    assert call.config["runtimeConfig"] == {"q": 2}
    # DEL passes on what ADD refuses: another program may have added the attachment.
    assert (call.environ["CNI_NETNS"], call.environ["CNI_ARGS"]) == ("", "B;=2=")


async def test_item_124_a_missing_plugin() -> None:
    fake = runtime(missing=["a"])
    fake.cache.records[KEY] = b"{}"
    caught = await refused(fake, network("a", "b"))
    assert isinstance(caught, PluginNotFoundError)
    assert str(caught) == (
        'plugin type="a" failed (delete): failed to find plugin "a" in path [/bin1 /bin2]'
    )
    assert fake.order == ["b DEL"]
    assert fake.cache.records


async def test_item_165_another_attachments_record_is_neither_used_nor_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exec = FakeExec()
    cni = CNIConfig(["/bin"], cache_dir=tmp_path, exec=exec)
    await cni.add_network_list(network("a", name="x-y"), RuntimeConf("c", "", "eth0"))
    exec.calls.clear()
    with caplog.at_level(logging.WARNING):
        await cni.del_network_list(network("a", name="x"), RuntimeConf("y-c", "", "eth0"))
    assert "prevResult" not in exec.calls[0].config
    [one] = await cni.get_cached_attachments()
    assert (one.network, one.container_id) == ("x-y", "c")
    assert [message.split(":")[0] for message in caplog.messages] == [
        "DEL of x-y-c-eth0 goes on without prevResult",
        "the record x-y-c-eth0 stays after its DEL",
    ]


@pytest.mark.parametrize("chain", [True, False])
async def test_cancelled_while_a_plugin_runs(chain: bool) -> None:
    blocker = Blocker()
    fake = runtime({("a", "DEL"): blocker})
    net = network("0", "a", "b")
    await fake.added(net)
    if chain:
        await blocker.cancel(lambda: fake.cni.del_network_list(net, RT))
        assert fake.order == ["b DEL", "a DEL"]
    else:
        await blocker.cancel(lambda: fake.cni.del_network(single(), RT))
        assert fake.order == ["a DEL"]
    assert list(fake.cache.records) == [KEY]


class DeadCache(MemoryCache):
    """A cache whose disk never answers a removal."""

    async def remove(self, key: AttachmentKey) -> None:
        await anyio.sleep_forever()


async def test_a_disk_that_never_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records, "_CACHE_WAIT", 0.01)
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=DeadCache())
    with caplog.at_level(logging.WARNING):
        await cni.del_network_list(network("a"), RT)
    assert caplog.messages == ["the record net-c1-eth0 stays after its DEL: no answer in 0.01 s"]


async def test_the_version_is_checked_before_the_container_id() -> None:
    """As in libcni: the first fault that is reported is that of the configuration."""
    fake = runtime()
    with pytest.raises(VersionError):
        await fake.cni.del_network_list(network("a", version="x.y"), RuntimeConf(""))

"""GC and its cancellation.

The tests cover section K of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import (
    CacheError,
    CNIConfig,
    ConfigError,
    GCArgs,
    GCAttachment,
    GCError,
    InvalidIdentifierError,
    NetConf,
    NetworkConfig,
    NetworkConfigList,
    PluginError,
    RuntimeConf,
)
from cni_async.cache import AttachmentKey
from cni_async.testing import FakeCall, FakeExec
from tests.support.chains import Blocker, Runtime, address, failure, network, runtime, single
from tests.support.wait import eventually

pytestmark = pytest.mark.anyio

VALID = "cni.dev/valid-attachments"
OLD_VALID = "cni.dev/attachments"


def keep(*container_ids: str) -> GCArgs:
    return GCArgs([GCAttachment(container_id, "eth0") for container_id in container_ids])


async def attached(
    *container_ids: str, answers: dict[tuple[str, str], Any] | None = None, **options: Any
) -> Runtime:
    """Make a runtime with attached containers, whose args and capability args DEL must restore."""
    fake = runtime(answers, **options)
    for container_id in container_ids:
        rt = RuntimeConf(
            container_id,
            f"/run/{container_id}",
            "eth0",
            args=[("ID", container_id)],
            capability_args={"p": container_id, "q": 1},
        )
        await fake.cni.add_network_list(NET, rt)
    fake.exec.calls.clear()
    return fake


NET = network({"type": "a", "capabilities": {"p": True}}, "b")


def deleted(fake: Runtime) -> list[str]:
    return sorted({call.environ["CNI_CONTAINERID"] for call in fake.exec.calls} - {""})


async def refused(fake: Runtime, net: NetworkConfigList, args: GCArgs | None) -> GCError:
    with pytest.raises(GCError) as caught:
        await fake.cni.gc_network_list(net, args)
    return caught.value


async def test_item_125_disable_gc_does_nothing() -> None:
    fake = await attached("c1", fail_on=["attachments"])
    net = network("a", disableGC=True)
    await fake.cni.gc_network_list(net, keep())
    assert not fake.exec.calls
    assert fake.cache.records


async def test_item_126_stale_attachments_are_deleted_with_what_they_were_added_with() -> None:
    fake = await attached("c1", "c2", answers={("b", "ADD"): address(1)})
    await fake.cni.add_network_list(network("a", name="other"), RuntimeConf("c9", "", "eth0"))
    fake.exec.calls.clear()
    await fake.cni.gc_network_list(NET, keep("c1"))
    assert fake.order == ["b DEL", "a DEL", "a GC", "b GC"]
    call = fake.exec.calls[1]
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c2",
        "CNI_NETNS": "/run/c2",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "ID=c2",
        "CNI_PATH": "/bin1:/bin2",
    }
    assert call.config["runtimeConfig"] == {"p": "c2"}
    assert call.config["prevResult"] == address(1)
    assert sorted(key.container_id for key in fake.cache.records) == ["c1", "c9"]


async def test_item_126_the_interface_counts_too() -> None:
    fake = runtime()
    for ifname in ("eth0", "eth1"):
        await fake.cni.add_network_list(NET, RuntimeConf("c1", "", ifname))
    await fake.cni.gc_network_list(NET, keep("c1"))
    assert [key.ifname for key in fake.cache.records] == ["eth0"]


@pytest.mark.parametrize("version", ["1.0.0", "0.4.0", ""])
async def test_item_127_older_versions_get_only_the_deletions(version: str) -> None:
    fake = await attached("c1")
    await fake.cni.gc_network_list(network("a", version=version), keep())
    assert fake.order == ["b DEL", "a DEL"]


async def test_item_128_errors_do_not_stop_it_and_all_are_told() -> None:
    def of_c2(call: FakeCall) -> Any:
        return failure("del") if call.environ["CNI_CONTAINERID"] == "c2" else None

    answers = {("a", "DEL"): of_c2, ("a", "GC"): failure("gc")}
    fake = await attached("c1", "c2", "c3", answers=answers)
    net = network("a", "b")
    net.plugins = [*net.plugins, NetworkConfig(NetConf(type="broken"), b"{")]
    caught = await refused(fake, net, keep())
    assert str(caught) == (
        'failed to delete stale attachment c2 eth0: plugin type="a" failed (delete): del\n'
        "failed to GC plugin a: gc\n"
        "failed to generate configuration to GC plugin broken: unmarshal existing network bytes: "
        "unexpected end of JSON input"
    )
    assert [type(error) for error in caught.errors] == [PluginError, PluginError, ConfigError]
    # Item 134: the plugin without a configuration is not run.
    assert fake.order[-2:] == ["a GC", "b GC"]
    assert [key.container_id for key in fake.cache.records] == ["c2"]


async def test_item_128_a_missing_plugin() -> None:
    caught = await refused(runtime(missing=["a"]), network("a"), keep())
    assert str(caught) == ('failed to GC plugin a: failed to find plugin "a" in path [/bin1 /bin2]')


async def test_items_129_and_130_valid_attachments_are_sent_under_both_names() -> None:
    fake = runtime()
    args = GCArgs([GCAttachment("c1", "eth0"), GCAttachment("c2", "net1")])
    await fake.cni.gc_network_list(network("a"), args)
    valid = [
        {"containerID": "c1", "ifname": "eth0"},
        {"containerID": "c2", "ifname": "net1"},
    ]
    assert fake.only_config() == {
        "type": "a",
        "name": "net",
        "cniVersion": "1.1.0",
        VALID: valid,
        OLD_VALID: valid,
    }


async def test_item_131_none_deletes_everything_and_tells_plugins_nothing() -> None:
    fake = await attached("c1", "c2")
    net = network({"type": "a", VALID: [{"containerID": "x", "ifname": "y"}]})
    await fake.cni.gc_network_list(net, None)
    assert deleted(fake) == ["c1", "c2"]
    [config] = fake.configs("GC")
    assert config == {"type": "a", "name": "net", "cniVersion": "1.1.0"}
    assert not fake.cache.records


async def test_item_132_no_valid_attachments_are_an_empty_array() -> None:
    fake = await attached("c1")
    await fake.cni.gc_network_list(network("a"), GCArgs())
    [config] = fake.configs("GC")
    assert config[VALID] == config[OLD_VALID] == []
    assert not fake.cache.records


async def test_item_133_a_cache_that_cannot_be_listed_is_told_and_plugins_collect() -> None:
    fake = await attached("c1", fail_on=["attachments"])
    caught = await refused(fake, network("a"), keep())
    [error] = caught.errors
    assert isinstance(error, CacheError)
    assert str(caught) == "attachments: input/output error"
    assert fake.order == ["a GC"]


async def test_item_135_deletions_use_the_configuration_of_the_add() -> None:
    fake = await attached("c1")
    await fake.cni.gc_network_list(network("new"), keep())
    assert fake.order == ["b DEL", "a DEL", "new GC"]


async def test_item_135_that_of_a_single_plugin_too() -> None:
    fake = runtime()
    await fake.cni.add_network(single("one", mtu=1400), RuntimeConf("c1", "", "eth0"))
    fake.exec.calls.clear()
    await fake.cni.gc_network_list(network("new"), keep())
    assert fake.order == ["one DEL", "new GC"]
    assert fake.exec.calls[0].config["mtu"] == 1400


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("Z2FyYmFnZQ==", id="garbage"),
        pytest.param("e30=", id="no-network"),
        # The network "other" with the plugin "x".
        pytest.param("eyJuYW1lIjoib3RoZXIiLCJwbHVnaW5zIjpbeyJ0eXBlIjoieCJ9XX0=", id="another"),
    ],
)
async def test_item_135_where_that_is_lost_the_present_one_is_used(config: str | None) -> None:
    fake = runtime()
    key = AttachmentKey("net", "c1", "eth0")
    record = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": config,
        "ifName": "eth0",
        "networkName": "net",
    }
    fake.cache.records[key] = json.dumps(record).encode()
    await fake.cni.gc_network_list(network("new"), keep())
    assert fake.order == ["new DEL", "new GC"]
    assert not fake.cache.records


async def test_item_136_the_environment() -> None:
    fake = runtime()
    await fake.cni.gc_network_list(network("a"), keep("c1"))
    [call] = fake.exec.calls
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "GC",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": "/bin1:/bin2",
    }


async def test_item_137_an_unparsable_version_counts_as_old() -> None:
    fake = await attached("c1")
    await fake.cni.gc_network_list(network("new", version="zz"), keep())
    assert fake.order == ["b DEL", "a DEL"]


async def test_item_138_only_its_own_cache_is_searched(tmp_path: Path) -> None:
    exec = FakeExec()
    elsewhere = CNIConfig(["/bin"], exec=exec)
    await elsewhere.add_network_list(
        NET, RuntimeConf("c1", "", "eth0", cache_dir=str(tmp_path / "a"))
    )
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path / "b")
    exec.calls.clear()
    await cni.gc_network_list(NET, None)
    assert [call.command for call in exec.calls] == ["GC", "GC"]
    assert await cni.get_cached_attachments(cache_dir=tmp_path / "a")


async def test_item_191_a_record_that_does_not_say_whose_it_is() -> None:
    fake = runtime()
    for container_id in ("", "../c"):
        record = {
            "kind": "cniCacheV1",
            "containerId": container_id,
            "ifName": "e",
            "networkName": "net",
        }
        key = AttachmentKey("net", container_id, "e")
        fake.cache.records[key] = json.dumps({**record, "config": None}).encode()
    caught = await refused(fake, network("a"), keep())
    assert sorted(map(type, caught.errors), key=str) == [CacheError, InvalidIdentifierError]
    assert str(caught.errors[0]).startswith(
        "failed to delete stale attachment  e: cache file path requires network name"
    )
    assert fake.order == ["a GC"]


async def test_attachments_of_different_containers_are_deleted_at_the_same_time() -> None:
    running: set[str] = set()
    all_of_them = anyio.Event()

    async def delete(call: FakeCall) -> bytes:
        container_id = call.environ["CNI_CONTAINERID"]
        assert container_id not in running, "two at once for one container"
        running.add(container_id)
        if len(running) == 3:
            all_of_them.set()
        await all_of_them.wait()
        running.remove(container_id)
        return b""

    fake = runtime({("a", "DEL"): delete})
    net = network("a")
    for container_id in ("c1", "c2", "c3"):
        for ifname in ("eth0", "eth1"):
            await fake.cni.add_network_list(net, RuntimeConf(container_id, "", ifname))
    with anyio.fail_after(30):
        await fake.cni.gc_network_list(net, keep())
    assert not fake.cache.records


async def test_an_error_that_is_not_ours_is_raised_as_it_is() -> None:
    fake = await attached("c1", "c2", answers={("b", "DEL"): LookupError("bug")})
    with pytest.raises(LookupError, match=r"^bug$"):
        await fake.cni.gc_network_list(NET, keep())
    assert len(fake.cache.records) == 2


async def test_cancelled_while_attachments_are_deleted() -> None:
    blocker = Blocker()

    async def delete(call: FakeCall) -> None:
        if call.environ["CNI_CONTAINERID"] == "c2":
            await eventually(lambda: len(fake.cache.records), lambda number: number == 1)
            await blocker(call)

    fake = await attached("c1", "c2", answers={("a", "DEL"): delete})
    await blocker.cancel(lambda: fake.cni.gc_network_list(NET, keep()))
    assert [key.container_id for key in fake.cache.records] == ["c2"]
    assert not fake.configs("GC")


async def test_cancelled_while_plugins_collect() -> None:
    blocker = Blocker()
    fake = await attached("c1", answers={("a", "GC"): blocker})
    await blocker.cancel(lambda: fake.cni.gc_network_list(NET, keep("c1")))
    assert fake.order == ["a GC"]
    assert fake.cache.records

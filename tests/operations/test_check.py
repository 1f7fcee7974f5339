"""CHECK and its cancellation.

The tests cover section I of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import json

import pytest

from cni_async import (
    ArgsError,
    CacheError,
    CheckNotSupportedError,
    CNIError,
    CorruptRecordError,
    InvalidIdentifierError,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
    RuntimeConf,
    VersionError,
)
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

LOST = 'failed to get network "net" cached result: '


async def refused(fake: Runtime, net: NetworkConfigList, rt: RuntimeConf = RT) -> CNIError:
    with pytest.raises(CNIError) as caught:
        await fake.cni.check_network_list(net, rt)
    return caught.value


async def test_item_103_every_plugin_gets_the_final_result_in_the_order_of_add() -> None:
    fake = runtime({("a", "ADD"): address(1), ("b", "ADD"): address(2)})
    net = network("a", "b", "c")
    await fake.added(net)
    await fake.cni.check_network_list(net, RT)
    assert fake.order == ["a CHECK", "b CHECK", "c CHECK"]
    assert [config["prevResult"] for config in fake.configs("CHECK")] == [address(2)] * 3
    assert list(fake.cache.records) == [KEY]


async def test_item_103_the_first_error_stops() -> None:
    fake = runtime({("a", "CHECK"): failure()})
    net = network("a", "b")
    await fake.added(net)
    caught = await refused(fake, net)
    assert isinstance(caught, PluginError)
    assert fake.order == ["a CHECK"]


async def test_item_103_the_result_is_converted_to_the_networks_version() -> None:
    fake = runtime({("a", "ADD"): address(1, "1.0.0")})
    await fake.added(network("a", version="1.0.0"))
    await fake.cni.check_network_list(network("a", version="0.4.0"), RT)
    assert fake.only_config()["prevResult"] == {
        "cniVersion": "0.4.0",
        "dns": {},
        "ips": [{"version": "4", "address": "10.0.0.1/24"}],
    }


@pytest.mark.parametrize("version", ["0.3.1", "0.2.0", ""])
async def test_item_104_versions_without_check(version: str) -> None:
    fake = runtime()
    words = f'configuration version "{version}" does not support the CHECK command'
    caught = await refused(fake, network("a", version=version))
    assert isinstance(caught, CheckNotSupportedError)
    assert (str(caught), caught.version) == (words, version)
    with pytest.raises(CheckNotSupportedError):
        await fake.cni.check_network(single(version=version), RT)
    assert not fake.exec.calls


async def test_item_105_an_unparsable_version() -> None:
    fake = runtime()
    words = 'failed to convert major version part "zz": strconv.Atoi: parsing "zz": invalid syntax'
    caught = await refused(fake, network("a", version="zz"))
    assert isinstance(caught, VersionError)
    assert str(caught) == words
    assert not fake.exec.calls


@pytest.mark.parametrize("version", ["0.3.1", "", "zz", "1.1.0"])
async def test_items_106_and_107_disable_check_comes_first(version: str) -> None:
    fake = runtime(fail_on=["load"])
    await fake.cni.check_network_list(network("a", version=version, disableCheck=True), RT)
    assert not fake.exec.calls


async def test_item_108_a_single_plugin_has_no_disable_check() -> None:
    fake = runtime()
    await fake.cni.check_network(single(disableCheck=True), RT)
    assert fake.order == ["a CHECK"]


async def test_item_109_errors_are_bare() -> None:
    fake = runtime({("a", "CHECK"): failure()}, missing=["b"])
    assert str(await refused(fake, network("a"))) == "boom"
    caught = await refused(fake, network("b"))
    assert isinstance(caught, PluginNotFoundError)
    assert str(caught).startswith("failed to find plugin")
    with pytest.raises(PluginError, match=r"^boom$"):
        await fake.cni.check_network(single(), RT)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            b"adfadsfasdfasfdsafaf",
            "decoding version from network config: invalid character 'a' looking for beginning "
            "of value",
        ),
        (b'{"cniVersion":"0.4567.0"}', 'unsupported CNI result version "0.4567.0"'),
    ],
)
async def test_item_110_a_bad_record(record: bytes, words: str) -> None:
    fake = runtime()
    fake.cache.records[KEY] = record
    caught = await refused(fake, network("a"))
    assert isinstance(caught, CorruptRecordError)
    assert str(caught) == LOST + words
    with pytest.raises(CorruptRecordError, match=rf"^{LOST}"):
        await fake.cni.check_network(single(), RT)
    assert not fake.exec.calls
    assert fake.cache.records[KEY] == record


async def test_item_110_a_cache_that_cannot_be_read() -> None:
    fake = runtime(fail_on=["load"])
    caught = await refused(fake, network("a"))
    assert str(caught) == f"{LOST}load: input/output error"
    assert not fake.exec.calls


async def test_item_111_no_record_means_no_previous_result() -> None:
    fake = runtime()
    await fake.cni.check_network_list(network("a", "b"), RT)
    assert fake.order == ["a CHECK", "b CHECK"]
    assert not any("prevResult" in config for config in fake.configs("CHECK"))


async def test_item_111_no_record_is_an_error_where_one_is_strict() -> None:
    fake = runtime(strict=True)
    caught = await refused(fake, network("a"))
    assert isinstance(caught, CacheError)
    assert str(caught) == f"{LOST}no record of c1 eth0"
    assert not fake.exec.calls
    await fake.added(network("a"))
    await fake.cni.check_network_list(network("a"), RT)
    assert fake.order == ["a CHECK"]


async def test_item_112_identifiers_are_checked_here_too() -> None:
    fake = runtime()
    caught = await refused(fake, network("a"), RuntimeConf("c1"))
    assert isinstance(caught, CacheError)
    assert str(caught) == (
        f'{LOST}cache file path requires network name ("net"), container ID ("c1"), and '
        'interface name ("")'
    )
    caught = await refused(fake, network("a"), RuntimeConf("../c", "", "eth0"))
    assert isinstance(caught, InvalidIdentifierError)
    assert str(caught) == f"{LOST}invalid characters in containerID; ../c"
    assert not fake.exec.calls


async def test_args_that_cannot_be_passed() -> None:
    fake = runtime()
    rt = RuntimeConf("c1", "", "eth0", args=[("a", "b;c=d")])
    caught = await refused(fake, network("a"), rt)
    assert isinstance(caught, ArgsError)
    assert not fake.exec.calls


async def test_the_environment_and_the_runtime_config_are_the_callers() -> None:
    fake = runtime()
    net = network({"type": "a", "capabilities": {"p": True}})
    await fake.added(
        net, RuntimeConf("c1", "/old", "eth0", args=[("A", "1")], capability_args={"p": 1})
    )
    rt = RuntimeConf("c1", "/new", "eth0", args=[("A", "2")], capability_args={"p": 2})
    await fake.cni.check_network_list(net, rt)
    [call] = fake.exec.calls
    assert (call.environ["CNI_NETNS"], call.environ["CNI_ARGS"]) == ("/new", "A=2")
    assert call.environ["CNI_COMMAND"] == "CHECK"
    assert call.config["runtimeConfig"] == {"p": 2}


@pytest.mark.parametrize("chain", [True, False])
async def test_cancelled_while_a_plugin_runs(chain: bool) -> None:
    blocker = Blocker()
    fake = runtime({("a", "CHECK"): blocker})
    await fake.added(network("a", "b"))
    before = dict(fake.cache.records)
    if chain:
        await blocker.cancel(lambda: fake.cni.check_network_list(network("a", "b"), RT))
    else:
        await blocker.cancel(lambda: fake.cni.check_network(single(), RT))
    assert fake.order == ["a CHECK"]
    assert fake.cache.records == before
    assert json.loads(before[KEY])["kind"] == "cniCacheV1"

"""STATUS and its cancellation.

The tests cover section L of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import pytest

from cni_async import (
    ConfigError,
    ErrorCode,
    NetConf,
    NetworkConfig,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
)
from tests.support.chains import Blocker, network, runtime

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("version", ["1.0.0", "0.4.0", "", "zz"])
async def test_item_140_older_versions_have_no_status(version: str) -> None:
    fake = runtime(missing=["a"])
    await fake.cni.get_status_network_list(network("a", version=version))
    assert not fake.exec.calls


async def test_item_141_plugins_are_asked_in_order() -> None:
    fake = runtime()
    await fake.cni.get_status_network_list(network("a", {"type": "b", "name": "own", "x": 1}))
    assert fake.order == ["a STATUS", "b STATUS"]
    named = {"name": "net", "cniVersion": "1.1.0"}
    assert fake.configs("STATUS") == [{**named, "type": "a"}, {**named, "type": "b", "x": 1}]


@pytest.mark.parametrize("code", [ErrorCode.PLUGIN_NOT_AVAILABLE, ErrorCode.LIMITED_CONNECTIVITY])
async def test_items_141_and_145_the_first_error_is_raised_as_it_is(code: ErrorCode) -> None:
    fake = runtime({("b", "STATUS"): PluginError("not ready", code=code, details="soon")})
    with pytest.raises(PluginError) as caught:
        await fake.cni.get_status_network_list(network("a", "b", "c"))
    assert str(caught.value) == "not ready; soon"
    assert (caught.value.code, caught.value.retryable) == (code, True)
    assert (caught.value.plugin, caught.value.command) == ("b", "STATUS")
    assert fake.order == ["a STATUS", "b STATUS"]
    assert (int(ErrorCode.PLUGIN_NOT_AVAILABLE), int(ErrorCode.LIMITED_CONNECTIVITY)) == (50, 51)


async def test_item_142_a_configuration_that_cannot_be_built() -> None:
    fake = runtime()
    net = NetworkConfigList("net", "1.1.0", plugins=[NetworkConfig(NetConf(type="a"), b"{")])
    with pytest.raises(ConfigError) as caught:
        await fake.cni.get_status_network_list(net)
    assert str(caught.value) == (
        "failed to generate configuration to get plugin STATUS a: "
        "unmarshal existing network bytes: unexpected end of JSON input"
    )
    assert not fake.exec.calls


async def test_item_143_a_missing_plugin() -> None:
    fake = runtime(missing=["a"])
    with pytest.raises(PluginNotFoundError, match=r'^failed to find plugin "a" in path'):
        await fake.cni.get_status_network_list(network("a", "b"))
    assert not fake.exec.calls


async def test_item_144_the_environment() -> None:
    fake = runtime()
    await fake.cni.get_status_network_list(network("a"))
    [call] = fake.exec.calls
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "STATUS",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": "/bin1:/bin2",
    }


async def test_cancelled_while_a_plugin_runs() -> None:
    blocker = Blocker()
    fake = runtime({("a", "STATUS"): blocker})
    await blocker.cancel(lambda: fake.cni.get_status_network_list(network("a", "b")))
    assert fake.order == ["a STATUS"]

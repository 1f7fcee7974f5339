"""The request that a plugin reads on stdin.

The tests cover section G of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from cni_async import (
    ArgsError,
    ConfigError,
    GCArgs,
    NetConf,
    NetworkConfig,
    Result,
    RuntimeConf,
    conf_from_bytes,
    create_result,
)
from cni_async.capabilities import PortMapping
from cni_async.operations.request import as_raw, request_config
from tests.support.chains import RT, address, network, runtime, single

RESULT = create_result("1.0.0", b'{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24"}]}')
PREV_RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/24"}]}


def request(
    plugin: NetworkConfig | str,
    *,
    prev_result: Result | None = None,
    capability_args: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    if isinstance(plugin, str):
        plugin = conf_from_bytes(plugin.encode())
    document: dict[str, Any] = json.loads(
        request_config(
            plugin,
            "net",
            "1.0.0",
            prev_result=None if prev_result is None else as_raw(prev_result),
            capability_args=capability_args,
            extra=extra,
        )
    )
    del document["type"]
    return document


NAMED = {"name": "net", "cniVersion": "1.0.0"}


def test_item_76_name_and_version_are_the_lists() -> None:
    own = '{"type":"t","name":"own","cniVersion":"0.1.0","mtu":1400,"deep":{"x":[1]}}'
    assert request(own) == {**NAMED, "mtu": 1400, "deep": {"x": [1]}}
    assert request('{"type":"t"}') == NAMED


def test_item_67_the_configuration_stays_as_it_was() -> None:
    plugin = single()
    before = plugin.raw
    request(plugin, prev_result=RESULT)
    assert plugin.raw == before
    assert plugin.network.raw_prev_result is None


def test_item_77_an_empty_version_is_injected() -> None:
    raw = request_config(single(version="1.0.0"), "net", "")
    assert json.loads(raw) == {"name": "net", "cniVersion": "", "type": "a"}


def test_item_78_the_previous_result_is_injected() -> None:
    on_disk = '{"type":"t","prevResult":{"cniVersion":"0.1.0"}}'
    assert request(on_disk, prev_result=RESULT) == {**NAMED, "prevResult": PREV_RESULT}


@pytest.mark.anyio
async def test_item_79_the_first_add_has_no_previous_result() -> None:
    fake = runtime({("a", "ADD"): address(1)})
    await fake.cni.add_network_list(network("a", "b"), RT)
    first, second = fake.configs("ADD")
    assert "prevResult" not in first
    assert second["prevResult"] == address(1)


def test_item_80_a_previous_result_on_disk_is_passed_on_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert request('{"type":"t","prevResult":{"x":1}}') == {**NAMED, "prevResult": {"x": 1}}
    assert "plugin t of network net: the configuration itself holds a prevResult" in caplog.text
    caplog.clear()
    request('{"type":"t","prevResult":{"x":1}}', prev_result=RESULT)
    request('{"type":"t","prevResult":null}')
    assert not caplog.text


@pytest.mark.parametrize(
    ("capabilities", "args", "runtime_config"),
    [
        pytest.param({"a": True, "b": True}, {"a": 1, "c": 2}, {"a": 1}, id="81-intersection"),
        pytest.param({"a": False, "b": True}, {"a": 1, "b": [2]}, {"b": [2]}, id="81-only-true"),
        pytest.param({"a": None}, {"a": 1}, None, id="81-null-is-false"),
        pytest.param({"a": True}, {"b": 1}, None, id="82-no-match"),
        pytest.param({"a": True}, {}, None, id="82-no-args"),
        pytest.param({"a": True}, None, None, id="82-none"),
        pytest.param({}, {"a": 1}, None, id="82-no-capabilities"),
        pytest.param({"c": True}, {"c": None}, {"c": None}, id="83-null"),
        pytest.param(
            {"portMappings": True},
            {"portMappings": [PortMapping(8080, 80, "tcp")]},
            {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
            id="81-structs",
        ),
    ],
)
def test_runtime_config(
    capabilities: dict[str, Any], args: Mapping[str, Any] | None, runtime_config: Any
) -> None:
    plugin = single(capabilities=capabilities)
    expected = {**NAMED, "capabilities": capabilities}  # item 85: capabilities stay
    if runtime_config is not None:
        expected["runtimeConfig"] = runtime_config
    assert request(plugin, capability_args=args) == expected


def test_item_84_runtime_config_on_disk_is_replaced_or_kept_as_a_whole() -> None:
    plugin = single(capabilities={"a": True}, runtimeConfig={"a": 0, "b": 0})
    assert request(plugin, capability_args={"a": 1})["runtimeConfig"] == {"a": 1}
    assert request(plugin, capability_args={"b": 1})["runtimeConfig"] == {"a": 0, "b": 0}
    assert request(plugin)["runtimeConfig"] == {"a": 0, "b": 0}


def test_item_86_reserved_keys_on_disk_are_dropped_and_others_stay() -> None:
    reserved = '"cni.dev/x":1,"CNI.DEV/y":2,"\\u0063ni.dev\\/z":3,"cni.dev/valid-attachments":[]'
    plugin = '{"type":"t","args":{"cni.dev/x":1},"cnixdev/":1,"a.cni.dev/":2,' + reserved + "}"
    kept = {"args": {"cni.dev/x": 1}, "cnixdev/": 1, "a.cni.dev/": 2}
    assert request(plugin) == {**NAMED, **kept}
    ours = {"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "e"}]}
    assert request(plugin, extra=ours) == {**NAMED, **kept, **ours}


def test_item_87_capabilities_are_those_of_the_bytes() -> None:
    plugin = single(capabilities={"a": True})
    plugin.network.capabilities = {"b": True}
    assert request(plugin, capability_args={"a": 1, "b": 2})["runtimeConfig"] == {"a": 1}
    # Parsing merges duplicate keys. The request has the last one, and so have the capabilities.
    twice = '{"type":"t","capabilities":{"a":true},"capabilities":{"b":true}}'
    assert request(twice, capability_args={"a": 1, "b": 2}) == {
        **NAMED,
        "capabilities": {"b": True},
        "runtimeConfig": {"b": 2},
    }


@pytest.mark.anyio
async def test_item_87_the_executable_is_that_of_the_decoded_view() -> None:
    fake = runtime()
    net = network("a")
    net.plugins[0].network.type = "other"
    await fake.cni.add_network_list(net, RT)
    assert fake.order == ["other ADD"]
    assert fake.only_config()["type"] == "a"


@pytest.mark.anyio
async def test_item_88_gc_and_status_have_neither_runtime_config_nor_previous_result() -> None:
    fake = runtime({("a", "ADD"): address(1)})
    net = network({"type": "a", "capabilities": {"p": True}})
    await fake.added(net, RuntimeConf("c1", "/n", "eth0", capability_args={"p": 1}))
    await fake.cni.get_status_network_list(net)
    await fake.cni.gc_network_list(net, GCArgs())
    assert fake.order == ["a STATUS", "a DEL", "a GC"]
    status, delete, collect = [call.config for call in fake.exec.calls]
    assert {"runtimeConfig", "prevResult"} <= set(delete)
    assert not {"runtimeConfig", "prevResult"} & (set(status) | set(collect))


def test_item_51_other_spellings_of_what_the_runtime_sets_give_way() -> None:
    plugin = (
        '{"type":"t","NAME":"x","cniversion":"0.1.0","PrevResult":{"x":1},"runtimeconfig":{"x":1},'
        '"capabilities":{"a":true}}'
    )
    assert request(plugin, prev_result=RESULT, capability_args={"a": 1}) == {
        **NAMED,
        "capabilities": {"a": True},
        "prevResult": PREV_RESULT,
        "runtimeConfig": {"a": 1},
    }


def test_items_45_and_46_numbers_arrive_as_they_were() -> None:
    plugin = '{"type":"t","big":9007199254740993,"whole":1500.0,"part":0.5}'
    raw = request_config(conf_from_bytes(plugin.encode()), "n", "1.0.0")
    assert raw == (
        b'{"big":9007199254740993,"cniVersion":"1.0.0","name":"n","part":0.5,"type":"t",'
        b'"whole":1500}'
    )


@pytest.mark.parametrize("capability_args", [{}, {"a": 1}])
def test_item_68_damaged_bytes(capability_args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        request(NetworkConfig(NetConf(type="t"), b"{"), capability_args=capability_args)
    assert str(caught.value) == ("unmarshal existing network bytes: unexpected end of JSON input")


@pytest.mark.parametrize("value", [object(), float("nan"), {"x": float("inf")}])
def test_a_capability_arg_that_is_no_json(value: object) -> None:
    plugin = single(capabilities={"a": True})
    with pytest.raises(ArgsError, match=r"json: unsupported"):
        request(plugin, capability_args={"a": value})
    assert "runtimeConfig" not in request(plugin, capability_args={"b": value})

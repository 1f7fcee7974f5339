"""Chains and the protocol with real executables: every call and its exact input.

The tests cover sections G to L and R of docs/maintainers/conformance.md;
they look from the plugins' side, and their names contain the numbers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cni_async import (
    CNIConfig,
    GCArgs,
    GCAttachment,
    PluginError,
    ResultError,
    RuntimeConf,
    ValidationError,
    conf_list_from_bytes,
)
from tests.support.chains import address, as_dict, network, single
from tests.support.recorder import Answer, Call, Recorder

pytestmark = pytest.mark.anyio

RT = RuntimeConf(
    "c1",
    "/run/netns/blue",
    "eth0",
    args=[("IgnoreUnknown", "1"), ("POD", "x")],
    capability_args={"mac": "02:00:00:00:00:01", "unwanted": 1},
)
BRIDGE = {"type": "bridge", "mtu": 1400, "cniVersion": "0.1.0", "name": "own"}
TUNING = {"type": "tuning", "capabilities": {"mac": True, "bandwidth": True}}
FIREWALL = {"type": "firewall"}
NET = network(BRIDGE, TUNING, FIREWALL, name="mynet")
NAMED = {"name": "mynet", "cniVersion": "1.1.0"}
REQUESTS: dict[str, dict[str, Any]] = {
    "bridge": {**NAMED, "type": "bridge", "mtu": 1400},
    "tuning": {**NAMED, **TUNING},
    "firewall": {**NAMED, **FIREWALL},
}
RUNTIME_CONFIG = {"runtimeConfig": {"mac": "02:00:00:00:00:01"}}


class Chain:
    """Three plugins that return a result each, and a cache."""

    def __init__(self, recorder: Recorder, cache: Path) -> None:
        self.recorder = recorder
        self.cache = cache
        for number, plugin_type in enumerate(REQUESTS, 1):
            recorder.plugin(plugin_type, {"ADD": Answer(stdout=address(number))})
        self.cni = CNIConfig(recorder.path, cache_dir=cache)

    def environ(self, command: str) -> dict[str, str]:
        """Return the environment that a call about the attachment must receive."""
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": "/run/netns/blue",
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "IgnoreUnknown=1;POD=x",
            "CNI_PATH": str(self.recorder.folder),
        }

    def networkwide(self, command: str) -> dict[str, str]:
        """Return the environment that a call about the whole network must receive."""
        nothing = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")
        return {**self.environ(command), **dict.fromkeys(nothing, "")}

    def calls(self) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
        """Return each call's plugin, environment and configuration, and forget the calls."""
        calls = [(call.plugin, call.cni_environ, call.config) for call in self.recorder.calls()]
        self.recorder.forget()
        return calls

    def records(self) -> list[str]:
        return [file.name for file in (self.cache / "results").glob("*-*")]


@pytest.fixture
def chain(recorder: Recorder, tmp_path: Path) -> Chain:
    return Chain(recorder, tmp_path / "cache")


async def test_items_76_to_89_the_life_of_an_attachment(chain: Chain) -> None:
    result = await chain.cni.add_network_list(NET, RT)
    assert as_dict(result) == address(3)
    environ = chain.environ("ADD")
    assert chain.calls() == [
        ("bridge", environ, REQUESTS["bridge"]),
        ("tuning", environ, {**REQUESTS["tuning"], **RUNTIME_CONFIG, "prevResult": address(1)}),
        ("firewall", environ, {**REQUESTS["firewall"], "prevResult": address(2)}),
    ]
    assert chain.records() == ["mynet-c1-eth0"]

    last = {"prevResult": address(3)}
    await chain.cni.check_network_list(NET, RT)
    environ = chain.environ("CHECK")
    assert chain.calls() == [
        ("bridge", environ, {**REQUESTS["bridge"], **last}),
        ("tuning", environ, {**REQUESTS["tuning"], **RUNTIME_CONFIG, **last}),
        ("firewall", environ, {**REQUESTS["firewall"], **last}),
    ]

    await chain.cni.del_network_list(NET, RT)
    environ = chain.environ("DEL")
    assert chain.calls() == [
        ("firewall", environ, {**REQUESTS["firewall"], **last}),
        ("tuning", environ, {**REQUESTS["tuning"], **RUNTIME_CONFIG, **last}),
        ("bridge", environ, {**REQUESTS["bridge"], **last}),
    ]
    assert chain.records() == []

    await chain.cni.del_network_list(NET, RT)  # item 116
    assert chain.calls() == [
        ("firewall", environ, REQUESTS["firewall"]),
        ("tuning", environ, {**REQUESTS["tuning"], **RUNTIME_CONFIG}),
        ("bridge", environ, REQUESTS["bridge"]),
    ]


async def test_the_same_with_a_single_plugin(chain: Chain) -> None:
    net = single("bridge", name="mynet", mtu=1400)
    await chain.cni.add_network(net, RT)
    await chain.cni.check_network(net, RT)
    assert chain.records() == ["mynet-c1-eth0"]
    await chain.cni.del_network(net, RT)
    last = {"prevResult": address(1)}
    assert chain.calls() == [
        ("bridge", chain.environ("ADD"), REQUESTS["bridge"]),
        ("bridge", chain.environ("CHECK"), {**REQUESTS["bridge"], **last}),
        ("bridge", chain.environ("DEL"), {**REQUESTS["bridge"], **last}),
    ]
    assert chain.records() == []


async def test_items_125_to_136_gc(chain: Chain) -> None:
    await chain.cni.add_network_list(NET, RT)
    other = RuntimeConf("c2", "", "eth0")
    await chain.cni.add_network_list(NET, other)
    chain.calls()
    args = GCArgs([GCAttachment("c2", "eth0")])
    await chain.cni.gc_network_list(NET, args)
    last = {"prevResult": address(3)}
    delete, collect = chain.environ("DEL"), chain.networkwide("GC")
    valid = [{"containerID": "c2", "ifname": "eth0"}]
    keys = {"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid}
    assert chain.calls() == [
        ("firewall", delete, {**REQUESTS["firewall"], **last}),
        ("tuning", delete, {**REQUESTS["tuning"], **RUNTIME_CONFIG, **last}),
        ("bridge", delete, {**REQUESTS["bridge"], **last}),
        ("bridge", collect, {**REQUESTS["bridge"], **keys}),
        ("tuning", collect, {**REQUESTS["tuning"], **keys}),
        ("firewall", collect, {**REQUESTS["firewall"], **keys}),
    ]
    assert chain.records() == ["mynet-c2-eth0"]


async def test_items_140_to_145_status(chain: Chain) -> None:
    await chain.cni.get_status_network_list(NET)
    environ = chain.networkwide("STATUS")
    assert chain.calls() == [
        (plugin_type, environ, request) for plugin_type, request in REQUESTS.items()
    ]
    report = {"cniVersion": "1.1.0", "code": 50, "msg": "no bridge", "details": "yet"}
    chain.recorder.plugin("tuning", {"STATUS": Answer(stdout=report, exit_code=1)})
    with pytest.raises(PluginError) as caught:
        await chain.cni.get_status_network_list(NET)
    error = caught.value
    assert (error.code, str(error), error.retryable) == (50, "no bridge; yet", True)
    assert (error.plugin, error.command, error.exit_code) == ("tuning", "STATUS", 1)
    assert [call[0] for call in chain.calls()] == ["bridge", "tuning"]


async def test_items_146_and_147_version(chain: Chain) -> None:
    info = await chain.cni.get_version_info("bridge")
    assert info.supported_versions[-1] == "1.1.0"
    [call] = chain.recorder.calls()
    assert call.stdin == b'{"cniVersion":"1.1.0"}'
    assert call.cni_environ == {
        "CNI_COMMAND": "VERSION",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "dummy",
        "CNI_IFNAME": "dummy",
        "CNI_ARGS": "",
        "CNI_PATH": "dummy",
    }


async def test_item_154_validate(chain: Chain) -> None:
    assert await chain.cni.validate_network_list(NET) == ["mac", "bandwidth"]
    calls = chain.calls()
    assert sorted(call[0] for call in calls) == ["bridge", "firewall", "tuning"]
    assert {call[1]["CNI_COMMAND"] for call in calls} == {"VERSION"}
    answer = {"cniVersion": "0.4.0", "supportedVersions": ["0.4.0"]}
    chain.recorder.plugin("tuning", {"VERSION": Answer(stdout=answer)})
    with pytest.raises(ValidationError) as caught:
        await chain.cni.validate_network_list(NET)
    assert str(caught.value) == '[plugin tuning does not support config version "1.1.0"]'


async def test_items_148_and_352_a_plugin_older_than_version_itself(
    recorder: Recorder, tmp_path: Path
) -> None:
    unknown = {"cniVersion": "0.1.0", "code": 4, "msg": "unknown CNI_COMMAND: VERSION"}
    added = {"ip4": {"ip": "10.0.0.1/24"}}
    answers = {"VERSION": Answer(stdout=unknown, exit_code=1), "ADD": Answer(stdout=added)}
    recorder.plugin("old", answers)
    cni = CNIConfig(recorder.path, cache_dir=tmp_path)
    net = conf_list_from_bytes(b'{"name":"net","plugins":[{"type":"old"}]}')
    assert (await cni.get_version_info("old")).supported_versions == ("0.1.0",)
    assert await cni.validate_network_list(net) == []
    result = await cni.add_network_list(net, RT)
    await cni.del_network_list(net, RT)
    assert as_dict(result) == {"cniVersion": "0.1.0", **added, "dns": {}}
    assert recorder.order() == ["old VERSION"] * 2 + ["old ADD", "old DEL"]
    assert all(call.config["cniVersion"] == "" for call in recorder.calls()[2:])


async def test_items_90_and_113_a_chain_that_breaks_in_the_middle(chain: Chain) -> None:
    report = {"code": 11, "msg": "busy"}
    chain.recorder.plugin("tuning", {"ADD": Answer(stdout=report, stderr="oh", exit_code=1)})
    with pytest.raises(PluginError) as caught:
        await chain.cni.add_network_list(NET, RT)
    error = caught.value
    assert str(error) == 'plugin type="tuning" failed (add): busy'
    assert (error.code, error.retryable, error.stderr) == (11, True, "oh")
    assert chain.recorder.order() == ["bridge ADD", "tuning ADD"]
    assert chain.records() == []
    chain.recorder.forget()
    await chain.cni.del_network_list(NET, RT)
    assert chain.recorder.order() == ["firewall DEL", "tuning DEL", "bridge DEL"]


@pytest.mark.parametrize(
    "members",
    [
        {"ips": [{"address": "10.0.0.1"}]},
        {"ips": [{}]},
        {"ips": [None]},
        {"ips": 5},
        {"ips": [{"address": "10.0.0.1/24", "interface": "0"}]},
        {"interfaces": [{"name": 5}]},
        {"routes": [{"dst": "10.0.0.0/8", "gw": "10.0.0.x"}]},
        {"routes": [{"dst": "10.0.0.0/8", "mtu": 1.5}]},
        {"dns": {"nameservers": "10.0.0.1"}},
        {"cniVersion": 5, "ips": [{"address": 5}]},
    ],
    ids=str,
)
async def test_items_261_to_266_a_malformed_member_of_a_result_breaks_the_chain(
    chain: Chain, members: dict[str, Any]
) -> None:
    printed = {"cniVersion": "1.1.0", **members}
    chain.recorder.plugin("tuning", {"ADD": Answer(stdout=printed)})
    with pytest.raises(ResultError, match=r'^plugin type="tuning" failed \(add\): '):
        await chain.cni.add_network_list(NET, RT)
    assert chain.recorder.order() == ["bridge ADD", "tuning ADD"]
    assert chain.records() == []


async def test_items_194_and_195_the_environment_is_ours_and_cni(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNI_IFNAME", "inherited")
    monkeypatch.setenv("CNI_NETNS_OVERRIDE", "1")
    monkeypatch.setenv("MINE", "yes")
    await chain.cni.add_network(single("bridge"), RuntimeConf("c1", "/n", "eth0"))
    [call] = chain.recorder.calls()
    expected = {
        **os.environ,
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "",
        "CNI_PATH": str(chain.recorder.folder),
    }
    # Python itself may add these to its environment.
    added = set(call.environ) - set(expected)
    assert added <= {"LC_CTYPE"}
    assert {key: call.environ[key] for key in expected} == expected


async def test_item_99_a_plugin_that_answers_in_another_version(chain: Chain) -> None:
    old = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.9/24"}}
    chain.recorder.plugin("bridge", {"ADD": Answer(stdout=old)})
    await chain.cni.add_network_list(NET, RT)
    assert chain.calls()[1][2]["prevResult"] == address(9)


async def test_item_236_a_result_without_a_version_has_the_configurations(chain: Chain) -> None:
    chain.recorder.plugin("firewall", {"ADD": Answer(stdout={"ips": address(9)["ips"]})})
    assert as_dict(await chain.cni.add_network_list(NET, RT)) == address(9)


def _config(call: Call) -> str:
    return json.dumps(call.config, sort_keys=True)


async def test_what_plugins_get_does_not_depend_on_who_added(chain: Chain) -> None:
    """DEL by a process that has only the cache is the same as DEL by the process that added."""
    await chain.cni.add_network_list(NET, RT)
    second = CNIConfig(chain.recorder.path, cache_dir=chain.cache)
    [one] = await second.get_cached_attachments("c1")
    assert one.config is not None
    net = conf_list_from_bytes(one.config)
    bare = RuntimeConf(one.container_id, "", one.ifname)
    cached = await second.get_network_list_cached_config(net, bare)
    assert cached is not None
    assert cached.config == NET.raw
    chain.recorder.forget()
    await second.del_network_list(net, cached.runtime)
    first = chain.recorder.calls()
    chain.recorder.forget()
    await chain.cni.add_network_list(NET, RT)
    chain.recorder.forget()
    await chain.cni.del_network_list(NET, RT)
    again = chain.recorder.calls()
    assert [(_config(one), one.cni_environ) for one in first] == [
        (_config(one), one.cni_environ) for one in again
    ]

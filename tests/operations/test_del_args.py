"""DEL restores the args and capability args of ADD that the caller leaves out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from cni_async import CNIConfig, GCArgs, PluginError, RuntimeConf
from cni_async.testing import FakeExec
from tests.support.chains import KEY, Runtime, failure, network, runtime, single

pytestmark = pytest.mark.anyio

PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
CAPABLE: dict[str, Any] = {"capabilities": {"portMappings": True, "mac": True}}
ADDED = RuntimeConf(
    "c1",
    "/run/netns/blue",
    "eth0",
    args=[("K", "v"), ("L", "")],
    capability_args={"portMappings": PORTS},
)
versions = pytest.mark.parametrize("version", ["", "0.3.1", "0.4.0", "1.1.0"])
chains = pytest.mark.parametrize("is_list", [True, False], ids=["list", "single"])


def given(**more: Any) -> RuntimeConf:
    """Return a runtime configuration that only names the attachment, plus the given fields."""
    return RuntimeConf("c1", "", "eth0", **more)


async def added(*, is_list: bool = True, version: str = "1.1.0", **answers: Any) -> Runtime:
    told = {("p", command): answer for command, answer in answers.items()}
    fake = runtime({("p", "ADD"): {"cniVersion": version or "0.1.0"}, **told})
    if is_list:
        await fake.cni.add_network_list(network({"type": "p", **CAPABLE}, version=version), ADDED)
    else:
        await fake.cni.add_network(single("p", version=version, **CAPABLE), ADDED)
    fake.exec.calls.clear()
    return fake


async def delete(
    cni: CNIConfig, rt: RuntimeConf, *, is_list: bool = True, version: str = "1.1.0"
) -> None:
    if is_list:
        await cni.del_network_list(network({"type": "p", **CAPABLE}, version=version), rt)
    else:
        await cni.del_network(single("p", version=version, **CAPABLE), rt)


def seen(fake: Runtime) -> tuple[str, Any]:
    [call] = fake.exec.calls
    assert call.environ["CNI_NETNS"] == ""  # on DEL an empty namespace has a meaning of its own
    return call.environ["CNI_ARGS"], call.config.get("runtimeConfig")


@versions
@chains
async def test_what_the_caller_leaves_out_is_the_records(version: str, is_list: bool) -> None:
    fake = await added(version=version, is_list=is_list)
    await delete(fake.cni, given(), version=version, is_list=is_list)
    assert seen(fake) == ("K=v;L=", {"portMappings": PORTS})
    assert not fake.cache.records


@versions
@chains
async def test_each_of_them_by_itself(version: str, is_list: bool) -> None:
    fake = await added(version=version, is_list=is_list)
    await delete(fake.cni, given(args=[("M", "w")]), version=version, is_list=is_list)
    assert seen(fake) == ("M=w", {"portMappings": PORTS})
    fake = await added(version=version, is_list=is_list)
    rt = given(capability_args={"mac": "02:00:00:00:00:01"})
    await delete(fake.cni, rt, version=version, is_list=is_list)
    assert seen(fake) == ("K=v;L=", {"mac": "02:00:00:00:00:01"})


async def test_what_the_caller_gives_wins() -> None:
    fake = await added()
    await delete(fake.cni, given(args=[("M", "w")], capability_args={"other": 1}))
    assert seen(fake) == ("M=w", None)


async def test_empty_ones_are_left_out() -> None:
    fake = await added()
    await delete(fake.cni, given(args=[], capability_args={}))
    assert seen(fake) == ("K=v;L=", {"portMappings": PORTS})


async def test_a_del_that_is_repeated() -> None:
    answers = [failure(), None, None]
    fake = await added(DEL=lambda call: answers.pop(0))
    with pytest.raises(PluginError):
        await delete(fake.cni, given())
    fake.exec.calls.clear()
    await delete(fake.cni, given())
    assert seen(fake) == ("K=v;L=", {"portMappings": PORTS})
    fake.exec.calls.clear()
    await delete(fake.cni, given())
    assert seen(fake) == ("", None)


async def test_a_record_whose_result_is_damaged(caplog: pytest.LogCaptureFixture) -> None:
    fake = await added()
    record = json.loads(fake.cache.records[KEY])
    record["result"] = {"cniVersion": "0.4567.0"}
    fake.cache.records[KEY] = json.dumps(record).encode()
    with caplog.at_level(logging.WARNING):
        await delete(fake.cni, given())
    assert seen(fake) == ("K=v;L=", {"portMappings": PORTS})
    [words] = caplog.messages
    assert words.startswith("DEL of net-c1-eth0 goes on without prevResult: ")


@pytest.mark.parametrize("version", ["0.3.1", "1.1.0"])
@pytest.mark.parametrize("record", [b"", b"garbage", b'{"kind":"cniCacheV1","cniArgs":5}'])
async def test_a_record_that_is_damaged(
    version: str, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fake = await added(version=version)
    fake.cache.records[KEY] = record
    with caplog.at_level(logging.WARNING):
        await delete(fake.cni, given(), version=version)
    assert seen(fake) == ("", None)
    assert not fake.cache.records
    lost = "prevResult" if version == "1.1.0" else "what its ADD was given"
    [words] = caplog.messages
    assert words.startswith(f"DEL of net-c1-eth0 goes on without {lost}: ")


async def test_a_record_that_is_older_than_args(caplog: pytest.LogCaptureFixture) -> None:
    """Before libcni 0.8 a record was a bare result."""
    fake = runtime()
    fake.cache.records[KEY] = b'{"cniVersion":"0.3.1","ips":[]}'
    with caplog.at_level(logging.WARNING):
        await delete(fake.cni, given(), version="0.3.1")
    assert seen(fake) == ("", None)
    assert not caplog.messages


async def test_a_cache_that_cannot_be_read() -> None:
    for version in ("0.3.1", "1.1.0"):
        fake = await added(version=version)
        fake.cache.fail_on.add("load")
        await delete(fake.cni, given(), version=version)
        assert seen(fake) == ("", None)


async def test_another_attachments_record_is_not_used(tmp_path: Path) -> None:
    exec = FakeExec()
    cni = CNIConfig(["/bin"], cache_dir=tmp_path, exec=exec)
    net = network({"type": "p", **CAPABLE}, name="x-y")
    await cni.add_network_list(
        net, RuntimeConf("c", "", "eth0", args=[("K", "v")], capability_args={"mac": "m"})
    )
    exec.calls.clear()
    other = network({"type": "p", **CAPABLE}, name="x")
    await cni.del_network_list(other, RuntimeConf("y-c", "", "eth0"))
    [call] = exec.calls
    assert call.environ["CNI_ARGS"] == ""
    assert "runtimeConfig" not in call.config


async def test_a_check_is_given_what_its_caller_gives() -> None:
    """As in libcni. Only an operation that removes something needs everything that ADD received."""
    fake = await added()
    await fake.cni.check_network_list(network({"type": "p", **CAPABLE}), given())
    assert seen(fake) == ("", None)


@pytest.mark.parametrize("pair", [["K", "a;b"], ["K;", "v"], ["K", "a\0b"], ["K", "x" * 200_000]])
@pytest.mark.parametrize("how", ["del", "del_attachment", "gc"])
async def test_args_in_a_record_that_no_plugin_can_receive(
    caplog: pytest.LogCaptureFixture, pair: list[str], how: str
) -> None:
    """No ADD wrote such a record, and it does not keep the container attached for ever."""
    fake = await added()
    record = json.loads(fake.cache.records[KEY])
    fake.cache.records[KEY] = json.dumps({**record, "cniArgs": [pair]}).encode()
    net = network({"type": "p", **CAPABLE})
    if how == "del":
        await fake.cni.del_network_list(net, given())
    elif how == "gc":
        await fake.cni.gc_network_list(net, GCArgs())
    else:
        [attachment] = await fake.cni.get_cached_attachments()
        await fake.cni.del_attachment(attachment)
    [call] = [call for call in fake.exec.calls if call.command == "DEL"]
    assert call.environ["CNI_ARGS"] == ""
    assert call.config["prevResult"] is not None
    assert not fake.cache.records
    assert "goes on without the args of its ADD: CNI_ARGS cannot carry" in caplog.text

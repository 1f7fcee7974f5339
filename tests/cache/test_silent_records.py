"""Records without the attachment's namespace, as libcni before 1.2 wrote them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cni_async import GCArgs, NetworkAttachment, RuntimeConf
from tests.support.chains import KEY, Runtime, network, runtime

pytestmark = pytest.mark.anyio

NET = network("a")
BLUE = "/run/netns/blue"
HOST_SIDE = {"name": "veth1", "mac": "02:00:00:00:00:01"}
INSIDE = {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": BLUE}
versions = pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])


def result(*interfaces: object, version: str = "1.0.0") -> dict[str, Any]:
    ips = [{"version": "4", "interface": 1, "address": "10.0.0.2/24"}]
    return {"cniVersion": version, "interfaces": interfaces, "ips": ips, "dns": {}}


def record(result: object, **more: object) -> bytes:
    whole = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(NET.raw).decode(),
        "ifName": "eth0",
        "networkName": "net",
        **more,
    }
    return json.dumps(whole if result is None else {**whole, "result": result}).encode()


def kept(content: bytes) -> Runtime:
    fake = runtime()
    fake.cache.records[KEY] = content
    return fake


async def only(fake: Runtime) -> NetworkAttachment:
    [attachment] = await fake.cni.get_cached_attachments()
    return attachment


def namespaces(fake: Runtime, command: str = "DEL") -> list[str]:
    return [call.environ["CNI_NETNS"] for call in fake.exec.calls if call.command == command]


@versions
async def test_the_result_knows_it(version: str) -> None:
    fake = kept(record(result(HOST_SIDE, INSIDE, version=version)))
    assert (await only(fake)).netns == BLUE
    cached = await fake.cni.get_network_list_cached_config(NET, RuntimeConf("c1", "", "eth0"))
    assert cached is not None
    assert cached.runtime.netns == BLUE


async def test_del_attachment() -> None:
    fake = kept(record(result(HOST_SIDE, INSIDE)))
    await fake.cni.del_attachment(await only(fake))
    assert namespaces(fake) == [BLUE]


async def test_gc() -> None:
    fake = kept(record(result(HOST_SIDE, INSIDE)))
    await fake.cni.gc_network_list(NET, GCArgs())
    assert namespaces(fake) == [BLUE]


async def test_a_del_that_names_none_means_it() -> None:
    fake = kept(record(result(HOST_SIDE, INSIDE)))
    await fake.cni.del_network_list(NET, RuntimeConf("c1", "", "eth0"))
    assert namespaces(fake) == [""]


async def test_what_the_record_says_wins() -> None:
    fake = kept(record(result(INSIDE), netns="/run/netns/green"))
    assert (await only(fake)).netns == "/run/netns/green"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}},
        {"cniVersion": "1.0.0", "interfaces": None},
        {"cniVersion": "1.0.0", "interfaces": 5},
        {"cniVersion": "1.0.0", "interfaces": [None, {"name": 5}, {"name": "eth0"}]},
        result(HOST_SIDE),
        result({**INSIDE, "name": "eth1"}),
        result({**INSIDE, "sandbox": ""}),
        # An interface made for a microVM has the microVM's ID as its sandbox.
        result({**INSIDE, "sandbox": "c1"}),
    ],
)
async def test_nobody_knows_it(answer: object) -> None:
    fake = kept(record(answer))
    attachment = await only(fake)
    assert attachment.netns == ""
    await fake.cni.del_attachment(attachment)
    assert namespaces(fake) == [""]


async def test_of_several_interfaces_of_that_name_the_one_inside_counts() -> None:
    fake = kept(record(result({"name": "eth0"}, {**INSIDE, "sandbox": "c1"}, INSIDE)))
    assert (await only(fake)).netns == BLUE


async def test_a_result_is_not_read_where_the_record_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A listing may read ten thousand records, so it decodes a result only where it must."""
    from cni_async.cache import record as module

    monkeypatch.setattr(module, "_SANDBOXES", None)
    fake = kept(record(result(INSIDE), netns=BLUE))
    assert (await only(fake)).netns == BLUE

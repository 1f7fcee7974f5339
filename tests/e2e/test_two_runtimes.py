"""Go's libcni and cni_async on one host with one cache, through their APIs; see test_cnitool.py.

One runtime adds an attachment; the other checks, collects and deletes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
import pytest

from cni_async import (
    GCArgs,
    GCAttachment,
    NetworkConfig,
    NetworkConfigList,
    RuntimeConf,
    conf_from_bytes,
)
from tests.interop.oracle import Oracle, programs

from .host import Host
from .networks import CAPABILITY_ARGS, SUBNET, SUBNET6, bridge, full, network, simple, sturdy

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

Network: TypeAlias = NetworkConfigList | NetworkConfig
Valid: TypeAlias = Sequence[tuple[str, str]]


class Runtime(Protocol):
    """The operations that both runtimes have."""

    async def add(self, net: Network, rt: RuntimeConf) -> dict[str, Any]: ...

    async def check(self, net: Network, rt: RuntimeConf) -> None: ...

    async def delete(self, net: Network, rt: RuntimeConf) -> None: ...

    async def collect(self, net: NetworkConfigList, valid: Valid) -> None: ...

    async def cached(self, net: NetworkConfigList, rt: RuntimeConf) -> RuntimeConf: ...


class Go:
    """libcni."""

    def __init__(self, host: Host, oracle: Oracle) -> None:
        self._host = host
        self._oracle = oracle

    async def add(self, net: Network, rt: RuntimeConf) -> dict[str, Any]:
        """Add an attachment and return its result."""
        result: dict[str, Any] = json.loads(self._ask("add", net, rt)["text"])
        return result

    async def check(self, net: Network, rt: RuntimeConf) -> None:
        """Check an attachment."""
        self._ask("check", net, rt)

    async def delete(self, net: Network, rt: RuntimeConf) -> None:
        """Delete an attachment."""
        self._ask("del", net, rt)

    async def collect(self, net: NetworkConfigList, valid: Valid) -> None:
        """Collect the attachments that are not valid."""
        self._ask(
            "gc",
            net,
            valid=[{"containerID": container_id, "ifname": name} for container_id, name in valid],
        )

    async def cached(self, net: NetworkConfigList, rt: RuntimeConf) -> RuntimeConf:
        """Return the runtime configuration with which an attachment was added."""
        found = self._ask("cached_config", net, rt)
        args = [(key, value) for key, value in found["args"] or ()]
        return RuntimeConf(
            rt.container_id,
            rt.netns,
            rt.ifname,
            args=args,
            capability_args=found["capabilityArgs"] or {},
        )

    def _ask(self, op: str, net: Network, rt: RuntimeConf | None = None, **fields: Any) -> Any:
        if rt is not None:
            fields["runtime"] = {
                "containerID": rt.container_id,
                "netns": rt.netns,
                "ifname": rt.ifname,
                "args": [list(pair) for pair in rt.args],
                "capabilityArgs": msgspec.to_builtins(rt.capability_args),
            }
        answer = self._oracle.ask(
            op,
            path=[str(self._host.plugins)],
            cacheDir=str(self._host.cache),
            data=net.raw,
            single=isinstance(net, NetworkConfig),
            **fields,
        )
        assert answer.error is None, answer.error.text
        return answer.result


class Ours:
    """cni_async."""

    def __init__(self, host: Host) -> None:
        self._cni = host.cni

    async def add(self, net: Network, rt: RuntimeConf) -> dict[str, Any]:
        """Add an attachment and return its result."""
        if isinstance(net, NetworkConfig):
            result = await self._cni.add_network(net, rt)
        else:
            result = await self._cni.add_network_list(net, rt)
        shown: dict[str, Any] = json.loads(result.to_json())
        return shown

    async def check(self, net: Network, rt: RuntimeConf) -> None:
        """Check an attachment."""
        if isinstance(net, NetworkConfig):
            await self._cni.check_network(net, rt)
        else:
            await self._cni.check_network_list(net, rt)

    async def delete(self, net: Network, rt: RuntimeConf) -> None:
        """Delete an attachment."""
        if isinstance(net, NetworkConfig):
            await self._cni.del_network(net, rt)
        else:
            await self._cni.del_network_list(net, rt)

    async def collect(self, net: NetworkConfigList, valid: Valid) -> None:
        """Collect the attachments that are not valid."""
        await self._cni.gc_network_list(net, GCArgs([GCAttachment(*each) for each in valid]))

    async def cached(self, net: NetworkConfigList, rt: RuntimeConf) -> RuntimeConf:
        """Return the runtime configuration with which an attachment was added."""
        cached = await self._cni.get_network_list_cached_config(net, rt)
        assert cached is not None
        return cached.runtime


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle(programs()) as oracle:
        yield oracle


@pytest.fixture(params=["go-adds", "cni-async-adds"])
def runtimes(request: pytest.FixtureRequest, host: Host, oracle: Oracle) -> tuple[Runtime, Runtime]:
    """Provide the runtime that adds, and the other one."""
    go, ours = Go(host, oracle), Ours(host)
    return (go, ours) if request.param == "go-adds" else (ours, go)


@pytest.mark.parametrize("cni_version", ["0.4.0", "1.1.0"])
async def test_a_chain_with_everything(
    host: Host, runtimes: tuple[Runtime, Runtime], cni_version: str
) -> None:
    one, other = runtimes
    box = host.container()
    net = full(host, SUBNET, SUBNET6, cni_version=cni_version)
    rt = box.at(capability_args=CAPABILITY_ARGS)
    await one.add(net, rt)
    await other.check(net, rt)
    await one.check(net, rt)
    await other.delete(net, rt)
    assert host.leftovers() == {}
    await one.delete(net, rt)


async def test_what_the_cache_knows_is_enough_for_the_other(
    host: Host, runtimes: tuple[Runtime, Runtime]
) -> None:
    one, other = runtimes
    box = host.container()
    net = sturdy(host)
    rt = box.at(args=[("IgnoreUnknown", "1")], capability_args=CAPABILITY_ARGS)
    await one.add(net, rt)
    host.remove(box.id)
    added = await other.cached(net, RuntimeConf(rt.container_id, rt.netns, rt.ifname))
    assert list(added.args) == [("IgnoreUnknown", "1")]
    assert added.capability_args == msgspec.to_builtins(rt.capability_args)
    await other.delete(net, added)
    assert host.wait_until_clean() == {}


async def test_a_single_plugin(host: Host, runtimes: tuple[Runtime, Runtime]) -> None:
    one, other = runtimes
    box = host.container()
    document = {"cniVersion": "1.0.0", "name": "alone", **bridge(host)}
    net = conf_from_bytes(json.dumps(document).encode())
    await one.add(net, box.at())
    await other.check(net, box.at())
    await other.delete(net, box.at())
    assert host.leftovers() == {}


async def test_interfaces_of_one_container(host: Host, runtimes: tuple[Runtime, Runtime]) -> None:
    one, other = runtimes
    box = host.container()
    net = simple(host)
    await one.add(net, box.at("eth0"))
    await other.add(net, box.at("eth1"))
    await one.add(net, box.at("eth2"))
    await other.delete(net, box.at("eth0"))
    await one.check(net, box.at("eth1"))
    await other.check(net, box.at("eth2"))
    await other.collect(net, [(box.id, "eth1")])
    assert box.links() == {"lo", "eth1"}
    await one.delete(net, box.at("eth1"))
    assert host.leftovers() == {}


async def test_the_other_collects_what_is_stale(
    host: Host, runtimes: tuple[Runtime, Runtime]
) -> None:
    one, other = runtimes
    stale, gone, valid = map(host.container, ("stale", "gone", "valid"))
    net = sturdy(host)
    for box in (stale, gone, valid):
        await one.add(net, box.at())
    host.remove("gone")
    await other.collect(net, [("valid", "eth0")])
    assert stale.links() == {"lo"}
    assert host.records() == {"net-valid-eth0"}
    assert len(host.reserved()) == 1
    await one.check(net, valid.at())
    await other.collect(net, [])
    assert host.wait_until_clean() == {}


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
async def test_a_damaged_record_is_no_obstacle_for_the_other(
    host: Host, runtimes: tuple[Runtime, Runtime], damage: str
) -> None:
    one, other = runtimes
    box = host.container()
    net = simple(host)
    await one.add(net, box.at())
    file = host.cache / "results" / f"net-{box.id}-eth0"
    record = file.read_bytes()
    damaged = {
        "truncated": record[: len(record) // 2],
        "empty": b"",
        "flipped": record.replace(b'"result":{', b'"result":z', 1),
    }[damage]
    assert damaged != record
    file.write_bytes(damaged)
    await other.delete(net, box.at())
    assert host.leftovers() == {}


async def test_the_network_has_changed_its_version(
    host: Host, runtimes: tuple[Runtime, Runtime]
) -> None:
    one, other = runtimes
    box = host.container()
    await one.add(network(bridge(host), cni_version="0.4.0"), box.at())
    now = network(bridge(host), cni_version="1.0.0")
    await other.check(now, box.at())
    await other.delete(now, box.at())
    assert host.leftovers() == {}

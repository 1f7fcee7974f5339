"""Many containers at the same time."""

from __future__ import annotations

import anyio
import pytest

from cni_async import GCArgs, NetworkConfigList
from cni_async.types import v100

from .host import Container, Host
from .networks import FIREWALL, PORTMAP, bridge, network

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def make_shared_chains(host: Host, net: NetworkConfigList) -> None:
    """Attach and detach one: plugins that want to make iptables chains at once fail at times."""
    box = host.container("first")
    await host.cni.add_network_list(net, box.at())
    await host.cni.del_network_list(net, box.at())


async def test_thirty_containers_come_and_go_at_the_same_time(host: Host) -> None:
    boxes = [host.container(f"box{number}") for number in range(30)]
    net = network(bridge(host), PORTMAP, FIREWALL)
    addresses: dict[str, str] = {}
    await make_shared_chains(host, net)

    async def attach(box: Container) -> None:
        result = v100.get_result(await host.cni.add_network_list(net, box.at()))
        addresses[box.id] = str(result.ips[0].address.ip)

    async with anyio.create_task_group() as group:
        for box in boxes:
            group.start_soon(attach, box)

    assert len(set(addresses.values())) == len(addresses) == 30
    assert host.reserved() == set(addresses.values())
    known = await host.cni.get_cached_attachments()
    assert {each.container_id for each in known} == addresses.keys()

    async with anyio.create_task_group() as group:
        for box in boxes:
            group.start_soon(host.cni.del_network_list, net, box.at())
    assert await host.cni.get_cached_attachments() == []


async def test_gc_deletes_ten_containers_at_once(host: Host) -> None:
    net = network(bridge(host), FIREWALL)
    await make_shared_chains(host, net)
    async with anyio.create_task_group() as group:
        for number in range(10):
            rt = host.container(f"box{number}").at()
            group.start_soon(host.cni.add_network_list, net, rt)

    await host.cni.gc_network_list(net, GCArgs())

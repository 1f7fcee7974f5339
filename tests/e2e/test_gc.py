"""GC releases what no valid attachment uses, and nothing else."""

from __future__ import annotations

import pytest

from cni_async import GCArgs, GCAttachment
from cni_async.capabilities import PortMapping, capability_args

from .host import Host
from .networks import PORTMAP, bridge, full, network, simple

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

NOTHING_VALID = GCArgs()


@pytest.mark.parametrize("cni_version", ["0.4.0", "1.1.0"])
async def test_a_stale_attachment_is_removed_and_a_valid_one_is_spared(
    host: Host, cni_version: str
) -> None:
    stale, valid = host.container("stale"), host.container("valid")
    net = full(host, cni_version=cni_version)
    for box in (stale, valid):
        await host.cni.add_network_list(net, box.at())
    assert host.reserved() == {"10.89.0.2", "10.89.0.3"}

    await host.cni.gc_network_list(net, GCArgs([GCAttachment("valid", "eth0")]))

    assert stale.links() == {"lo"}
    assert host.reserved() == {"10.89.0.3"}
    assert host.records() == {"net-valid-eth0"}
    assert not any("10.89.0.2/" in rule or '"stale' in rule for rule in host.rules())
    await host.cni.check_network_list(net, valid.at())

    await host.cni.gc_network_list(net, NOTHING_VALID)
    assert valid.links() == {"lo"}


async def test_one_interface_of_a_container_can_be_stale(host: Host) -> None:
    box = host.container()
    net = simple(host)
    await host.cni.add_network_list(net, box.at("eth0"))
    await host.cni.add_network_list(net, box.at("eth1"))

    await host.cni.gc_network_list(net, GCArgs([GCAttachment(box.id, "eth1")]))

    assert box.links() == {"lo", "eth1"}
    await host.cni.gc_network_list(net, NOTHING_VALID)


async def test_containers_that_are_gone_are_cleaned_up_after(host: Host) -> None:
    ports = PortMapping(8080, 80, "tcp"), PortMapping(8081, 80, "tcp")
    net = network(bridge(host), PORTMAP)
    for name, port in zip(("one", "two"), ports, strict=True):
        rt = host.container(name).at(capability_args=capability_args(port_mappings=[port]))
        await host.cni.add_network_list(net, rt)
        host.remove(name)
    assert host.rules()

    await host.cni.gc_network_list(net, NOTHING_VALID)

    assert host.wait_until_clean() == {}


async def test_other_networks_are_none_of_its_business(host: Host) -> None:
    box = host.container()
    mine, other = simple(host, name="mine"), simple(host, name="other")
    await host.cni.add_network_list(other, box.at())

    await host.cni.gc_network_list(mine, NOTHING_VALID)

    await host.cni.check_network_list(other, box.at())
    await host.cni.gc_network_list(other, None)


async def test_the_configuration_that_an_attachment_was_made_with_decides(host: Host) -> None:
    box = host.container()
    await host.cni.add_network_list(network(bridge(host, ipMasq=True)), box.at())
    now = network({"type": "bridge", "bridge": "cni0", "ipam": {"type": "static"}})

    await host.cni.gc_network_list(now, NOTHING_VALID)

    assert host.leftovers() == {}


async def test_gc_can_be_switched_off(host: Host) -> None:
    box = host.container()
    net = simple(host, disableGC=True)
    await host.cni.add_network_list(net, box.at())

    await host.cni.gc_network_list(net, NOTHING_VALID)

    await host.cni.check_network_list(net, box.at())
    await host.cni.del_network_list(net, box.at())

"""Capability args, and CNI_ARGS, as the reference plugins understand them."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from cni_async import PluginError
from cni_async.capabilities import Bandwidth, IPRange, capability_args
from cni_async.types import v100

from .host import Host
from .networks import BANDWIDTH, CAPABILITY_ARGS, PORTMAP, SUBNET, bridge, network, simple

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_ips_are_those_that_host_local_gives(host: Host) -> None:
    box = host.container()
    net = network(bridge(host, capabilities={"ips": True}))
    rt = box.at(capability_args=capability_args(ips=["10.89.0.77"]))

    result = v100.get_result(await host.cni.add_network_list(net, rt))

    assert result.ips[0].address == ip_interface("10.89.0.77/24")
    assert box.addresses() == {ip_interface("10.89.0.77/24")}
    await host.cni.del_network_list(net, rt)


async def test_ips_are_those_that_static_gives(host: Host) -> None:
    box = host.container()
    ipam = {"type": "static"}
    net = network({"type": "bridge", "bridge": "cni0", "capabilities": {"ips": True}, "ipam": ipam})
    addresses = {ip_interface("10.89.5.5/24"), ip_interface("fd00:89:5::5/64")}
    rt = box.at(capability_args=capability_args(ips=sorted(addresses, key=str)))

    await host.cni.add_network_list(net, rt)

    assert box.addresses() == addresses
    await host.cni.check_network_list(net, rt)
    await host.cni.del_network_list(net, rt)


async def test_ip_ranges_are_where_host_local_takes_addresses_from(host: Host) -> None:
    box = host.container()
    ipam = host.host_local()
    net = network(
        {"type": "bridge", "bridge": "cni0", "capabilities": {"ipRanges": True}, "ipam": ipam}
    )
    ranges = [[IPRange("10.89.6.0/24", range_start="10.89.6.60", gateway="10.89.6.254")]]
    rt = box.at(capability_args=capability_args(ip_ranges=ranges))

    result = v100.get_result(await host.cni.add_network_list(net, rt))

    assert box.addresses() == {ip_interface("10.89.6.60/24")}
    assert str(result.ips[0].gateway) == "10.89.6.254"
    await host.cni.del_network_list(net, rt)


@pytest.mark.parametrize("plugin", ["bridge", "tuning"])
async def test_mac_is_the_interfaces_hardware_address(host: Host, plugin: str) -> None:
    box = host.container()
    plugins = [bridge(host), host.tuning()]
    for each in plugins:
        if each["type"] == plugin:
            each["capabilities"] = {"mac": True}
    net = network(*plugins)
    rt = box.at(capability_args=capability_args(mac="02:00:00:00:00:42"))

    result = v100.get_result(await host.cni.add_network_list(net, rt))

    assert box.interface()["address"] == "02:00:00:00:00:42"
    macs = {each.name: each.mac for each in result.interfaces}
    assert macs["eth0"] == "02:00:00:00:00:42"
    await host.cni.check_network_list(net, rt)
    await host.cni.del_network_list(net, rt)


async def test_bandwidth_limits_both_directions(host: Host) -> None:
    box = host.container()
    net = network(bridge(host), BANDWIDTH)
    limits = Bandwidth(
        ingress_rate=8_000_000,
        ingress_burst=800_000,
        egress_rate=16_000_000,
        egress_burst=800_000,
    )
    rt = box.at(capability_args=capability_args(bandwidth=limits))

    await host.cni.add_network_list(net, rt)

    shapers = host.network.run("tc", "qdisc")
    assert "tbf 1: dev veth" in shapers
    assert "rate 8Mbit" in shapers
    assert "rate 16Mbit" in shapers
    await host.cni.check_network_list(net, rt)
    await host.cni.del_network_list(net, rt)


async def test_a_capability_that_no_plugin_declares_is_not_passed_on(host: Host) -> None:
    box = host.container()
    net = simple(host)
    rt = box.at(capability_args=capability_args(ips=["10.89.0.77"]))

    await host.cni.add_network_list(net, rt)

    assert box.addresses() == {ip_interface("10.89.0.2/24")}
    await host.cni.del_network_list(net, rt)


async def test_cni_args_ask_for_an_address(host: Host) -> None:
    box = host.container()
    net = simple(host)
    rt = box.at(args=(("IgnoreUnknown", "1"), ("IP", "10.89.0.99")))

    await host.cni.add_network_list(net, rt)

    assert box.addresses() == {ip_interface("10.89.0.99/24")}
    await host.cni.del_network_list(net, rt)


async def test_an_address_outside_of_the_ranges_is_refused(host: Host) -> None:
    box = host.container()
    net = network(bridge(host, SUBNET, capabilities={"ips": True}))
    rt = box.at(capability_args=capability_args(ips=["192.0.2.1"]))

    with pytest.raises(PluginError, match=r"192\.0\.2\.1") as caught:
        await host.cni.add_network_list(net, rt)

    assert (caught.value.plugin, caught.value.command) == ("bridge", "ADD")
    await host.cni.del_network_list(net, rt)


async def test_del_without_them(host: Host) -> None:
    """Without the port mappings of ADD portmap leaves its rules, and says that it is done."""
    box = host.container()
    net = network(bridge(host), PORTMAP)
    await host.cni.add_network_list(net, box.at(capability_args=CAPABILITY_ARGS))
    assert host.rules()

    await host.cni.del_network_list(net, box.at())

    assert host.leftovers() == {}

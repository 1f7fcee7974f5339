"""ADD and DEL: what a container gets from each kind of network, and that it gives it back."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from cni_async import CachedConfig, RuntimeConf, conf_from_bytes, load_conf_list
from cni_async.types import v040, v100

from .host import Host
from .networks import CAPABILITY_ARGS, FIREWALL, SUBNET, SUBNET6, bridge, full, network, simple

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_bridge_gives_an_interface_an_address_and_a_route(host: Host) -> None:
    box = host.container()
    net = simple(host)

    result = v100.get_result(await host.cni.add_network_list(net, box.at()))

    sandboxes = {each.name: each.sandbox for each in result.interfaces}
    assert sandboxes.keys() - {"cni0", "eth0"} < host.links()
    assert sandboxes["eth0"] == str(box.namespace)
    assert result.ips[0].address == ip_interface("10.89.0.2/24")
    assert result.ips[0].gateway == ip_address("10.89.0.1")
    assert box.addresses() == {ip_interface("10.89.0.2/24")}
    assert "default via 10.89.0.1" in box.namespace.routes()
    assert host.reserved() == {"10.89.0.2"}

    await host.cni.del_network_list(net, box.at())


@pytest.mark.parametrize("cni_version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
async def test_a_full_chain_comes_and_goes_in_every_version(host: Host, cni_version: str) -> None:
    box = host.container()
    rt = box.at(capability_args=CAPABILITY_ARGS)
    # Firewall does not know 0.3.1.
    net = full(host, cni_version=cni_version, firewall=cni_version != "0.3.1")

    result = await host.cni.add_network_list(net, rt)

    assert result.version == cni_version
    assert isinstance(result, v100.Result if cni_version >= "1" else v040.Result)
    assert json.loads(result.to_json())["ips"][0]["address"] == "10.89.0.2/24"
    assert box.addresses() == {ip_interface("10.89.0.2/24")}
    assert box.interface()["mtu"] == 1400
    assert box.namespace.run("cat", "/proc/sys/net/core/somaxconn") == "500\n"
    if cni_version != "0.3.1":
        await host.cni.check_network_list(net, rt)

    await host.cni.del_network_list(net, rt)


async def test_a_container_gets_addresses_of_both_families(host: Host) -> None:
    box = host.container()
    rt = box.at(capability_args=CAPABILITY_ARGS)
    net = full(host, SUBNET, SUBNET6)

    result = v100.get_result(await host.cni.add_network_list(net, rt))

    addresses = {ip_interface("10.89.0.2/24"), ip_interface("fd00:89::2/64")}
    assert {each.address for each in result.ips} == addresses
    assert box.addresses() == addresses
    assert host.reserved() == {"10.89.0.2", "fd00:89::2"}
    await host.cni.check_network_list(net, rt)

    await host.cni.del_network_list(net, rt)


async def test_ptp_gives_an_address_of_its_own_link(host: Host) -> None:
    box = host.container()
    routes = [{"dst": "0.0.0.0/0"}]
    ptp = {"type": "ptp", "ipMasq": True, "ipam": host.host_local(SUBNET, routes=routes)}
    net = network(ptp, FIREWALL)

    result = v100.get_result(await host.cni.add_network_list(net, box.at()))

    assert result.ips[0].address == ip_interface("10.89.0.2/24")
    assert box.addresses() == {ip_interface("10.89.0.2/24")}
    assert f"default via {result.ips[0].gateway}" in box.namespace.routes()
    await host.cni.check_network_list(net, box.at())

    await host.cni.del_network_list(net, box.at())


async def test_loopback_goes_up_and_down(host: Host) -> None:
    box = host.container()
    net = network({"type": "loopback"})
    assert "UP" not in box.interface("lo")["flags"]

    result = v100.get_result(await host.cni.add_network_list(net, box.at("lo")))

    assert [each.name for each in result.interfaces] == ["lo"]
    assert "UP" in box.interface("lo")["flags"]
    await host.cni.check_network_list(net, box.at("lo"))

    await host.cni.del_network_list(net, box.at("lo"))
    assert "UP" not in box.interface("lo")["flags"]


async def test_static_gives_the_addresses_of_the_configuration(host: Host) -> None:
    box = host.container()
    ipam = {
        "type": "static",
        "addresses": [
            {"address": "10.89.7.7/24", "gateway": "10.89.7.1"},
            {"address": "fd00:89:7::7/64"},
        ],
        "routes": [{"dst": "192.0.2.0/24", "gw": "10.89.7.254"}],
        "dns": {"nameservers": ["10.89.7.53"], "search": ["example.org"]},
    }
    net = network({"type": "bridge", "bridge": "cni0", "ipam": ipam})

    result = v100.get_result(await host.cni.add_network_list(net, box.at()))

    addresses = {ip_interface("10.89.7.7/24"), ip_interface("fd00:89:7::7/64")}
    assert {each.address for each in result.ips} == addresses
    assert box.addresses() == addresses
    assert result.dns.nameservers == ["10.89.7.53"]
    assert "192.0.2.0/24 via 10.89.7.254" in box.namespace.routes()
    await host.cni.check_network_list(net, box.at())

    await host.cni.del_network_list(net, box.at())


async def test_a_container_can_be_on_several_networks(host: Host) -> None:
    box = host.container()
    front = simple(host, name="front")
    ipam = host.host_local("10.89.1.0/24")
    back = network({"type": "bridge", "bridge": "cni1", "ipam": ipam}, name="back")

    await host.cni.add_network_list(front, box.at("eth0"))
    await host.cni.add_network_list(back, box.at("eth1"))

    assert box.addresses("eth0") == {ip_interface("10.89.0.2/24")}
    assert box.addresses("eth1") == {ip_interface("10.89.1.2/24")}
    await host.cni.del_network_list(front, box.at("eth0"))
    assert box.addresses("eth1") == {ip_interface("10.89.1.2/24")}
    await host.cni.del_network_list(back, box.at("eth1"))


async def test_a_single_plugin_needs_no_list(host: Host) -> None:
    box = host.container()
    document = {"cniVersion": "1.0.0", "name": "one", **bridge(host)}
    net = conf_from_bytes(json.dumps(document).encode())

    result = await host.cni.add_network(net, box.at())

    assert box.addresses() == {ip_interface("10.89.0.2/24")}
    assert await host.cni.get_network_cached_result(net, box.at()) == result
    await host.cni.check_network(net, box.at())
    await host.cni.del_network(net, box.at())


async def test_a_network_can_come_from_a_directory(host: Host, tmp_path: Path) -> None:
    (tmp_path / "10-net.conflist").write_bytes(simple(host, name="from-a-file").raw)
    box = host.container()
    net = await load_conf_list(tmp_path, "from-a-file")

    await host.cni.add_network_list(net, box.at())

    assert host.records() == {"from-a-file-blue-eth0"}
    await host.cni.del_network_list(net, box.at())


async def test_the_cache_knows_how_an_attachment_was_made(host: Host) -> None:
    box = host.container()
    net = simple(host)
    rt = box.at(args=(("IgnoreUnknown", "1"),), capability_args={"mac": "02:00:00:00:00:01"})

    result = await host.cni.add_network_list(net, rt)

    bare = RuntimeConf("blue", ifname="eth0")
    assert await host.cni.get_network_list_cached_result(net, bare) == result
    cached = await host.cni.get_network_list_cached_config(net, bare)
    assert cached is not None
    assert cached == CachedConfig(net.raw, rt)
    (attachment,) = await host.cni.get_cached_attachments("blue")
    assert (attachment.network, attachment.container_id, attachment.ifname) == (
        "net",
        "blue",
        "eth0",
    )
    assert (attachment.netns, attachment.config) == (str(box.namespace), net.raw)
    assert attachment.cni_args == (("IgnoreUnknown", "1"),)

    await host.cni.del_network_list(net, cached.runtime)
    assert await host.cni.get_network_list_cached_result(net, bare) is None
    assert await host.cni.get_network_list_cached_config(net, bare) is None
    assert await host.cni.get_cached_attachments() == []


async def test_what_is_attached_would_be_seen_if_it_was_left(host: Host) -> None:
    rt = host.container().at(capability_args=CAPABILITY_ARGS)
    net = full(host)

    await host.cni.add_network_list(net, rt)

    assert host.leftovers().keys() == {
        "links",
        "interfaces in containers",
        "rules",
        "addresses",
        "records",
        "notes of tuning",
    }
    await host.cni.del_network_list(net, rt)

"""CHECK, STATUS and VERSION: plugins report and change nothing."""

from __future__ import annotations

import pytest

from cni_async import (
    CheckNotSupportedError,
    PluginError,
    PluginNotFoundError,
    RuntimeConf,
    ValidationError,
)
from cni_async.capabilities import PortMapping, capability_args

from .host import Host
from .networks import FIREWALL, PORTMAP, bridge, full, network, simple, sturdy

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_check_fails_once_the_interface_is_gone(host: Host) -> None:
    box = host.container()
    net = sturdy(host)
    await host.cni.add_network_list(net, box.at())
    await host.cni.check_network_list(net, box.at())

    box.namespace.run("ip", "link", "delete", "eth0")

    with pytest.raises(PluginError, match="eth0") as caught:
        await host.cni.check_network_list(net, box.at())
    assert (caught.value.plugin, caught.value.command) == ("bridge", "CHECK")
    await host.cni.del_network_list(net, box.at())


async def test_check_fails_once_the_address_is_gone(host: Host) -> None:
    box = host.container()
    net = simple(host)
    await host.cni.add_network_list(net, box.at())

    box.namespace.run("ip", "address", "delete", "10.89.0.2/24", "dev", "eth0")

    with pytest.raises(PluginError, match=r"10\.89\.0\.2") as caught:
        await host.cni.check_network_list(net, box.at())
    assert caught.value.plugin == "bridge"
    await host.cni.del_network_list(net, box.at())


@pytest.mark.parametrize(
    ("plugin", "table", "chain"),
    [("portmap", "nat", "CNI-HOSTPORT-DNAT"), ("firewall", "filter", "CNI-FORWARD")],
)
async def test_check_fails_once_rules_are_gone(
    host: Host, plugin: str, table: str, chain: str
) -> None:
    box = host.container()
    net = network(bridge(host), PORTMAP, FIREWALL)
    ports = [PortMapping(8080, 80, "tcp")]
    rt = box.at(capability_args=capability_args(port_mappings=ports))
    await host.cni.add_network_list(net, rt)
    await host.cni.check_network_list(net, rt)

    host.network.run("iptables", "--table", table, "--flush", chain)

    with pytest.raises(PluginError) as caught:
        await host.cni.check_network_list(net, rt)
    assert (caught.value.plugin, caught.value.command) == (plugin, "CHECK")
    await host.cni.del_network_list(net, rt)


async def test_check_fails_once_it_is_deleted(host: Host) -> None:
    box = host.container()
    net = simple(host)
    await host.cni.add_network_list(net, box.at())
    await host.cni.del_network_list(net, box.at())

    with pytest.raises(PluginError):
        await host.cni.check_network_list(net, box.at())


async def test_version_0_3_1_has_no_check(host: Host) -> None:
    box = host.container()
    net = simple(host, cni_version="0.3.1")
    await host.cni.add_network_list(net, box.at())

    with pytest.raises(CheckNotSupportedError):
        await host.cni.check_network_list(net, box.at())

    await host.cni.del_network_list(net, box.at())


async def test_check_can_be_switched_off(host: Host) -> None:
    net = simple(host, disableCheck=True)

    await host.cni.check_network_list(net, RuntimeConf("never-added", "/nowhere", "eth0"))


async def test_status_is_good_where_all_plugins_are(host: Host) -> None:
    await host.cni.get_status_network_list(full(host))
    ptp = {"type": "ptp", "ipam": host.host_local("10.89.0.0/24")}
    await host.cni.get_status_network_list(network(ptp))


async def test_status_is_bad_where_a_plugin_lacks_its_ipam(host: Host) -> None:
    host.uninstall("host-local")

    with pytest.raises(PluginError, match="host-local") as caught:
        await host.cni.get_status_network_list(full(host))

    assert (caught.value.plugin, caught.value.command) == ("bridge", "STATUS")
    await host.cni.get_status_network_list(full(host, cni_version="1.0.0"))  # has no STATUS


async def test_validation_tells_the_capabilities(host: Host) -> None:
    assert await host.cni.validate_network_list(full(host)) == ["portMappings", "bandwidth"]


async def test_validation_tells_all_that_is_wrong(host: Host) -> None:
    host.uninstall("bridge")

    with pytest.raises(ValidationError) as caught:
        await host.cni.validate_network_list(
            network(bridge(host), PORTMAP, FIREWALL, cni_version="0.3.1")
        )

    missing, old = caught.value.errors
    assert isinstance(missing, PluginNotFoundError)
    assert missing.plugin == "bridge"
    assert str(old) == 'plugin firewall does not support config version "0.3.1"'


async def test_each_plugin_tells_the_versions_it_speaks(host: Host) -> None:
    plugins = {path.name for path in host.plugins.iterdir()} - {"cnitool"}
    for plugin in plugins:
        info = await host.cni.get_version_info(plugin)
        assert {"0.4.0", "1.0.0", "1.1.0"} <= set(info.supported_versions)

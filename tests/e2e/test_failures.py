"""ADDs that fail or are cancelled on the way: their errors, and a DEL that frees everything."""

from __future__ import annotations

import pytest

from cni_async import ErrorCode, PluginError, PluginNotFoundError

from .host import Host
from .networks import FIREWALL, PORTMAP, bridge, network, simple

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_a_plugin_that_fails_says_all_about_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = host.container()
    nonsense = host.tuning(sysctl={"net.core.nonsense": "1"})
    net = network(bridge(host, ipMasq=True), PORTMAP, nonsense, FIREWALL)
    # The reference plugins are silent on stderr; this makes Go's run time talk there.
    monkeypatch.setenv("GODEBUG", "inittrace=1")

    with pytest.raises(PluginError, match=r"net/core/nonsense") as caught:
        await host.cni.add_network_list(net, box.at())

    error = caught.value
    assert str(error).startswith('plugin type="tuning" failed (add): ')
    assert (error.plugin, error.command, error.exit_code) == ("tuning", "ADD", 1)
    assert error.code is ErrorCode.INTERNAL
    assert "init runtime @" in error.stderr
    assert not error.retryable
    # As with libcni, what the plugins before it made is there until DEL.
    assert host.reserved() == {"10.89.0.2"}
    assert "eth0" in box.links()
    assert host.records() == set()

    monkeypatch.undo()
    await host.cni.del_network_list(net, box.at())


async def test_an_exhausted_range_is_an_error_and_leaves_others_alone(host: Host) -> None:
    first, second = host.container("first"), host.container("second")
    only = {"subnet": "10.89.0.0/24", "rangeStart": "10.89.0.9", "rangeEnd": "10.89.0.9"}
    plugin = {"type": "bridge", "bridge": "cni0", "ipam": host.host_local(only)}
    net = network(plugin, PORTMAP, FIREWALL)
    await host.cni.add_network_list(net, first.at())

    with pytest.raises(PluginError, match="no IP addresses available") as caught:
        await host.cni.add_network_list(net, second.at())

    error = caught.value
    assert (error.plugin, error.command, error.exit_code) == ("bridge", "ADD", 1)
    assert error.code is ErrorCode.INTERNAL
    await host.cni.del_network_list(net, second.at())
    assert second.links() == {"lo"}
    assert host.reserved() == {"10.89.0.9"}
    await host.cni.check_network_list(net, first.at())
    await host.cni.del_network_list(net, first.at())


async def test_a_plugin_that_is_missing_stops_the_chain_where_it_is(host: Host) -> None:
    box = host.container()
    net = network(bridge(host), {"type": "no-such-plugin"}, FIREWALL)

    with pytest.raises(PluginNotFoundError) as caught:
        await host.cni.add_network_list(net, box.at())

    assert caught.value.plugin == "no-such-plugin"
    assert "eth0" in box.links()
    await host.cni.del_network_list(simple(host), box.at())


async def test_a_namespace_that_is_not_there_is_refused(host: Host) -> None:
    box = host.container()
    net = simple(host)
    host.remove(box.id)

    with pytest.raises(PluginError, match="failed to open netns") as caught:
        await host.cni.add_network_list(net, box.at())

    assert caught.value.plugin == "bridge"
    await host.cni.del_network_list(net, box.at())


async def test_an_interface_that_exists_is_not_replaced(host: Host) -> None:
    box = host.container()
    net = simple(host)
    result = await host.cni.add_network_list(net, box.at())

    with pytest.raises(PluginError, match="eth0"):
        await host.cni.add_network_list(net, box.at())

    assert await host.cni.get_network_list_cached_result(net, box.at()) == result
    await host.cni.del_network_list(net, box.at())

"""An ADD that is cancelled anywhere in a chain of real plugins: after a DEL nothing is left."""

from __future__ import annotations

import time

import anyio
import pytest

from cni_async import CNIConfig, PluginTimeoutError

from .host import Host
from .networks import CAPABILITY_ARGS, full, simple, sturdy

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


@pytest.mark.parametrize(
    ("plugin", "after"),
    [
        pytest.param("bridge", False, id="before-bridge"),
        pytest.param("host-local", True, id="after-host-local"),
        pytest.param("bridge", True, id="after-bridge"),
        pytest.param("portmap", True, id="after-portmap"),
        pytest.param("bandwidth", True, id="after-bandwidth"),
    ],
)
async def test_del_cleans_up_after_an_add_that_was_cancelled_in_a_plugin(
    host: Host, plugin: str, after: bool
) -> None:
    rt = host.container().at(capability_args=CAPABILITY_ARGS)
    net = full(host)
    host.hold_up(plugin, after=after)

    async with anyio.create_task_group() as group:
        group.start_soon(host.cni.add_network_list, net, rt)
        await host.held_up()
        assert host.leftovers()["processes"]
        group.cancel_scope.cancel()

    assert "processes" not in host.leftovers()
    assert host.records() == set()
    await host.cni.del_network_list(net, rt)
    assert host.leftovers() == {}


async def test_del_cleans_up_after_an_add_that_was_cancelled_at_any_time(host: Host) -> None:
    rt = host.container().at(capability_args=CAPABILITY_ARGS)
    net = full(host, firewall=False)
    started = time.monotonic()
    await host.cni.add_network_list(net, rt)
    duration = time.monotonic() - started
    await host.cni.del_network_list(net, rt)

    for step in range(8):
        with anyio.move_on_after(duration * step / 8):
            await host.cni.add_network_list(net, rt)
        assert "processes" not in host.leftovers()
        await host.cni.del_network_list(net, rt)
        host.forget_torn_notes()
        assert host.leftovers() == {}


async def test_a_cancelled_del_can_be_repeated(host: Host) -> None:
    rt = host.container().at(capability_args=CAPABILITY_ARGS)
    net = sturdy(host)
    for delay in (0.02, 0.06, 0.1):
        await host.cni.add_network_list(net, rt)
        with anyio.move_on_after(delay):
            await host.cni.del_network_list(net, rt)
        assert "processes" not in host.leftovers()
        await host.cni.del_network_list(net, rt)
        assert host.leftovers() == {}


async def test_a_plugin_that_hangs_is_ended_when_its_time_is_up(host: Host) -> None:
    box = host.container()
    net = simple(host)
    host.hold_up("host-local", after=True)
    impatient = CNIConfig(host.cni.path, cache_dir=host.cache, timeout=1)

    with pytest.raises(PluginTimeoutError) as caught:
        await impatient.add_network_list(net, box.at())

    assert (caught.value.plugin, caught.value.command) == ("bridge", "ADD")
    assert caught.value.retryable
    assert "processes" not in host.leftovers()
    await host.cni.del_network_list(net, box.at())

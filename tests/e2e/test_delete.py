"""DEL where there is little or nothing to delete any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni_async import RuntimeConf

from .host import Host
from .networks import CAPABILITY_ARGS, full, network, simple, sturdy

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_a_second_del_is_no_error(host: Host) -> None:
    rt = host.container().at(capability_args=CAPABILITY_ARGS)
    net = full(host)
    await host.cni.add_network_list(net, rt)

    await host.cni.del_network_list(net, rt)
    assert host.leftovers() == {}
    await host.cni.del_network_list(net, rt)


async def test_del_of_what_was_never_added_is_no_error(host: Host) -> None:
    await host.cni.del_network_list(full(host), host.container().at())


async def test_del_works_after_the_namespace_is_gone(host: Host) -> None:
    box = host.container()
    net = sturdy(host)
    rt = box.at(capability_args=CAPABILITY_ARGS)
    await host.cni.add_network_list(net, rt)
    assert host.rules()

    host.remove(box.id)

    await host.cni.del_network_list(net, rt)
    assert host.wait_until_clean() == {}


async def test_del_works_where_a_file_is_left_of_the_namespace(host: Host, tmp_path: Path) -> None:
    """If they received that path, bridge and other plugins would refuse every DEL."""
    box = host.container()
    net = sturdy(host)
    path = tmp_path / "blue"
    path.symlink_to(str(box.namespace))
    rt = RuntimeConf(box.id, str(path), "eth0", capability_args=CAPABILITY_ARGS)
    await host.cni.add_network_list(net, rt)
    assert host.reserved()

    host.remove(box.id)
    path.unlink()
    path.touch()

    [attachment] = await host.cni.get_cached_attachments()
    await host.cni.del_attachment(attachment)
    assert host.wait_until_clean() == {}


async def test_del_works_without_naming_the_namespace(host: Host) -> None:
    box = host.container()
    net = sturdy(host)
    await host.cni.add_network_list(net, box.at())
    host.remove(box.id)

    await host.cni.del_network_list(net, RuntimeConf(box.id, ifname="eth0"))

    assert host.wait_until_clean() == {}


async def test_del_works_after_the_interface_is_gone(host: Host) -> None:
    box = host.container()
    net = sturdy(host)
    await host.cni.add_network_list(net, box.at())

    box.namespace.run("ip", "link", "delete", "eth0")

    await host.cni.del_network_list(net, box.at())


async def test_del_works_with_what_only_the_cache_knows(host: Host) -> None:
    box = host.container()
    net = simple(host)
    await host.cni.add_network_list(net, box.at())

    (known,) = await host.cni.get_cached_attachments()
    rt = RuntimeConf(known.container_id, known.netns, known.ifname, args=known.cni_args)
    await host.cni.del_network_list(net, rt)


async def test_an_address_that_was_given_back_is_given_again(host: Host) -> None:
    only = {"subnet": "10.89.0.0/24", "rangeStart": "10.89.0.9", "rangeEnd": "10.89.0.9"}
    net = network({"type": "bridge", "bridge": "cni0", "ipam": host.host_local(only)})

    for name in ("first", "second"):
        box = host.container(name)
        await host.cni.add_network_list(net, box.at())
        assert host.reserved() == {"10.89.0.9"}
        await host.cni.del_network_list(net, box.at())

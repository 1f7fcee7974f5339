"""Data gets from one container to another, and in from outside."""

from __future__ import annotations

import pytest

from cni_async import RuntimeConf
from cni_async.capabilities import PortMapping, capability_args
from cni_async.types import v100

from .host import Container, Host
from .networks import FIREWALL, PORTMAP, SUBNET, SUBNET6, bridge, full, network
from .traffic import TCP, UDP, ask, shouting_server

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


async def test_two_containers_on_a_bridge_talk_to_each_other(host: Host) -> None:
    blue, green = host.container("blue"), host.container("green")
    net = full(host, SUBNET, SUBNET6)
    result = v100.get_result(await host.cni.add_network_list(net, blue.at()))
    await host.cni.add_network_list(net, green.at())

    with shouting_server(blue.namespace, 7000):
        for address in result.ips:
            assert ask(green.namespace, address.address.ip, 7000, "hello") == "HELLO"

    await host.cni.del_network_list(net, green.at())
    await host.cni.del_network_list(net, blue.at())


async def test_containers_behind_ptp_talk_to_the_host_and_to_each_other(host: Host) -> None:
    blue, green = host.container("blue"), host.container("green")
    routes = [{"dst": "0.0.0.0/0"}]
    net = network({"type": "ptp", "ipam": host.host_local(SUBNET, routes=routes)}, FIREWALL)
    result = v100.get_result(await host.cni.add_network_list(net, blue.at()))
    await host.cni.add_network_list(net, green.at())
    address = result.ips[0].address.ip

    with shouting_server(blue.namespace, 7000):
        assert ask(host.network, address, 7000, "i am the host") == "I AM THE HOST"
        assert ask(green.namespace, address, 7000, "i am green") == "I AM GREEN"
    with shouting_server(host.network, 7001):
        assert ask(blue.namespace, result.ips[0].gateway, 7001, "i am blue") == "I AM BLUE"

    await host.cni.del_network_list(net, blue.at())
    await host.cni.del_network_list(net, green.at())


async def test_a_mapped_port_of_the_host_reaches_the_container(host: Host) -> None:
    server, client = host.container("server"), host.container("client")
    net = network(bridge(host, SUBNET, SUBNET6), PORTMAP, FIREWALL)
    rt = server.at(
        capability_args=capability_args(
            port_mappings=[
                PortMapping(host_port=8080, container_port=80, protocol="tcp"),
                PortMapping(host_port=8053, container_port=53, protocol="udp"),
            ]
        )
    )
    await host.cni.add_network_list(net, rt)
    await host.cni.add_network_list(net, client.at())

    with shouting_server(server.namespace, 80), shouting_server(server.namespace, 53, UDP):
        assert ask(host.network, "127.0.0.1", 8080, "from the host") == "FROM THE HOST"
        for gateway in ("10.89.0.1", "fd00:89::1"):
            assert ask(client.namespace, gateway, 8080, "over tcp", TCP) == "OVER TCP"
            assert ask(client.namespace, gateway, 8053, "over udp", UDP) == "OVER UDP"
        await host.cni.check_network_list(net, rt)
        await host.cni.del_network_list(net, client.at())
        await host.cni.del_network_list(net, rt)
        with pytest.raises(AssertionError, match="ConnectionRefusedError"):
            ask(host.network, "127.0.0.1", 8080, "is anybody there?")


async def test_each_container_has_its_own_port(host: Host) -> None:
    net = network(bridge(host), PORTMAP)

    def on(port: int, box: Container) -> RuntimeConf:
        ports = [PortMapping(port, 80, "tcp")]
        return box.at(capability_args=capability_args(port_mappings=ports))

    server = host.container("server")
    first, second = on(8081, host.container("other")), on(8082, server)
    await host.cni.add_network_list(net, first)
    await host.cni.add_network_list(net, second)

    with shouting_server(server.namespace, 80):
        assert ask(host.network, "127.0.0.1", 8082, "hello") == "HELLO"
        await host.cni.del_network_list(net, first)
        assert ask(host.network, "127.0.0.1", 8082, "still there") == "STILL THERE"

    await host.cni.del_network_list(net, second)

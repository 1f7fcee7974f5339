"""The outcome of a setup, for results of each version and for odd ones."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from cni_async import DNS, Result, create_result_from_bytes
from cni_async.networks import Address, SetupResult


def result(**fields: Any) -> Result:
    """Return a result with these fields."""
    return create_result_from_bytes(json.dumps({"cniVersion": "1.1.0", **fields}).encode())


BOTH = result(
    interfaces=[
        {"name": "cni0", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1450, "sandbox": "/run/netns/a"},
    ],
    ips=[
        {"address": "2001:db8::5/64", "interface": 1},
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
    ],
    routes=[{"dst": "0.0.0.0/0"}],
    dns={"nameservers": ["10.0.0.53"], "domain": "a.example", "search": ["a", "b"]},
)


def test_interfaces() -> None:
    done = SetupResult({("a", "eth0"): BOTH})
    [interface] = done.interfaces
    assert (interface.network, interface.name) == ("a", "eth0")
    assert (interface.mac, interface.mtu) == ("02:00:00:00:00:02", 1450)
    assert interface.sandbox == "/run/netns/a"
    assert interface.addresses == (
        Address(ip_interface("2001:db8::5/64"), None),
        Address(ip_interface("10.1.0.5/16"), ip_address("10.1.0.1")),
    )
    assert done["eth0"] == interface


def test_the_address_of_the_primary_interface() -> None:
    done = SetupResult({("a", "eth0"): BOTH, ("b", "eth1"): result()})
    assert done.ip() == ip_address("10.1.0.5")
    assert done.ip("ipv6") == done.ip("cni") == ip_address("2001:db8::5")
    only = SetupResult({("a", "eth0"): result(ips=[{"address": "10.1.0.5/16"}])})
    assert only.ip("ipv6") == ip_address("10.1.0.5")
    assert SetupResult({("a", "eth0"): result()}).ip() is None
    assert SetupResult({}).ip() is None


def test_an_old_result_names_no_interfaces() -> None:
    old = create_result_from_bytes(b'{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/16"}}')
    [interface] = SetupResult({("a", "eth0"): old}).interfaces
    assert (interface.name, interface.mac) == ("eth0", "")
    assert interface.addresses == (Address(ip_interface("10.1.0.5/16"), None),)


def test_routes_and_dns_of_all_networks() -> None:
    other = result(
        routes=[{"dst": "10.2.0.0/16"}],
        dns={"nameservers": ["10.0.0.53", "10.0.0.54"], "domain": "b.example", "search": ["b"]},
    )
    done = SetupResult({("a", "eth0"): BOTH, ("b", "eth1"): other})
    assert [str(route.dst) for route in done.routes] == ["0.0.0.0/0", "10.2.0.0/16"]
    assert done.dns == DNS(["10.0.0.53", "10.0.0.54"], "a.example", ["a", "b"])
    assert BOTH.view().dns.nameservers == ["10.0.0.53"]  # the results stay as they are


@pytest.mark.parametrize("index", [-1, 7])
def test_an_address_of_an_interface_that_is_not_there(index: int) -> None:
    odd = result(
        interfaces=[{"name": "eth0", "sandbox": "/run/netns/a"}],
        ips=[{"address": "10.1.0.5/16", "interface": index}],
    )
    assert SetupResult({("a", "eth0"): odd}).interfaces[0].addresses == ()

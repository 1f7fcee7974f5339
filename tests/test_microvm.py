"""`microvm.tap`: the tap device and the guest's configuration, from a result."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from cni_async import DNS, ResultError, Route
from cni_async.microvm import tap
from cni_async.types import v020, v040
from cni_async.types.v100 import Interface, IPConfig, Result

NETNS = "/run/netns/vm1"


def result(**changes: Any) -> Result:
    """Return the result of ptp and tc-redirect-tap, with some fields replaced."""
    fields: dict[str, Any] = {
        "cni_version": "1.0.0",
        "interfaces": [
            Interface("veth0", mac="aa:aa:aa:aa:aa:aa"),
            Interface("eth0", mac="bb:bb:bb:bb:bb:bb", sandbox=NETNS),
            Interface("tap0", mac="cc:cc:cc:cc:cc:cc", sandbox=NETNS),
            Interface("tap0", mac="bb:bb:bb:bb:bb:bb", sandbox="vm1"),
        ],
        "ips": [IPConfig(ip_interface("10.1.0.5/24"), ip_address("10.1.0.1"), 3)],
        "routes": [Route(ip_interface("0.0.0.0/0"), ip_address("10.1.0.1"))],
        "dns": DNS(["10.0.0.53", "2001:db8::53", "10.0.0.54", "10.0.0.55"], search=["a.example"]),
    }
    return Result(**{**fields, **changes})


def test_a_tap_device() -> None:
    device = tap(result(), "vm1")
    assert (device.name, device.netns) == ("tap0", NETNS)
    assert (device.mac, device.mtu) == ("bb:bb:bb:bb:bb:bb", 0)
    assert device.address == ip_interface("10.1.0.5/24")
    assert device.gateway == ip_address("10.1.0.1")
    assert device.routes == (Route(ip_interface("0.0.0.0/0"), ip_address("10.1.0.1")),)
    assert device.dns.search == ["a.example"]


def test_a_result_of_an_older_version() -> None:
    older = result().get_as_version("0.4.0")
    assert isinstance(older, v040.Result)
    assert tap(older, "vm1") == tap(result(), "vm1")


def test_the_mtu_of_the_guest_or_of_the_tap_device() -> None:
    interfaces = result().interfaces
    interfaces[2].mtu = 1450
    assert tap(result(interfaces=interfaces), "vm1").mtu == 1450
    interfaces[3].mtu = 1400
    assert tap(result(interfaces=interfaces), "vm1").mtu == 1400


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"interfaces": result().interfaces[:3]},
            'the result has 0 VM interfaces (with sandbox "vm1"), not 1',
        ),
        (
            {"interfaces": [*result().interfaces, Interface("tap1", sandbox="vm1")]},
            'the result has 2 VM interfaces (with sandbox "vm1"), not 1',
        ),
        (
            {"interfaces": [Interface("tap0", sandbox="vm1")]},
            'the result has 0 tap devices "tap0", not 1',
        ),
        (
            {"interfaces": [*result().interfaces, Interface("tap0", sandbox="/run/netns/b")]},
            'the result has 2 tap devices "tap0", not 1',
        ),
        (
            {"interfaces": [Interface("tap0"), Interface("tap0", sandbox="vm1")]},
            'tap device "tap0" is in no network namespace',
        ),
        ({"ips": []}, 'VM interface "tap0" has 0 addresses, not 1'),
        ({"ips": [result().ips[0]] * 2}, 'VM interface "tap0" has 2 addresses, not 1'),
        (
            {"ips": [IPConfig(ip_interface("10.1.0.5/24"), interface=index) for index in (-1, 9)]},
            'VM interface "tap0" has 0 addresses, not 1',
        ),
        (
            {"ips": [IPConfig(ip_interface("10.1.0.5/24"))]},
            'VM interface "tap0" has 0 addresses, not 1',
        ),
    ],
)
def test_a_result_that_describes_no_vm(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ResultError) as caught:
        tap(result(**changes), "vm1")
    assert str(caught.value) == text


def test_a_result_without_interfaces() -> None:
    old = v020.Result("0.2.0", ip4=v020.IPConfig(ip_interface("10.1.0.5/24")))
    with pytest.raises(ResultError, match="0 VM interfaces"):
        tap(old, "vm1")


def test_the_kernels_parameter() -> None:
    device = tap(result(), "vm1")
    # client-ip:server-ip:gateway:netmask:hostname:device:autoconf:dns0:dns1:ntp
    assert device.ip_boot_param() == (
        "10.1.0.5::10.1.0.1:255.255.255.0::eth0:off:10.0.0.53:10.0.0.54:"
    )
    assert device.ip_boot_param("web", "") == (
        "10.1.0.5::10.1.0.1:255.255.255.0:web::off:10.0.0.53:10.0.0.54:"
    )


def test_the_kernels_parameter_without_gateway_and_name_servers() -> None:
    device = tap(result(ips=[IPConfig(ip_interface("10.1.0.5/16"), None, 3)], dns=DNS()), "vm1")
    assert device.ip_boot_param() == "10.1.0.5:::255.255.0.0::eth0:off:::"


def test_the_kernels_parameter_takes_no_ipv6_address() -> None:
    device = tap(result(ips=[IPConfig(ip_interface("2001:db8::5/64"), None, 3)]), "vm1")
    with pytest.raises(ResultError, match="takes no IPv6 address: 2001:db8::5/64"):
        device.ip_boot_param()


@pytest.mark.parametrize("word", ["a:b", "a b", "a\n"])
def test_words_that_would_end_a_field(word: str) -> None:
    device = tap(result(), "vm1")
    with pytest.raises(ValueError, match="hostname must not hold a colon or white space"):
        device.ip_boot_param(word)
    with pytest.raises(ValueError, match="device must not hold a colon or white space"):
        device.ip_boot_param(device=word)


def test_firecrackers_request() -> None:
    device = tap(result(), "vm1")
    assert device.as_firecracker("net1") == {
        "iface_id": "net1",
        "host_dev_name": "tap0",
        "guest_mac": "bb:bb:bb:bb:bb:bb",
    }
    without = result(interfaces=[Interface("t", sandbox=NETNS), Interface("t", sandbox="vm1")])
    without.ips[0].interface = 1
    assert tap(without, "vm1").as_firecracker() == {"iface_id": "eth0", "host_dev_name": "t"}

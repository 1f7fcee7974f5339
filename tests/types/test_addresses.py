"""Addresses and routes as Go reads and writes them.

See items 260-262, 265 and 269 of docs/maintainers/conformance.md.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface

import pytest
from hypothesis import given, strategies as st

from cni_async.errors import ResultError
from cni_async.types import Route
from cni_async.types.common import (
    CIDR,
    IPAddress,
    format_cidr,
    format_ip,
    is_ipv4,
    parse_cidr,
    parse_ip,
)


# The text that Go's build printed for each.
@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.2.3.30/24", "1.2.3.30/24"),  # 260: the host bits stay
        ("1.2.3.4/000024", "1.2.3.4/24"),
        ("1.2.3.4/0", "1.2.3.4/0"),
        ("1.2.3.4/32", "1.2.3.4/32"),
        ("ABCD:0:0::1/064", "abcd::1/64"),
        ("0::1.2.3.4/64", "::102:304/64"),
        ("64:ff9b::1.2.3.4/96", "64:ff9b::102:304/96"),
        ("1::2:0:0:3:0:0/64", "1:0:2::3:0:0/64"),
        ("1:0:2:3:4:5:6:7/64", "1:0:2:3:4:5:6:7/64"),
        ("1:2:3:4:5:6:7::/8", "1:2:3:4:5:6:7:0/8"),
        ("::2:3:4:5:6:7:8/8", "0:2:3:4:5:6:7:8/8"),
        ("::/128", "::/128"),
        ("::ffff:0:1.2.3.4/64", "::ffff:0:102:304/64"),
        # 265
        ("::ffff:1.2.3.4/120", "1.2.3.4/24"),
        ("::FFFF:102:304/96", "1.2.3.4/0"),
        ("0:0:0:0:0:ffff:1.2.3.4/128", "1.2.3.4/32"),
    ],
)
def test_cidr(text: str, canonical: str) -> None:
    cidr = parse_cidr(text)
    assert format_cidr(cidr) == canonical
    assert parse_cidr(canonical) == cidr
    assert parse_cidr(text) is cidr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/24",
        "1.2.3.4",  # 261: no prefix
        "1.2.3.4/",
        "1.2.3.4/255.255.255.0",
        "1.2.3/45",
        "1.2.3/8",
        "1.2.3.4/33",
        "1.2.3.4/2/4",
        "1.2.3.4/-8",
        "1.2.3.4/+8",
        "1.2.3.4/ 8",
        "1.2.3.4/8 ",
        " 1.2.3.4/8",
        "1.2.3.4/1_0",
        "1.2.3.4/\u0663",
        "\u0661.2.3.4/8",
        "01.2.3.4/8",
        "256.2.3.4/8",
        "1.2.3.4/8\0",
        "1.2.3.4/8\n",
        "1.2.3.4\n/8",
        "1.2.3.4/" + "9" * 5000,
        "fe80::1%eth0/64",
        "::1/129",
        "00001::/8",
        "1:2:3:4:5:6:7:8::/8",
        "::ffff:1.2.3.04/120",
        "<nil>",
        # 265: Go reads them as 1.2.3.4/0
        "::ffff:1.2.3.4/64",
        "::ffff:1.2.3.4/95",
        "::ffff:1.2.3.4/129",
    ],
)
def test_bad_cidr(text: str) -> None:
    with pytest.raises(ResultError) as caught:
        parse_cidr(text)
    assert str(caught.value).startswith("invalid CIDR address: ")
    if "ffff" not in text:
        assert str(caught.value) == f"invalid CIDR address: {text}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),  # 262
        ("1.2.3.4", IPv4Address("1.2.3.4")),
        ("FE80::0:1", IPv6Address("fe80::1")),
        ("::ffff:1.2.3.4", IPv4Address("1.2.3.4")),
    ],
)
def test_ip(text: str, address: IPAddress | None) -> None:
    assert parse_ip(text) == address


@pytest.mark.parametrize(
    "text", ["1.2.3.x", "1.2.3", "01.2.3.4", "1.2.3.4/8", "fe80::1%eth0", "fe80::1/64", " ", "::g"]
)
def test_bad_ip(text: str) -> None:  # 262
    with pytest.raises(ResultError) as caught:
        parse_ip(text)
    assert str(caught.value) == f"invalid IP address: {text}"


def test_mapped_addresses_of_ours_are_written_as_ipv4() -> None:  # 265
    assert format_cidr(IPv6Interface("::ffff:1.2.3.4/120")) == "1.2.3.4/24"
    assert format_ip(IPv6Address("::ffff:1.2.3.4")) == "1.2.3.4"
    assert is_ipv4(IPv6Interface("::ffff:1.2.3.4/120"))
    assert is_ipv4(IPv4Interface("1.2.3.4/24"))
    assert not is_ipv4(IPv6Interface("::1.2.3.4/24"))
    with pytest.raises(ResultError, match=r"^invalid CIDR address: .*/64$"):
        format_cidr(IPv6Interface("::ffff:1.2.3.4/64"))


def test_zones_are_not_written() -> None:
    with pytest.raises(ResultError, match=r"^invalid CIDR address: fe80::1%eth0/64$"):
        format_cidr(IPv6Interface("fe80::1%eth0/64"))
    with pytest.raises(ResultError, match=r"^invalid IP address: fe80::1%eth0$"):
        format_ip(IPv6Address("fe80::1%eth0"))


_INTERFACES = st.one_of(
    st.builds(
        lambda ip, prefix: IPv4Interface((ip, prefix)), st.ip_addresses(v=4), st.integers(0, 32)
    ),
    st.builds(
        lambda ip, prefix: IPv6Interface((ip, prefix)),
        st.ip_addresses(v=6).filter(lambda ip: isinstance(ip, IPv6Address) and not ip.ipv4_mapped),
        st.integers(0, 128),
    ),
)


@given(_INTERFACES)
def test_what_is_written_can_be_read(cidr: CIDR) -> None:
    assert parse_cidr(format_cidr(cidr)) == cidr
    assert parse_ip(format_ip(cidr.ip)) == cidr.ip


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (
            Route(ip_interface("1.2.3.0/24"), IPv4Address("1.2.3.1"), 1500, 1340, 100, 50, 253),
            "{Dst:{IP:1.2.3.0 Mask:ffffff00} GW:1.2.3.1 MTU:1500 AdvMSS:1340 Priority:100 "
            "Table:50 Scope:253}",
        ),
        (
            Route(ip_interface("fe80::1/64")),
            "{Dst:{IP:fe80::1 Mask:ffffffffffffffff0000000000000000} GW:<nil> MTU:0 AdvMSS:0 "
            "Priority:0 Table:<nil> Scope:<nil>}",
        ),
        (
            Route(parse_cidr("::ffff:10.0.0.0/104")),
            "{Dst:{IP:10.0.0.0 Mask:ff000000} GW:<nil> MTU:0 AdvMSS:0 Priority:0 Table:<nil> "
            "Scope:<nil>}",
        ),
        (
            Route(ip_interface("0.0.0.0/0"), table=0, scope=-3),
            "{Dst:{IP:0.0.0.0 Mask:00000000} GW:<nil> MTU:0 AdvMSS:0 Priority:0 Table:0 Scope:-3}",
        ),
    ],
)
def test_route_text(route: Route, text: str) -> None:  # 269
    assert str(route) == text

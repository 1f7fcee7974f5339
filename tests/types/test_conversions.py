"""Conversions among the seven versions.

See items 271-289 of docs/maintainers/conformance.md. The texts are those that libcni wrote.
"""

import copy
import itertools
import json
from ipaddress import IPv6Interface, ip_interface
from typing import Any

import pytest

from cni_async.errors import ResultError
from cni_async.types import DNS, Result, Route, create_result_from_bytes, v020, v040, v100
from cni_async.types.create import convert

VERSIONS: tuple[str, ...] = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

ROUTE = (
    '{"dst":"10.0.0.0/8","gw":"10.1.2.1","mtu":1500,"advmss":1340,"priority":100,"table":0,'
    '"scope":253}'
)
SORTED_ROUTE = (
    '{"advmss":1340,"dst":"10.0.0.0/8","gw":"10.1.2.1","mtu":1500,"priority":100,"scope":253,'
    '"table":0}'
)
DNS_TEXT = '"dns":{"nameservers":["n"],"domain":"d","search":["s"],"options":["o"]}'
SORTED_DNS = '"dns":{"domain":"d","nameservers":["n"],"options":["o"],"search":["s"]}'

OLD = (
    '"ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1","routes":[' + ROUTE + "]},"
    '"ip6":{"ip":"2001:db8::2/64","routes":[{"dst":"::/0","gw":"fe80::1"}]},' + DNS_TEXT
)
MIDDLE = (
    '"interfaces":[{"name":"eth0","mac":"m","sandbox":"/s"},{"name":"x"}],"ips":['
    '{"version":"6","address":"2001:db8::2/64"},'
    '{"version":"4","interface":0,"address":"10.1.2.3/24","gateway":"10.1.2.1"},'
    '{"version":"4","address":"10.9.2.3/24"},'
    '{"version":"x","address":"10.9.9.3/24"}],'
    '"routes":[' + ROUTE + ',{"dst":"::/0","gw":"fe80::1"}],' + DNS_TEXT
)
NEW = (
    SORTED_DNS + ',"interfaces":[{"mac":"m","mtu":1400,"name":"eth0","pciID":"0","sandbox":"/s",'
    '"socketPath":"/p"},{"name":"x"}],"ips":['
    '{"address":"2001:db8::2/64"},{"address":"10.1.2.3/24","gateway":"10.1.2.1","interface":0}],'
    '"routes":[' + SORTED_ROUTE + ',{"dst":"::/0","gw":"fe80::1"}]'
)
# The content that is left after the conversion to another family.
OLD_TO_MIDDLE = (
    '"ips":[{"version":"4","address":"10.1.2.3/24","gateway":"10.1.2.1"},'
    '{"version":"6","address":"2001:db8::2/64"}],'
    '"routes":[' + ROUTE + ',{"dst":"::/0","gw":"fe80::1"}],' + DNS_TEXT
)
OLD_TO_NEW = (
    SORTED_DNS + ',"ips":[{"address":"10.1.2.3/24","gateway":"10.1.2.1"},'
    '{"address":"2001:db8::2/64"}],'
    '"routes":[' + SORTED_ROUTE + ',{"dst":"::/0","gw":"fe80::1"}]'
)
TO_OLD = (
    '"ip4":{"ip":"10.1.2.3/24","gateway":"10.1.2.1",'
    '"routes":[{"dst":"10.0.0.0/8","gw":"10.1.2.1"}]},'
    '"ip6":{"ip":"2001:db8::2/64","routes":[{"dst":"::/0","gw":"fe80::1"}]},' + DNS_TEXT
)
MIDDLE_TO_NEW = (
    SORTED_DNS + ',"interfaces":[{"mac":"m","name":"eth0","sandbox":"/s"},{"name":"x"}],"ips":['
    '{"address":"2001:db8::2/64"},{"address":"10.1.2.3/24","gateway":"10.1.2.1","interface":0},'
    '{"address":"10.9.2.3/24"},{"address":"10.9.9.3/24"}],'
    '"routes":[' + SORTED_ROUTE + ',{"dst":"::/0","gw":"fe80::1"}]'
)
NEW_TO_MIDDLE = (
    '"interfaces":[{"name":"eth0","mac":"m","sandbox":"/s"},{"name":"x"}],"ips":['
    '{"version":"6","address":"2001:db8::2/64"},'
    '{"version":"4","interface":0,"address":"10.1.2.3/24","gateway":"10.1.2.1"}],'
    '"routes":[' + ROUTE + ',{"dst":"::/0","gw":"fe80::1"}],' + DNS_TEXT
)
EXPECTED = {
    ("old", "old"): OLD,  # 276: with all routes
    ("old", "middle"): OLD_TO_MIDDLE,  # 277
    ("old", "new"): OLD_TO_NEW,  # 278
    ("middle", "old"): TO_OLD,  # 282, 283, 288
    ("middle", "middle"): MIDDLE,  # 279
    ("middle", "new"): MIDDLE_TO_NEW,  # 280
    ("new", "old"): TO_OLD,  # 285, 288
    ("new", "middle"): NEW_TO_MIDDLE,  # 281
    ("new", "new"): NEW,  # 286: 1.0.0 gets the mtu too
}
FAMILY: dict[str, str] = dict(
    zip(VERSIONS, ["old"] * 2 + ["middle"] * 3 + ["new"] * 2, strict=True)
)


def result_of(version: str, body: str = "") -> Result:
    text = f'{{"cniVersion":"{version}"{body and ","}{body}}}'
    return create_result_from_bytes(text.encode())


@pytest.mark.parametrize(("source", "target"), list(itertools.product(VERSIONS, VERSIONS)))
def test_all_pairs(source: str, target: str) -> None:
    family = FAMILY[source]
    result = result_of(source, EXPECTED[family, family])
    converted = result.get_as_version(target)
    assert converted.to_json() == f'{{"cniVersion":"{target}",{EXPECTED[family, FAMILY[target]]}}}'
    assert converted.version == target
    assert result.to_json() == f'{{"cniVersion":"{source}",{EXPECTED[family, family]}}}'
    assert (converted is result) == (source == target)  # 272


def parts(value: Any) -> set[int]:
    """Return the identities of all mutable objects inside a result."""
    if isinstance(value, list):
        return {id(value)}.union(*map(parts, value))
    if isinstance(value, DNS | Route | v020.IPConfig | v040.IPConfig | v100.IPConfig) or hasattr(
        value, "__struct_fields__"
    ):
        inner = (parts(getattr(value, name)) for name in value.__struct_fields__)
        return {id(value)}.union(*inner)
    return set()


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(VERSIONS, 2)))
def test_nothing_is_shared(source: str, target: str) -> None:  # 276, 279, 287
    family = FAMILY[source]
    result = result_of(source, EXPECTED[family, family])
    converted = result.get_as_version(target)
    assert len(parts(result)) > 5
    assert parts(result).isdisjoint(parts(converted))


@pytest.mark.parametrize("source", VERSIONS)
def test_copies_share_nothing(source: str) -> None:  # 270
    result = result_of(source, EXPECTED[FAMILY[source], FAMILY[source]])
    duplicate = copy.deepcopy(result)
    assert duplicate == result
    assert len(parts(result)) > 5
    assert parts(result).isdisjoint(parts(duplicate))


@pytest.mark.parametrize("source", VERSIONS)
def test_empty_target_is_0_1_0(source: str) -> None:  # 271
    family = FAMILY[source]
    result = result_of(source, EXPECTED[family, family])
    assert result.get_as_version("") == result.get_as_version("0.1.0")
    assert result.get_as_version("").version == "0.1.0"


@pytest.mark.parametrize("source", VERSIONS)
@pytest.mark.parametrize("target", ["2.0.0", "1.0", "x"])
def test_unknown_pair(source: str, target: str) -> None:  # 273
    with pytest.raises(ResultError) as caught:
        result_of(source).get_as_version(target)
    assert str(caught.value) == f"no converter for CNI result version {source} to {target}"


@pytest.mark.parametrize("result", [v020.Result("1.0.0"), v100.Result("0.4.0"), v040.Result("9")])
def test_a_version_of_another_family(result: Result) -> None:
    # Go panics here.
    with pytest.raises(ResultError, match=r"^no converter for CNI result version \S+ to 0\.3\.1$"):
        result.get_as_version("0.3.1")


@pytest.mark.parametrize(
    ("result", "newest"),
    [(v020.Result(), "0.2.0"), (v040.Result(), "0.4.0"), (v100.Result(), "1.1.0")],
)
def test_no_version_is_the_newest_of_the_family(result: Result, newest: str) -> None:  # 274
    assert result.get_as_version(newest) is result
    assert result.version == newest


@pytest.mark.parametrize("module", [v020, v040, v100])
def test_get_result(module: Any) -> None:  # 275
    config = v040.IPConfig("4", ip_interface("1.2.3.4/8"))
    for result in (
        v020.Result(ip4=v020.IPConfig(ip_interface("1.2.3.4/8"))),
        v040.Result(ips=[config]),
        v100.Result(ips=[v100.IPConfig(ip_interface("1.2.3.4/8"))]),
    ):
        got = module.get_result(result)
        assert type(got) is module.Result
        assert got.version == module.IMPLEMENTED_SPEC_VERSION


@pytest.mark.parametrize(
    "result",
    [
        v020.Result(ip4=v020.IPConfig(ip_interface("1.2.3.4/8"))),
        v040.Result(ips=[v040.IPConfig("4", ip_interface("1.2.3.4/8"))]),
        v100.Result(cni_version="1.0.0", ips=[v100.IPConfig(ip_interface("1.2.3.4/8"))]),
    ],
)
def test_a_view_has_the_addresses_of_any_version(result: Result) -> None:
    view = result.view()
    assert type(view) is v100.Result
    assert (view.version, view.ips[0].address) == ("1.1.0", ip_interface("1.2.3.4/8"))
    assert view is not result
    assert view.view() is view


def test_no_view_of_an_unknown_version() -> None:
    with pytest.raises(ResultError, match=r"^no converter for CNI result version 9\.0\.0 to 1\.1"):
        v100.Result(cni_version="9.0.0").view()


def test_get_result_of_a_stranger() -> None:
    class Stranger:
        version = "3.0.0"

        def get_as_version(self, version: str, /) -> Result:
            return self

        def view(self) -> v100.Result:
            return v100.get_result(self)

        def to_json(self, indent: int | None = None) -> str:
            return "{}"

    assert isinstance(Stranger(), Result)
    with pytest.raises(ResultError, match=r"^failed to convert result$"):
        v100.get_result(Stranger())
    with pytest.raises(ResultError, match=r"^no converter for CNI result version 3\.0\.0 to 1"):
        convert(Stranger(), "1.0.0")


def test_supported_versions() -> None:  # 248
    assert v020.SUPPORTED_VERSIONS == ("", "0.1.0", "0.2.0")
    assert v040.SUPPORTED_VERSIONS == ("0.3.0", "0.3.1", "0.4.0")
    assert v100.SUPPORTED_VERSIONS == ("1.0.0", "1.1.0")


def test_the_key_says_the_version_of_an_old_address() -> None:  # 277
    body = '"ip4":{"ip":"::1/64"},"ip6":{"ip":"1.2.3.4/8"}'
    assert result_of("0.2.0", body).get_as_version("0.4.0").to_json() == (
        '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"::1/64"},'
        '{"version":"6","address":"1.2.3.4/8"}],"dns":{}}'
    )


@pytest.mark.parametrize(("source", "target"), [("0.1.0", "0.2.0"), ("0.2.0", "0.1.0")])
def test_an_old_result_without_addresses(source: str, target: str) -> None:  # 276
    converted = result_of(source, '"dns":{"domain":"d"}').get_as_version(target)
    assert converted == v020.Result(cni_version=target, dns=DNS(domain="d"))


def test_mapped_addresses_are_ipv4() -> None:  # 281, 283
    result = v100.Result(
        ips=[v100.IPConfig(IPv6Interface("::ffff:1.2.3.4/120"))],
        routes=[Route(IPv6Interface("::ffff:0.0.0.0/96"))],
    )
    assert result.get_as_version("0.2.0").to_json() == (
        '{"cniVersion":"0.2.0","ip4":{"ip":"1.2.3.4/24","routes":[{"dst":"0.0.0.0/0"}]},"dns":{}}'
    )


@pytest.mark.parametrize(
    ("ip_version", "kept"),
    [
        ("4", '"ip4":{"ip":"1.2.3.4/8"}'),
        ("6", '"ip6":{"ip":"1.2.3.4/8","routes":[{"dst":"::/0"}]}'),
    ],
)
def test_routes_without_an_address_are_dropped(ip_version: str, kept: str) -> None:  # 283
    body = f'"ips":[{{"version":"{ip_version}","address":"1.2.3.4/8"}}],"routes":[{{"dst":"::/0"}}]'
    converted = result_of("0.3.1", body).get_as_version("0.1.0")
    assert converted.to_json() == f'{{"cniVersion":"0.1.0",{kept},"dns":{{}}}}'


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("0.4.0", ""),
        ("0.3.0", '"ips":[{"version":"5","address":"1.2.3.4/8"},{"address":"1.2.3.4/8"}]'),
        ("1.0.0", ""),
        ("1.1.0", '"routes":[{"dst":"0.0.0.0/0"}]'),
    ],
)
def test_no_address_for_an_old_result(source: str, body: str) -> None:  # 284
    with pytest.raises(ResultError, match=r"^cannot convert: no valid IP addresses$"):
        result_of(source, body).get_as_version("0.2.0")


@pytest.mark.parametrize("gateways", [True, False])
def test_round_trip_of_an_old_result(gateways: bool) -> None:  # 289
    gateway = {"gw": "10.1.2.1"} if gateways else {}
    ip4 = {"ip": "10.1.2.3/24", "routes": [{"dst": "0.0.0.0/0", **gateway}]}
    ip6 = {"ip": "fd00::2/64", "gateway": "fd00::1", "routes": [{"dst": "::/0"}]}
    result = result_of("0.2.0", json.dumps({"ip4": ip4, "ip6": ip6})[1:-1])
    assert result.get_as_version("0.4.0").get_as_version("0.2.0") == result

"""Questions about results of all versions, with good and with odd addresses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.interop.wire import Question, ask

from . import words
from .documents import (
    Document,
    anything,
    arrays,
    documents,
    literals,
    member,
    mostly,
    numbers,
    object_,
    objects,
    or_odd,
    spelled,
    string,
    strings,
)

FAMILIES: Final = {
    "020": ("0.1.0", "0.2.0"),
    "040": ("0.3.0", "0.3.1", "0.4.0"),
    "100": ("1.0.0", "1.1.0"),
}
VERSIONS: Final = tuple(version for family in FAMILIES.values() for version in family)

_ODD_HOSTS: Final = """
    ::ffff:1.2.3.4 ::ffff:102:304 ::1.2.3.4 ::ffff:0:1.2.3.4 64:ff9b::1.2.3.4 fe80::1%eth0 ::%
    1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1::3:4:5:6:7:8 1:2:3:4:5:6:7:8 1:2:3:4:5:6:1.2.3.4
    1:2:3:4:5:6:7:1.2.3.4 1:2:3:4:5:6:7:8:: ABCD:0:0::1 00001::1 01::1 1:0:0:2:0:0:0:3
    1:0:0:2:3:0:0:4 ::1:: ::: :1 1: 1.2.3 1.2.3.4.5 1.2.3.256 01.2.3.4 1.2.3.04 +1.2.3.4 1.2.3.x
    0x1.2.3.4 1..2.3 .1.2.3 localhost <nil> \u0661.2.3.4 1.2.3.\uff14 ::1.2.3 ::1.2.3.256 ::01.2.3.4
    ::g 12345:: 1.2.3.4: [::1] ::ffff:1.2.3.4%x ::ffff:\u0661.2.3.4 \u0661:: ::1:2:3:4:5:6:7:8
    """
_odd_hosts = st.sampled_from(_ODD_HOSTS.split())
_hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda ip: ip.exploded.upper()),
    st.sampled_from(["10.1.2.3", "192.168.0.1", "::", "0.0.0.0", "fd00::1:0:0:1", "2001:db8::"]),
)
_prefixes = st.one_of(
    st.integers(0, 32).map(str),
    st.integers(0, 32).map(str),
    st.integers(0, 130).map(str),
    st.sampled_from(
        [
            "",
            "-1",
            "+8",
            "08",
            "008",
            "0",
            "00",
            "24 ",
            " 24",
            "\u0662",
            "1_0",
            "8x",
            "255.0.0.0",
            "129",
            "9999999999",
            "8/8",
            "000000000000000000000000024",
        ]
    ),
)


def _cidr(host: str, prefix: str) -> str:
    return f"{host}/{prefix}"


_odd_cidrs = st.one_of(
    st.builds(_cidr, _odd_hosts, _prefixes),
    st.builds(_cidr, _hosts, _prefixes),
    st.builds(_cidr, st.just("::ffff:10.0.0.1"), st.integers(90, 130).map(str)),
    _odd_hosts,
    _hosts,
    st.sampled_from(
        ["", " ", "/", "/24", " 1.2.3.4/24", "1.2.3.4/24\n", "1.2.3.4/24/24", "::1/", "1.2.3.4\0/8"]
    ),
)
_good_cidrs = st.one_of(
    st.builds(_cidr, st.ip_addresses(v=4).map(str), st.integers(0, 32).map(str)),
    st.builds(_cidr, st.ip_addresses(v=6).map(str), st.integers(0, 128).map(str)),
    st.sampled_from(["10.1.2.3/24", "fd00::3/64", "0.0.0.0/0", "::/0"]),
)
_good_ips = st.one_of(_hosts, st.sampled_from(["", "::ffff:10.0.0.1"]))

cidrs: Document = mostly(_good_cidrs, _odd_cidrs, one_in=12).map(string)
ips: Document = mostly(_good_ips, st.one_of(_odd_hosts, _odd_cidrs), one_in=12).map(string)
_small: Document = mostly(st.integers(-2, 9).map(b"%d".__mod__), numbers, one_in=6)

_unknown = st.tuples(strings, anything)
_dns: Document = objects(
    member("nameservers", arrays(strings)),
    member("domain", strings),
    member("search", arrays(strings)),
    member("options", arrays(st.one_of(strings, literals))),
)
_route: Document = documents(
    ("dst", cidrs),
    members=(
        member("dst", cidrs),
        member("gw", ips),
        member("mtu", _small),
        member("advmss", _small),
        member("priority", _small),
        member("table", _small),
        member("scope", _small),
        _unknown,
    ),
    max_size=3,
)
_routes: Document = arrays(_route, max_size=2)
_ip_config: Document = documents(
    ("address", cidrs),
    members=(
        member("version", st.sampled_from([b'"4"', b'"6"', b'"4"', b'"6"', b'""', b'"5"'])),
        member("version", st.sampled_from([b'"4"', b'"6"'])),
        member("gateway", ips),
        member("interface", _small),
        _unknown,
    ),
    max_size=3,
)
_interface: Document = documents(
    ("name", strings),
    members=(
        member("mac", strings),
        member("sandbox", strings),
        member("mtu", _small),
        member("socketPath", strings),
        member("pciID", strings),
        _unknown,
    ),
    max_size=3,
)
_ip_config_02: Document = documents(
    ("ip", cidrs),
    members=(
        member("gateway", ips),
        member("routes", _routes),
        member("routes", _routes),
        _unknown,
    ),
    max_size=2,
)
_members_02 = (
    member("ip4", _ip_config_02),
    member("ip4", _ip_config_02),
    member("ip6", _ip_config_02),
    member("dns", _dns),
    _unknown,
)
_members_later = (
    member("interfaces", arrays(_interface, max_size=2)),
    member("ips", arrays(_ip_config, max_size=3)),
    member("ips", arrays(_ip_config, max_size=3)),
    member("routes", _routes),
    member("dns", _dns),
    _unknown,
)


def _family(
    versions: tuple[str, ...], members: tuple[SearchStrategy[tuple[bytes, bytes]], ...]
) -> Document:
    version = mostly(st.sampled_from(versions), words.versions).map(string)
    return documents(
        ("cniVersion", version), members=(*members, member("cniVersion", version)), max_size=4
    )


families: Final = {
    "020": _family(FAMILIES["020"], _members_02),
    "040": _family(FAMILIES["040"], _members_later),
    "100": _family(FAMILIES["100"], _members_later),
}
results: Document = st.one_of(*families.values())


@st.composite
def readings(draw: st.DrawFn) -> Question:
    """Ask to read a result and to write it again."""
    family = draw(st.sampled_from(sorted(families)))
    data = draw(or_odd(families[family]))
    op = draw(st.sampled_from(["create_result", "create_result_from_bytes", "route_texts"]))
    if op == "create_result":
        version = mostly(st.sampled_from(FAMILIES[family]), words.versions, one_in=8)
        return ask(op, text=draw(version), data=data)
    return ask(op, data=data)


# Numbers that a float64 holds and an int64 does not.
_NO_INTEGERS: Final = (b"1.0", b"15e2", b"-0", b"1.5", b"1e21", b"9007199254740993.0")
# Go merges the values of these keys member by member if a key is repeated.
_MERGED: Final = frozenset({"ips", "routes", "interfaces", "ip4", "ip6", "dns"})


def _laced(found: dict[str, bytes], good: dict[str, Document]) -> Document:
    """Write an object with some repeated, differently spelled and unknown keys."""
    again = st.sampled_from(sorted(found)).flatmap(
        lambda key: st.tuples(
            spelled(key),
            st.just(found[key]) if key in _MERGED else st.one_of(st.just(found[key]), good[key]),
        )
    )
    more = st.lists(st.one_of(again, _unknown) if found else _unknown, max_size=2)
    usual = [(string(key), value) for key, value in found.items()]
    return st.builds(
        lambda before, after: object_([*before, *usual, *after]), mostly(st.just([]), more, 8), more
    )


@st.composite
def sound(draw: st.DrawFn, version: str, *, laced: bool = False) -> bytes:
    """Make a valid result, which can be converted.

    Args:
        version: its version.
        laced: with repeated and unknown keys, and numbers that are not integers.
    """

    def objects_of(*required: tuple[str, Document], **optional: Document) -> Document:
        needed = st.fixed_dictionaries(dict(required), optional=optional)
        if laced:
            return needed.flatmap(lambda found: _laced(found, {**dict(required), **optional}))
        return needed.map(
            lambda found: object_((string(key), value) for key, value in found.items())
        )

    number = st.one_of(st.integers(-2, 9), st.sampled_from([2**31, 2**53, 2**63 - 1])).map(
        b"%d".__mod__
    )
    if laced:
        number = mostly(number, st.sampled_from(_NO_INTEGERS))
    cidr, ip, text = _good_cidrs.map(string), _good_ips.map(string), strings
    dns = objects_of(
        nameservers=arrays(text), domain=text, search=arrays(text), options=arrays(text)
    )
    route = objects_of(
        ("dst", cidr), gw=ip, mtu=number, advmss=number, priority=number, table=number, scope=number
    )
    if version in FAMILIES["020"]:
        config = objects_of(("ip", cidr), gateway=ip, routes=arrays(route))
        whole = objects_of(
            ("cniVersion", st.just(string(version))), ip4=config, ip6=config, dns=dns
        )
    else:
        family_version = st.sampled_from([b'"4"', b'"4"', b'"6"', b'"6"', b'""', b'"x"'])
        address = objects_of(
            ("address", cidr), ("version", family_version), gateway=ip, interface=number
        )
        interface = objects_of(
            ("name", text), mac=text, sandbox=text, mtu=number, socketPath=text, pciID=text
        )
        whole = objects_of(
            ("cniVersion", st.just(string(version))),
            ("ips", arrays(address)),
            interfaces=arrays(interface),
            routes=arrays(route),
            dns=dns,
        )
    return draw(whole)


@st.composite
def conversions(draw: st.DrawFn, source: str) -> Question:
    """Ask to convert a result of this version to any other."""
    data = draw(mostly(sound(source), or_odd(families[_family_of(source)]), one_in=4))
    target = mostly(st.sampled_from(VERSIONS), words.versions)
    op = draw(st.sampled_from(["convert", "convert", "convert_twice", "get_result"]))
    match op:
        case "convert":
            return ask(op, data=data, text=draw(target))
        case "convert_twice":
            return ask(op, data=data, text=draw(target), other=draw(target))
        case _:
            return ask(op, data=data, text=draw(st.sampled_from(sorted(FAMILIES))))


def _family_of(version: str) -> str:
    return next(family for family, versions in FAMILIES.items() if version in versions)


def printed() -> SearchStrategy[Question]:
    """Ask for the result in a plugin's output."""
    config = mostly(
        words.known_versions.map(lambda version: b'{"cniVersion":%s}' % string(version)),
        or_odd(objects(member("cniVersion", words.versions.map(string)), max_size=2)),
        one_in=4,
    )

    def question(data: bytes, stdout: bytes) -> Question:
        return ask("exec_with_result", data=data, stdout=stdout, stderr=b"", code=0, signal=0)

    nothing = st.sampled_from([b"", b" ", b"null", b"{}", b"[]", b'""'])
    return st.builds(question, config, mostly(or_odd(results), nothing, one_in=12))


@st.composite
def single_faults(draw: st.DrawFn) -> Question:
    """Ask to read a result with at most one fault."""
    version = draw(st.sampled_from(VERSIONS))
    whole = json.loads(draw(sound(version)).decode("utf-8", "replace"))
    places = list(_places(whole))
    holder, key = draw(st.sampled_from(places))
    holder[key] = draw(_faults)
    data = json.dumps(whole, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    op = draw(st.sampled_from(["create_result", "create_result_from_bytes"]))
    fields = {"data": data, **({"text": version} if op == "create_result" else {})}
    return Question(op, fields, single_fault=True)


_faults: SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, 0, 1.0, 1.5, -1, 2**63, 2**70, "", "0", [], {}, [None], [{}], [[]]]
    ),
    st.one_of(_odd_hosts, _odd_cidrs),
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return the place of each member of a document: its object or array, and its key."""
    keys: Iterable[Any] = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])

"""Questions about results of all versions: read, converted, and printed by plugins."""

from __future__ import annotations

import json
from itertools import product
from typing import Any, Final

from tests.interop.wire import Question, ask

VERSIONS: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

_ROUTES: Final = [
    {"dst": "0.0.0.0/0"},
    {"dst": "10.2.0.0/16", "gw": "10.1.0.254"},
    {
        "dst": "fd01::/64",
        "gw": "fd00::1",
        "mtu": 1500,
        "advmss": 1340,
        "priority": 100,
        "table": 50,
        "scope": 253,
    },
    {"dst": "::/0", "table": 0, "scope": 0},
]
_DNS: Final = {
    "nameservers": ["10.1.0.1", "a<b"],
    "domain": "d",
    "search": ["s", "\u00e9\u2028"],
    "options": ["o"],
}


def _whole(version: str) -> dict[str, Any]:
    """Return a result with every field of its version."""
    if version < "0.3":
        four = {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": _ROUTES[:2]}
        six = {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": _ROUTES[2:]}
        return {"cniVersion": version, "ip4": four, "ip6": six, "dns": _DNS}
    addresses: list[dict[str, Any]] = [
        {"address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 2},
        {"address": "fd00::5/64", "gateway": "fd00::1", "interface": 0},
        {"address": "10.1.0.6/24", "interface": -1},
    ]
    interfaces: list[dict[str, Any]] = [
        {"name": "cni0", "mac": "aa:bb:cc:dd:ee:ff"},
        {"name": "eth0", "sandbox": "/run/netns/blue"},
    ]
    if version < "1":
        addresses = [{"version": "6" if ":" in a["address"] else "4", **a} for a in addresses]
    else:
        interfaces.append({"name": "vf", "mtu": 9000, "socketPath": "/s", "pciID": "0000:01"})
    return {
        "cniVersion": version,
        "interfaces": interfaces,
        "ips": addresses,
        "routes": _ROUTES,
        "dns": _DNS,
    }


def _data(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _empty(version: str) -> bytes:
    return b'{"cniVersion":"%s"}' % version.encode()


_ADDRESSES: Final = """
    1.2.3.30/24 1.2.3.4/0 1.2.3.4/32 1.2.3.4/33 1.2.3/24 1.2.3.4 1.2.3.4/ /24 1.2.3.4/+8 1.2.3.4/-1
    1.2.3.4/08 1.2.3.4/024 1.2.3.4/255.255.255.0 1.2.3.4/24/24 01.2.3.4/24 1.2.3.256/24 1.2.3.x/24
    ::1/128 ::1/129 ::/0 ABCD:0:0::1/064 fe80::1%eth0/64 ::ffff:1.2.3.4/120 ::ffff:1.2.3.4/96
    ::ffff:1.2.3.4/64 ::ffff:1.2.3.4/95 ::1.2.3.4/128 1:2:3:4:5:6:7::/64 1:0:0:2:0:0:0:3/64
    1:2:3:4:5:6:1.2.3.4/64 12345::/64 ::g/64 ::/1_0 <nil> localhost/8 \u0661.2.3.4/24 1.2.3.4/\u0662
    """
_GATEWAYS: Final = """
    1.2.3.4 ::1 ::ffff:1.2.3.4 1.2.3.x 1.2.3.4/24 fe80::1%eth0 01.2.3.4 ABCD:0::1 ::1.2.3.4
    """

_MEMBERS: Final = rb"""
"ips":null
"ips":[]
"ips":{}
"ips":[null]
"ips":[5]
"ips":[{}]
"ips":[{"address":null}]
"ips":[{"address":5}]
"ips":[{"version":"4","address":"1.2.3.4/24"}]
"ips":[{"version":4,"address":"1.2.3.4/24"}]
"ips":[{"address":"1.2.3.4/24","interface":0}]
"ips":[{"address":"1.2.3.4/24","interface":-7}]
"ips":[{"address":"1.2.3.4/24","interface":1.0}]
"ips":[{"address":"1.2.3.4/24","interface":"0"}]
"ips":[{"address":"1.2.3.4/24","interface":null}]
"ips":[{"address":"1.2.3.4/24","interface":9223372036854775808}]
"ips":[{"address":"1.2.3.4/24","interface":1e400}]
"ips":[{"address":"1.2.3.4/24","gateway":null}]
"ips":[{"address":"1.2.3.4/24"}],"IPS":[{"address":"1.2.3.5/24"}]
"ips":[{"address":"1.2.3.4/24","gateway":"1.2.3.1"}],"ips":[{"address":"1.2.3.5/24"}]
"ips":"x","ips":[]
"ips":[],"ips":"x"
"ips":{},"routes":[{"dst":"x"}]
"IPs":[{"ADDRESS":"1.2.3.4/24","Gateway":"1.2.3.1"}]
"interfaces":[{}]
"interfaces":[null]
"interfaces":[{"name":null,"mac":null,"mtu":0}]
"interfaces":[{"name":5}]
"interfaces":[{"name":"e","mtu":9007199254740993}]
"interfaces":[{"name":"e","mtu":-1,"pciID":"","socketPath":"s"}]
"interfaces":[{"name":"e","mtu":1.5}]
"interfaces":[{"name":"a<b&\u2028\"\\\u0000"}]
"interfaces":[{"name":"\ud83d\ude00\ud83d"}]
"routes":[{}]
"routes":[null]
"routes":[{"dst":"10.0.0.0/8","gw":""}]
"routes":[{"dst":"10.0.0.0/8","gw":5}]
"routes":[{"dst":"10.0.0.0/8","table":0,"scope":0,"mtu":0}]
"routes":[{"dst":"10.0.0.0/8","priority":-1,"advmss":9223372036854775807}]
"routes":[{"dst":"10.0.0.0/8","mtu":"x"}]
"dns":null
"dns":{}
"dns":[]
"dns":{"nameservers":null,"domain":null}
"dns":{"nameservers":[null]}
"dns":{"nameservers":[5]}
"dns":{"nameservers":["a"]},"dns":{"domain":"d"}
"dns":{"nameservers":["a"]},"DNS":{"NameServers":["b"]}
"dns":{"search":["a","b"]},"dns":{"search":[null]}
"unknown":{"a":1e400}
"unknown":[1,{"a":null}]
"""


def _members() -> list[bytes]:
    return _MEMBERS.strip(b"\n").split(b"\n")


READ: Final[list[Question]] = [
    *(ask("create_result", text=version, data=_data(_whole(version))) for version in VERSIONS),
    *(ask("create_result_from_bytes", data=_data(_whole(version))) for version in VERSIONS),
    *(ask("create_result", text=version, data=_empty("1.1.0")) for version in ("", *VERSIONS)),
    *(ask("create_result", text=version, data=b"{}") for version in ("", *VERSIONS)),
    *(
        ask("create_result", text="1.0.0", data=data)
        for data in (b"", b"null", b"[]", b'"x"', b"5", b"{", b'{"cniVersion":"1.0.0"}x')
    ),
    *(
        ask("create_result_from_bytes", data=data)
        for data in (
            b"",
            b"null",
            b"{}",
            b"[]",
            b"{",
            b'{"cniVersion":""}',
            b'{"cniVersion":null}',
            b'{"cniVersion":5}',
            b'{"cniVersion":"0.4567.0"}',
            b'{"cniVersion":"1.0"}',
            b'{"CNIVERSION":"1.0.0"}',
            b'{"cniVersion":"1.0.0","CniVersion":"1.1.0"}',
            b'{"cniVersion":{},"cniVersion":"1.0.0"}',
        )
    ),
    *(ask("create_result", text=version, data=b"") for version in ("7.0.0", "zz")),
    *(
        ask("create_result", text="1.1.0", data=b'{"cniVersion":"1.1.0",%s}' % member)
        for member in _members()
    ),
    *(
        ask("create_result", text="0.4.0", data=b'{"cniVersion":"0.4.0",%s}' % member)
        for member in _members()[:20]
    ),
    *(
        ask(
            "create_result",
            text="1.0.0",
            data=_data({"cniVersion": "1.0.0", "ips": [{"address": each}]}),
        )
        for each in (*_ADDRESSES.split(), "", " 1.2.3.4/24", "1.2.3.4/24 ", "1.2.3.4/24\n")
    ),
    *(
        ask(
            "create_result",
            text="0.2.0",
            data=_data({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8", "gateway": each}}),
        )
        for each in (*_GATEWAYS.split(), "", " ")
    ),
    *(
        ask("create_result", text="0.2.0", data=b'{"ip4":%s}' % member)
        for member in (
            b"null",
            b"{}",
            b"[]",
            b'{"ip":"10.0.0.1/8","routes":null}',
            b'{"ip":"10.0.0.1/8","routes":[{"dst":"x"}]}',
            b'{"ip":"fd00::1/8"}',
            b'{"ip":"10.0.0.1/8"},"ip4":{"gateway":"10.0.0.2"}',
            b'{"ip":"10.0.0.1/8"},"ip4":null',
        )
    ),
    ask("route_texts", data=_data({"cniVersion": "1.1.0", "routes": _ROUTES})),
    ask("route_texts", data=b'{"cniVersion":"1.1.0","routes":[{"dst":"::ffff:10.0.0.0/104"}]}'),
]

_NO_ADDRESS: Final = {"cniVersion": "1.0.0", "routes": [{"dst": "10.0.0.0/8"}]}
_ONLY_FOUR: Final = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}], "routes": _ROUTES}
_ONLY_SIX: Final = {"cniVersion": "1.0.0", "ips": [{"address": "fd00::5/64"}], "routes": _ROUTES}
_ODD_VERSIONS: Final = {
    "cniVersion": "0.4.0",
    "ips": [
        {"version": "x", "address": "10.0.0.1/8"},
        {"version": "6", "address": "10.0.0.2/8"},
        {"version": "", "address": "fd00::1/8"},
        {"version": "4", "address": "fd00::2/8"},
    ],
}

CONVERTED: Final[list[Question]] = [
    *(
        ask("convert", data=_data(_whole(source)), text=target)
        for source, target in product(VERSIONS, VERSIONS)
    ),
    *(ask("convert", data=_data(_whole(source)), text="") for source in VERSIONS),
    *(ask("convert", data=_data(_whole(source)), text="2.0.0") for source in VERSIONS),
    *(
        ask("convert", data=_data(document), text=target)
        for document in (_NO_ADDRESS, _ONLY_FOUR, _ONLY_SIX, _ODD_VERSIONS)
        for target in ("0.2.0", "0.3.1", "1.1.0")
    ),
    *(
        ask("convert", data=_empty(source), text=target)
        for source, target in product(("0.2.0", "0.4.0", "1.0.0"), repeat=2)
    ),
    *(
        ask("convert_twice", data=_data(_whole(source)), text=target, other=source)
        for source, target in product(("0.2.0", "0.3.1", "1.1.0"), repeat=2)
    ),
    *(
        ask("get_result", data=_data(_whole(source)), text=family)
        for source, family in product(("0.1.0", "0.3.0", "1.0.0"), ("020", "040", "100"))
    ),
    ask(
        "convert",
        data=b'{"cniVersion":"1.0.0","ips":[{"address":"::ffff:1.2.3.4/120"}]}',
        text="0.4.0",
    ),
    ask(
        "convert",
        data=b'{"cniVersion":"0.4.0","interfaces":[{"name":"e","mtu":9007199254740993}],"routes":[{"dst":"10.0.0.0/8","mtu":9007199254740993}]}',
        text="1.1.0",
    ),
]


def _printed(config: bytes, stdout: bytes) -> Question:
    return ask("exec_with_result", data=config, stdout=stdout, stderr=b"", code=0, signal=0)


PRINTED: Final[list[Question]] = [
    *(
        _printed(b'{"cniVersion":"1.0.0"}', stdout)
        for stdout in (
            b"",
            b" ",
            b"null",
            b"{}",
            b"[]",
            b'"x"',
            b"{",
            b"{}x",
            b"{}{}",
            b"{}\n\t ",
            b"\xef\xbb\xbf{}",
            b'{"cniVersion":""}',
            b'{"cniVersion":null}',
            b'{"cniVersion":5}',
            b'{"cniVersion":{}}',
            b'{"cniVersion":"7.0.0"}',
            b'{"cniVersion":"0.4.0","ips":[{"version":"4","address":"1.2.3.4/24"}]}',
            b'{"cniVersion":"1.1.0"}',
            b'{"CNIVersion":"0.4.0"}',
            b'{"CNIVersion":"1.1.0"}',
            b'{"cniversion":"1.1.0"}',
            b'{"cniVersion":"","cniVersion":"0.4.0"}',
            b'{"cniVersion":"0.4.0","cniVersion":""}',
            b'{"ips":[{"address":"1.2.3.4/24","interface":0.0}]}',
            b'{"cniVersion":"1.0.0","ips":[{"address":"1.2.3.4/24","interface":0.0}]}',
            b'{"ips":[{"address":"x"}]}',
            b'{"ips":[{}]}',
            b'{"x":1e400}',
            b'{"cniVersion":"1.0.0","x":1e400}',
            b'{"interfaces":[{"name":"\xff"}]}',
            b'{"interfaces":[{"name":"e","mtu":9007199254740993}]}',
            b'{"code":7,"msg":"exit 0 all the same"}',
        )
    ),
    *(
        _printed(config, b"{}")
        for config in (
            b"{}",
            b"null",
            b'{"cniVersion":""}',
            b'{"cniVersion":"0.4.0"}',
            b'{"cniVersion":"7.0.0"}',
            b'{"cniVersion":5}',
            b'{"CNIVERSION":"1.1.0"}',
            b"[]",
            b"{",
            b"",
        )
    ),
    _printed(b"{}", b'{"ip4":{"ip":"1.2.3.4/24"}}'),
    _printed(b"{", b"{"),
]

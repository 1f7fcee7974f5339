"""Questions about configurations, with the numbers of docs/maintainers/conformance.md."""

from __future__ import annotations

from typing import Any, Final

from tests.interop.wire import Question, ask

_SINGLE: Final = rb"""
{"type":"bridge"}
{"cniVersion":"1.0.0","name":"n","type":"bridge","mtu":1500,"isGateway":true,"ipam":{"type":"host-local","subnet":"10.1.0.0/16"},"dns":{"nameservers":["10.1.0.1"],"domain":"d","search":["s"],"options":["o"]}}
{}
null
{"type":""}
{"type":null}
{"type":5}
{"type":[]}
{"name":"n"}
[]
"bridge"
5
true
{"type":"t"
{"type":"t",}
{"type":"t"}x
{"type":"t"}{}
{type:"t"}
{'type':'t'}
{"type":"t","x":tru}
{"type":"t","x":01}
{"type":"t","x":+1}
{"type":"t","x":1.}
{"type":"t","x":.5}
{"type":"t","x":0x10}
{"type":"t","x":NaN}
{"type":"t","x":Infinity}
{"type":"t","x":"\x"}
{"type":"t","x":"\u12"}
{"type":"t","x":"	"}
{"type":"t" "x":1}
{"type":"t","x" 1}
{"type":"t","x":1e400}
{"type":"t","prevResult":{"x":1e400}}
{"type":"t","prevResult":{"x":9007199254740993,"y":1.0,"z":1e3,"big":1e21,"small":1e-7}}
{"type":"t","prevResult":{"a":1},"prevResult":{"b":2}}
{"type":"t","prevResult":{"a":1},"prevResult":null}
{"type":"t","prevResult":[]}
{"type":"t","prevResult":"x"}
{"type":"t","prevresult":{"a":1}}
{"type":"t","cniVersion":5}
{"type":"t","cniVersion":null}
{"type":"t","cniVersion":"garbage"}
{"type":"t","name":{}}
{"type":"t","name":"../evil"}
{"type":"t","ipam":null}
{"type":"t","ipam":[]}
{"type":"t","ipam":{}}
{"type":"t","ipam":{"type":5}}
{"type":"t","ipam":{"type":null}}
{"type":"t","ipam":{"TYPE":"x"}}
{"type":"t","ipam":{"type":"a"},"ipam":{"type":"b"}}
{"type":"t","ipam":{"type":"a"},"ipam":{}}
{"type":"t","ipam":{"type":"a"},"ipam":null}
{"type":"t","dns":null}
{"type":"t","dns":[]}
{"type":"t","dns":{"domain":5}}
{"type":"t","dns":{"nameservers":"x"}}
{"type":"t","dns":{"nameservers":[5]}}
{"type":"t","dns":{"nameservers":[null,"a"]}}
{"type":"t","dns":{"nameservers":["a"],"search":["s"]},"dns":{"nameservers":["b","c"]}}
{"type":"t","dns":{"nameservers":["a","b"]},"dns":{"nameservers":[null]}}
{"type":"t","capabilities":null}
{"type":"t","capabilities":[]}
{"type":"t","capabilities":{"a":true,"b":false}}
{"type":"t","capabilities":{"a":null}}
{"type":"t","capabilities":{"a":"true"}}
{"type":"t","capabilities":{"a":1}}
{"type":"t","capabilities":{"a":true},"capabilities":{"b":true}}
{"type":"t","capabilities":{"a":true},"capabilities":null}
{"type":"t","capabilities":{"a":true},"Capabilities":{"a":false}}
{"type":"t","cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}
{"type":"t","cni.dev/valid-attachments":[{}]}
{"type":"t","cni.dev/valid-attachments":[]}
{"type":"t","cni.dev/valid-attachments":null}
{"type":"t","cni.dev/valid-attachments":{}}
{"type":"t","cni.dev/valid-attachments":[5]}
{"type":"t","cni.dev/valid-attachments":[{"containerID":5}]}
{"type":"t","cni.dev/valid-attachments":[{"ContainerId":"c","IFNAME":"e"}]}
{"TyPe":"t","CNIVERSION":"1.0.0","NAME":"n"}
{"type":"a","TYPE":"b"}
{"TYPE":"b","type":"a"}
{"type":"a","type":"b"}
{"type":"a","type":5}
{"type":5,"type":"a"}
{"type":"a","type":null}
{"\u0074ype":"t"}
{"type ":"t"}
{"type\u0000":"t"}
{"type":"t","name":"\ud83d\ude00"}
{"type":"t","name":"\ud83d"}
{"type":"t","name":"\ude00\ud83d"}
{"type":"t","name":"\ud83dA"}
{"type":"t","name":"<&>\u2028\u2029"}
{"type":"t","name":"a\/b\b\f\n\r\t\"\\"}
{"type":"t","args":{"cni":{"x":1}},"runtimeConfig":{"a":1},"cni.dev/x":1,"unknown":[1,{"a":null}]}
"""

_SINGLE_ODD: Final = (
    b"",
    b" ",
    b"\0",
    b"{",
    b'{"type":"t"}\n\t\r ',
    b'{"type":"t"}\0',
    b'\xef\xbb\xbf{"type":"t"}',
    '{"type":"t"}'.encode("utf-16"),
    b'{"type":"t\xff"}',
    b'{"type":"t","name":"\xed\xa0\x80"}',
    b'{"type":"t","name":"\xe2\x82"}',
    b'{"type":"t","\xff":1,"\xfe":2}',
    b'{"type":"t","x":"\0"}',
    b'{"type":"t","x":"\n"}',
    b'{"type":"t"\xff}',
    b'{"type":"t"}\xff',
    '{"type":"t","ca\u017fpabilities":{"a":true}}'.encode(),
    '{"type":"t","cniVer\u017fion":"1.0.0"}'.encode(),
    '{"type":"t","name":"\u00e9\u65e5\U0001f600"}'.encode(),
)


def _lines(text: bytes) -> list[bytes]:
    return text.strip(b"\n").split(b"\n")


SINGLE: Final[list[Question]] = [
    *(ask("conf_from_bytes", data=data) for data in (*_lines(_SINGLE), *_SINGLE_ODD)),
    # 73-75
    *(
        ask("conf_list_from_conf", data=data)
        for data in _lines(
            rb"""
{"type":"bridge"}
{"cniVersion":"0.4.0","name":"n","type":"bridge","z":1,"a":2}
{"name":"n","type":"bridge","disableCheck":true,"disableGC":"true","cniVersions":["1.0.0"]}
{"NAME":"n","type":"bridge"}
{"name":"n","type":"bridge","mtu":1500.0,"big":9007199254740993}
{"name":"a<b&c>\u2028","type":"bridge"}
{"type":"bridge","x":1e400}
{"cniVersion":"garbage","type":"bridge"}
{"type":"a","type":"b","x":{"b":1,"a":2,"b":3}}
"""
        )
    ),
]

_NETWORK: Final = b'{"name":"n","plugins":[{"type":"t"}]%s}'
_LIST_KEYS: Final = rb"""
,"cniVersion":"1.0.0"
,"cniVersion":""
,"cniVersion":"1.2.3"
,"cniVersion":"99.0.0"
,"cniVersion":"garbage"
,"cniVersion":null
,"cniVersion":1.0
,"cniVersion":[]
,"CNIVERSION":"1.0.0"
,"name":"later"
,"name":null
,"name":5
,"Name":"x"
,"disableCheck":true
,"disableCheck":false
,"disableCheck":"true"
,"disableCheck":"FALSE"
,"disableCheck":"Yes"
,"disableCheck":"adsf"
,"disableCheck":""
,"disableCheck":1
,"disableCheck":null
,"disableCheck":[]
,"disableCheck":{}
,"DISABLECHECK":true
,"disableGC":true
,"disableGC":"tRuE"
,"disableGC":"a\"b"
,"disableGC":0
,"disableGC":null
,"disableCheck":"x","disableGC":5
,"plugins":null
,"plugins":{}
,"plugins":"x"
,"plugins":[]
,"plugins":[null]
,"plugins":["x"]
,"plugins":[5]
,"plugins":[[]]
,"plugins":[{}]
,"plugins":[{"type":"a"},{"type":5}]
,"plugins":[{"type":"a"},{"type":"b","ipam":[]}]
,"plugins":[{"type":"b","mtu":1400},{"type":"a","z":1,"a":{"d":1,"c":[]},"B":0}]
,"plugins":[{"type":"t","a":1500.0,"b":1e3,"c":1e20,"d":1e21,"e":1e-6,"f":1e-7,"g":-0,"h":-0.0,"i":0.1}]
,"plugins":[{"type":"t","a":12345678901234567890,"b":9007199254740993,"c":-9223372036854775809}]
,"plugins":[{"type":"t","a":5.987866406221613e+16,"b":1234567890123456789.0,"c":12345678901234567890123}]
,"plugins":[{"type":"t","a":1e400}]
,"plugins":[{"type":"t","a":"<&>\u2028\u2029\u00e9\ud83d\ude00"}]
,"plugins":[{"type":"t","a":"\ud83d","\ude00":1}]
,"plugins":[{"type":"t","TYPE":"u"}]
,"plugins":[{"TYPE":"u","Type":"v"}]
,"plugins":[{"type":"t","Capabilities":{"a":true},"capabilities":{"b":true}}]
,"plugins":[{"type":"t","prevResult":{"b":1,"a":2}}]
,"plugins":[{"type":"t","type":"u"}]
,"cniVersions":[]
,"cniVersions":null
,"cniVersions":"1.0.0"
,"cniVersions":{}
,"cniVersions":true
,"cniVersions":[1.0]
,"cniVersions":["1.0.0",null]
,"cniVersions":["1.0.0","0.4.0"]
,"cniVersions":["0.4.0","1.1.0","1.0.0"]
,"cniVersions":["0.3.1"],"cniVersion":"1.0.0"
,"cniVersions":["1.0.0"],"cniVersion":"0.3.1"
,"cniVersions":["1.0.0"],"cniVersion":"2.0.0"
,"cniVersions":["8.0.0","1.0.0"],"cniVersion":"2.0.0"
,"cniVersions":["8.0.0"]
,"cniVersions":["8.0.0"],"cniVersion":"9.0.0"
,"cniVersions":["8.0.0"],"cniVersion":"1.0.0"
,"cniVersions":["1.0.f"]
,"cniVersions":["1.0.0.0"]
,"cniVersions":[""]
,"cniVersions":["","0.2.0"]
,"cniVersions":["1.0"]
,"cniVersions":["1","1.0"]
,"cniVersions":["+1.0.0"]
,"cniVersions":["0.-42.0"]
,"cniVersions":["1.0.0"],"cniVersion":"bad"
,"cniVersions":[],"cniVersion":"bad"
,"cniVersions":[],"cniVersion":"9.0.0"
,"cniVersions":["99999999999999999999.0.0"]
,"unknown":{"a":[1,2]}
,"loadOnlyInlinedPlugins":"nonsense"
"""

LISTS: Final[list[Question]] = [
    ask("conf_list_from_bytes", data=_NETWORK % keys)
    for keys in (
        b"",
        *_lines(_LIST_KEYS),
        b',"disableCheck":"K\xc5\xbf"',
        b',"disableCheck":"tr\xc4\xb0e"',
        b',"disableCheck":"\xce\xa3\xce\xa3"',
        b',"plugins":[{"type":"t","a":"\xff\xed\xa0\x80"}]',
    )
] + [
    ask("conf_list_from_bytes", data=data)
    for data in (
        *_lines(
            rb"""
{}
null
[]
"x"
{"name":"n"}
{"name":null}
{"name":5}
{"name":true}
{"name":[]}
{"name":{}}
{"Name":"n","plugins":[{"type":"t"}]}
{"name":"","plugins":[{"type":"t"}]}
{"name":"a/b c","plugins":[{"type":"t"}]}
{"name":5,"cniVersion":5,"plugins":5}
{"plugins":[]}
{"name":"n","plugins":[{"type":"t"}]
{"name":"n","plugins":[{"type":"t"}]}x
{"name":"n","plugins":[{"type":"t"}],}
"""
        ),
        b"",
        b"\xef\xbb\xbf{}",
        b'{"name":"\xff","plugins":[{"type":"t"}]}',
    )
]

NEWER: Final[list[Question]] = [
    *(
        ask("network_conf_from_bytes", data=data)
        for data in _lines(
            rb"""
{"name":"n","plugins":[{"type":"t"}]}
{"name":"n"}
{"name":"n","plugins":[]}
{"name":"n","plugins":null}
{"name":"n","plugins":{}}
{"name":"n","loadOnlyInlinedPlugins":true}
{"name":"n","loadOnlyInlinedPlugins":false}
{"name":"n","loadOnlyInlinedPlugins":"TRUE"}
{"name":"n","loadOnlyInlinedPlugins":"no"}
{"name":"n","loadOnlyInlinedPlugins":null}
{"name":"n","loadOnlyInlinedPlugins":1}
{"name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"t"}]}
{"name":"n","loadonlyinlinedplugins":true}
{"name":"n","disableGC":"x","loadOnlyInlinedPlugins":"x"}
{"name":"n","cniVersions":["1.0.0","1.1.0","1.2.0"],"plugins":[{"type":"t"}]}
{}
null
[]
"""
        )
    ),
    *(
        ask("network_plugin_conf_from_bytes", data=data)
        for data in (b'{"type":"t","dns":{}}', b"{}", b"[]", b"null", b"")
    ),
]


def _inject(data: bytes, values: Any) -> Question:
    return ask("inject_conf", data=data, values=values)


_VALUES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"name": "n", "cniVersion": "1.0.0"},
    {"cniVersion": ""},
    {"x": {"b": [1, 2.5, None], "a": "<&>\u2028\u00e9"}},
    {"x": 1.0, "y": 1e21, "z": 1e-7, "big": 2**63, "half": 0.5, "minus": -0.0},
    {"x": 9007199254740993},
    {"prevResult": {"cniVersion": "1.0.0", "n": 1}},
    {"prevResult": {}},
    {"runtimeConfig": {"portMappings": [{"hostPort": 1}]}},
    {"cni.dev/valid-attachments": [{"containerID": "c", "ifname": "e"}]},
    {"cni.dev/valid-attachments": []},
    {"type": "u"},
    {"type": ""},
    {"type": 5},
    {"ipam": []},
    {"capabilities": {"a": "x"}},
    {"prevResult": 5},
    {"name": None},
    {"test": None},
    {"": 1},
    {"": None},
    {"x": [None]},
    {"\u00e9": "\U0001f600"},
)
_PLUGIN: Final = b'{"type":"t","name":"own","b":1,"a":2}'
INJECTIONS: Final[list[Question]] = [
    *(_inject(_PLUGIN, values) for values in _VALUES),
    *(
        _inject(data, {"name": "n", "cniVersion": "1.0.0"})
        for data in (
            b"",
            b"{",
            b"[]",
            b'"x"',
            b"null",
            b"{}",
            b'{"type":"t","x":1e400}',
            b'{"type":"t","x":9007199254740993,"y":1.0}',
            b'{"type":"t","x":1,"x":2}',
            b'{"type":"t","name":5}',
            b'{"type":"t","x":"\xff\\ud800"}',
            b'{"type":"t","Type":"u"}',
            b'{"type":"t","cniversion":"0.4.0","NAME":"x"}',
            b'{"type":"t","CNIVERSION":"0.4.0"}',
            b'{"type":"t","cniversion":5}',
            b'{"type":"t","capabilities":{"a":true}}',
        )
    ),
    _inject(b"null", {}),
    _inject(b"null", {"name": None}),
    _inject(b'{"type":"t","prevresult":{"a":1}}', {"prevResult": {"b": 1}}),
    _inject(b'{"type":"t","runtimeconfig":{"a":1}}', {"runtimeConfig": {"b": 1}}),
]


def _previous(version: bytes, result: bytes) -> Question:
    document = b'{"cniVersion":"%s","type":"t","prevResult":%s}' % (version, result)
    return ask("parse_prev_result", data=document)


PREVIOUS_RESULTS: Final[list[Question]] = [
    ask("parse_prev_result", data=b'{"cniVersion":"1.0.0","type":"t"}'),
    ask("parse_prev_result", data=b'{"type":"t","prevResult":{"ip4":{"ip":"10.0.0.1/24"}}}'),
    _previous(b"0.1.0", b'{"ip4":{"ip":"10.0.0.1/24"}}'),
    _previous(b"0.2.0", b'{"cniVersion":"0.1.0","ip4":{"ip":"10.0.0.1/24"}}'),
    _previous(b"0.4.0", b'{"ips":[{"version":"4","address":"10.0.0.1/24"}]}'),
    _previous(b"1.0.0", b'{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/24"}]}'),
    _previous(b"1.1.0", b"{}"),
    _previous(b"1.1.0", b"null"),
    _previous(b"1.1.0", b'{"cniVersion":""}'),
    _previous(b"1.1.0", b'{"cniVersion":null}'),
    _previous(b"1.1.0", b'{"CNIVersion":""}'),
    _previous(b"1.1.0", b'{"CNIVersion":"1.0.0"}'),
    _previous(b"1.1.0", b'{"CNIVERSION":"1.0.0"}'),
    _previous(b"1.1.0", b'{"cniversion":"1.0.0"}'),
    _previous(b"1.1.0", b'{"cniVersion":{}}'),
    _previous(b"1.1.0", b'{"cniVersion":5}'),
    _previous(b"1.0.0", b'{"cniVersion":"0.2.0"}'),
    _previous(b"0.4.0", b'{"cniVersion":"1.0.0"}'),
    _previous(b"9.0.0", b'{"cniVersion":"1.0.0"}'),
    _previous(b"", b'{"cniVersion":"1.0.0"}'),
    _previous(b"1.0.0", b'{"ips":[{"address":"x"}]}'),
    _previous(b"1.0.0", b'{"ips":[{"interface":0.0,"address":"10.0.0.1/24"}]}'),
    _previous(b"1.0.0", b'{"ips":[{"interface":1.5,"address":"10.0.0.1/24"}]}'),
    _previous(b"1.0.0", b'{"ips":{}}'),
    _previous(b"1.0.0", b'{"ips":[{}]}'),
    _previous(b"1.0.0", b'{"dns":{"nameservers":["a"]},"DNS":{"domain":"d"}}'),
    _previous(b"1.0.0", b'{"interfaces":[{"name":"e","mtu":9007199254740993}]}'),
]

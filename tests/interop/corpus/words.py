"""Questions about versions, identifiers, CNI_ARGS, and errors of plugins."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from tests.interop.wire import Question, ask

_KNOWN: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_SPELLINGS: Final = (
    "",
    "1",
    "1.0",
    "1.2.3",
    "1.2.3.4",
    "1.2.3.4.5",
    "+1.-2.3",
    "01.02.03",
    "0.-42.0",
    "x",
    "1.x",
    "1.0.f",
    "1.0.0-rc1",
    "v1.0.0",
    " 1.0.0",
    "1.0.0 ",
    "1.0.0\n",
    "1_0.0.0",
    "\u0661.0.0",
    "0x1.0.0",
    ".",
    "1.",
    ".1",
    "1..0",
    "-",
    "+",
    "--1",
    "9223372036854775807.0.0",
    "9223372036854775808.0.0",
    "-9223372036854775808.0.0",
    "-9223372036854775809.0.0",
    "00000000000000000000000000001.0.0",
    'a"b',
    "\u202e.0.0",
    "\udcff.0.0",
)

VERSIONS: Final[list[Question]] = [
    *(ask("parse_version", text=text) for text in (*_KNOWN, *_SPELLINGS)),
    *(
        ask("greater_than_or_equal_to", text=one, other=other)
        for one, other in product(("", "0.1.0", "0.4", "0.4.0", "1.0.0", "1.10.0"), repeat=2)
    ),
    *(
        ask("greater_than", text=one, other=other)
        for one, other in (
            ("1.0.0", "0.4.0"),
            ("1.0.0", "1.0.0"),
            ("1.10.0", "1.9.0"),
            ("1", "1.0.0"),
            ("1.0.1", "1"),
            ("bad", "worse"),
            ("1.0.0", "worse"),
            ("bad", "1.0.0"),
            ("-1", "0"),
        )
    ),
    *(ask("versions_starting_from", text=text) for text in (*_KNOWN, "", "1.0", "2.0.0")),
    *(
        ask("reconcile", text=text, strings=list(supported))
        for text, supported in (
            ("1.0.0", ("0.4.0", "1.0.0")),
            ("0.1.0", ("1.2.3", "4.3.2")),
            ("1.0", ("1.0.0",)),
            ("", ("0.1.0",)),
            ("", ("",)),
            ("1.0.0", ()),
            ('a"b', ("\u00e9", "\u202e", "\x00")),
        )
    ),
    *(
        ask("plugin_supports", strings=list(many))
        for many in ((), ("1.0.0",), ("a<b", "\u2028", ""))
    ),
]

_ANSWERS: Final = rb"""
{"cniVersion":"1.1.0","supportedVersions":["0.1.0","1.1.0"]}
{"cniVersion":"1.1.0","supportedVersions":["0.-42.0","banana",""]}
{"cniVersion":"1.1.0"}
{"cniVersion":"0.2.0"}
{"cniVersion":"0.2.0","supportedVersions":[]}
{"cniVersion":"0.2.0","supportedVersions":null}
{"cniVersion":"1.1.0","supportedVersions":[]}
{"cniVersion":"","supportedVersions":["1.0.0"]}
{"supportedVersions":["1.0.0"]}
{"cniVersion":null,"supportedVersions":["1.0.0"]}
{"cniVersion":5,"supportedVersions":["1.0.0"]}
{"cniVersion":"1.1.0","supportedVersions":"1.0.0"}
{"cniVersion":"1.1.0","supportedVersions":[5]}
{"cniVersion":"1.1.0","supportedVersions":[null]}
{"CNIVERSION":"1.1.0","SupportedVersions":["1.0.0"]}
{"cniVersion":"1.0.0","CNIVersion":"1.1.0","supportedVersions":["1.0.0"]}
{"cniVersion":{},"cniVersion":"1.1.0","supportedVersions":["1.0.0"]}
{"cniVersion":"1.1.0","supportedVersions":"x","supportedVersions":["1.0.0"]}
{"cniVersion":"1.1.0","supportedVersions":["1.0.0","0.4.0"],"supportedVersions":["0.3.1"]}
{"cniVersion":"1.1.0","supportedVersions":["1.0.0"],"supportedversions":null}
{"cniVersion":"1.1.0","supportedVersions":["1.0.0"],"supportedVersions":[null]}
{"cniVersion":"1.1.0","supportedVersions":["1.0.0"],"x":1e400}
{}
null
[]
"x"
{
{"cniVersion":"1.1.0","supportedVersions":["1.0.0"]}x
"""

PLUGIN_INFO: Final[list[Question]] = [
    *(
        ask(op, data=data)
        for op in ("decode_plugin_info", "decode_config_version")
        for data in (*_ANSWERS.strip(b"\n").split(b"\n"), b"", b'{"cniVersion":"\xff"}')
    )
]

_NAMES: Final = (
    "",
    "a",
    "0",
    "A.b_c-d",
    "-a",
    ".a",
    "_a",
    "a/b",
    "a b",
    "a\n",
    "a:b",
    "a%b",
    "a\0b",
    "..",
    "a/../b",
    "\u00e9",
    "\uff41",
    "a\u0660",
    "\udcff",
    "a" * 300,
)
_INTERFACES: Final = (
    "",
    "eth0",
    "a" * 15,
    "a" * 16,
    "\u00e9" * 7,
    "\u00e9" * 8,
    "\udcff" * 15,
    "\udcff" * 16,
    ".",
    "..",
    "...",
    "a/b",
    "a:b",
    "a b",
    "a\tb",
    "a\n",
    "a\x0b",
    "a\x1c",
    "a\x1f",
    "a\x7f",
    "a\x85",
    "a\xa0",
    "a\u1680",
    "a\u180e",
    "a\u2000",
    "a\u200b",
    "a\u2028",
    "a\u202f",
    "a\u205f",
    "a\u3000",
    "a\ufeff",
    "a\0",
    "a%d",
)

IDENTIFIERS: Final[list[Question]] = [
    *(
        ask(f"validate_{what}", text=text)
        for what in ("container_id", "network_name")
        for text in _NAMES
    ),
    *(ask("validate_interface_name", text=text) for text in _INTERFACES),
]

_ARGS: Final = (
    "",
    "K8S_POD_NAME=web",
    "K8S_POD_NAME=",
    "K8S_POD_NAME=a=b",
    "K8S_POD_NAME",
    "K8S_POD_NAME=a;",
    ";",
    "=",
    "K8S_POD_NAME=a;K8S_POD_NAME=b",
    "k8s_pod_name=a",
    "Unk=1;Foo=2",
    "Unk=1;IgnoreUnknown=1;Foo=2",
    "IgnoreUnknown=true;Unk=1",
    "IgnoreUnknown=TRUE;Unk=1",
    "IgnoreUnknown=0;Unk=1",
    "IgnoreUnknown=false;IgnoreUnknown=true;Unk=1",
    "IgnoreUnknown=yes",
    "IgnoreUnknown=YES",
    "IgnoreUnknown=",
    "IgnoreUnknown=1;bad",
    "FLAG=1",
    "FLAG=tRuE",
    "FLAG=0",
    "FLAG=\u0130",
    "FLAG=\u03a3\u03a3",
    "IP=10.0.0.1",
    "IP=::1",
    "IP=::ffff:1.2.3.4",
    "IP=",
    "IP=1.2.3",
    "IP=10.0.0.1/24",
    "IP=fe80::1%eth0",
    "NOT_TEXT=1",
    'Unk="',
    "Unk=\u00e9\u202e\n",
    "\udcff=1",
    "K8S_POD_NAME=\udcff",
)


def _environment(
    other: str, args: list[list[str]], path: list[str], env: dict[str, str]
) -> Question:
    runtime = {"containerID": "c", "netns": "/n", "ifname": "", "args": args}
    return ask("args_env", text="ADD", env=env, runtime=runtime, other=other, path=path)


ARGS: Final[list[Question]] = [
    *(ask("load_args", text=text) for text in _ARGS),
    ask("load_args_without_ignore_unknown", text=""),
    ask("load_args_without_ignore_unknown", text="K8S_POD_NAME=web"),
    ask("load_args_without_ignore_unknown", text="Unk=1"),
    _environment("", [], [], {}),
    _environment("", [["A", "b"], ["C", ""]], ["/x", "/y z"], {"PATH": "/bin", "CNI_ARGS": "old"}),
    _environment(
        "raw", [["A", "b"]], ["/x"], {"CNI_COMMAND": "DEL", "CNI_X": "1", "\u00e9": "\u00e9"}
    ),
    _environment("", [["A", "b;c=d"]], [""], {"cni_args": "x"}),
    ask("delegate_env", text="DEL", env={"CNI_COMMAND": "ADD", "CNI_ARGS": "A=b", "PATH": "/bin"}),
    ask("delegate_env", text="ADD", env={}),
]


def _failed(stdout: bytes, stderr: bytes = b"", code: int = 1, signal: int = 0) -> Question:
    return ask("exec_plugin", stdout=stdout, stderr=stderr, code=code, signal=signal)


def _object(code: Any, msg: str, details: str | None = None) -> Question:
    members = f'"code":{code},"msg":{msg}' + (f',"details":{details}' if details else "")
    return ask("error_json", data=f"{{{members}}}".encode())


ERRORS: Final[list[Question]] = [
    *(_failed(b"", code=code) for code in (1, 2, 3, 127, 255)),
    *(_failed(b"", code=0, signal=signal) for signal in (1, 2, 6, 9, 10, 13, 15, 24, 34, 64)),
    _failed(b"", b"some words\n"),
    _failed(b"", b'quoted "words" \xff\x00\xc2\x85\xe2\x80\xa8\xf0\x9f\x98\x80'),
    *(
        _failed(stdout, b"words on stderr")
        for stdout in rb"""
{"code":7,"msg":"m"}
{"code":7,"msg":"m","details":"d"}
{"code":7,"msg":"","details":"d"}
{"cniVersion":"1.0.0","code":11,"msg":"later"}
{"code":50,"msg":"not available"}
{"code":51,"msg":"limited"}
{"code":100,"msg":"own"}
{"code":18446744073709551615,"msg":"m"}
{"code":18446744073709551616,"msg":"m"}
{"msg":"m"}
{"code":null,"msg":"m"}
{"code":-1,"msg":"m"}
{"code":"7","msg":"m"}
{"code":7.0,"msg":"m"}
{"code":7e0,"msg":"m"}
{"code":true,"msg":"m"}
{"code":[],"msg":"m"}
{"code":7,"msg":5}
{"code":7,"msg":null}
{"code":7,"msg":"m","details":[]}
{"CODE":7,"Msg":"m","DETAILS":"d"}
{"code":7,"code":8,"msg":"a","msg":"b"}
{"code":"x","code":8,"msg":"a"}
{"code":7}
{}
null
[]
"x"
5
{
{"code":7,"msg":"m"}x
no json at all
""".strip(b"\n").split(b"\n")
    ),
    _failed(b"{}"),
    _failed(b"null", code=3),
    _failed(b"{}", code=0, signal=9),
    _failed(b" ", b"words on stderr"),
    _failed(b'{"code":7,"msg":"\xff\\ud83d"}'),
    _failed(b'odd "words"\n\xff\x00\xe2\x80\xae'),
    _object(0, '""'),
    _object(7, '"m"', '"d"'),
    _object(999, '"m"', '""'),
    _object(18446744073709551615, '"a<b&c>\\u2028\\u00e9\\u0000\\"\\\\"', '"\\ud83d\\ude00"'),
    *(
        ask("quote", data=data)
        for data in (
            b"",
            b"plain",
            b'"\\',
            bytes(range(32)),
            b"\x7f\x80\xff",
            "\x80\x9f\xa0\xad\u00e9\u0378\u200b\u200d\u2028\u202e\u3000\ufeff\ufffd\uffff".encode(),
            "\U0001f600\U000e0001\U0010ffff\ue000".encode(),
            b"\xed\xa0\x80\xc0\xaf\xe2\x82",
        )
    ),
]

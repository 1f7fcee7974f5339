"""Operations with plugins and a cache, at least one for each chosen difference."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from tests.interop.wire import Question

_Cache = Mapping[str, bytes | str | None]

_RESULT: Final = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}
_LARGEST_MTU: Final = {"dst": "10.0.0.0/8", "mtu": 2**63 - 1}
_NAME: Final = "results/net-c1-eth0"


def _network(*plugins: str | Mapping[str, Any], version: str = "1.1.0", **more: Any) -> bytes:
    objects = [{"type": each} if isinstance(each, str) else each for each in plugins or ("a",)]
    document = {"cniVersion": version, "name": "net", **more, "plugins": objects}
    return json.dumps(document).encode()


def _record(**changes: Any) -> bytes:
    whole = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": base64.b64encode(_network("a", "b")).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/run/netns/blue",
        "result": _RESULT,
    }
    return json.dumps({**whole, **changes}).encode()


def _silent_record(version: str) -> bytes:
    """Return a record as libcni wrote it before 1.2, with the namespace in its result only."""
    inside = {"name": "eth0", "sandbox": "/run/netns/blue"}
    found = json.loads(_record(result={"cniVersion": version, "interfaces": [inside]}))
    return json.dumps({key: value for key, value in found.items() if key != "netns"}).encode()


def _prints(version: str) -> dict[str, Any]:
    printed = json.dumps({**_RESULT, "cniVersion": version}).encode()
    return {"a": {"ADD": {"stdout": printed}}}


def _ask(
    op: str,
    data: bytes | None = None,
    cache: _Cache | None = None,
    *,
    answers: Mapping[str, Any] | None = None,
    runtime: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Question:
    usual = {"containerID": "c1", "netns": "/run/netns/blue", "ifname": "eth0"}
    about = {} if op in {"gc", "status"} else {"runtime": {**usual, **_NOTHING, **(runtime or {})}}
    asked = {"data": data or _network(), "single": False, "answers": answers or {}}
    return Question(op, {**asked, **about, **fields}, cache or {})


_NOTHING: Final[Mapping[str, Any]] = {"args": [], "capabilityArgs": {}}
_WITH_RECORD: Final = {_NAME: _record()}
_FAILS: Final = {"b": {"DEL": {"code": 1}}}

_WITHOUT_ADDRESS: Final = b'{"interfaces":[{"name":"eth0","sandbox":"/n"}],"cniVersion":"%s"}'
_PASSES: Final = {"ADD": {"pass": True}}

# Answers that the network's version cannot hold: both libraries send plugins the same.
SAME: Final = [
    _ask(
        op,
        _network("a", "b", "c", version=version),
        answers={
            "a": {"ADD": {"stdout": _WITHOUT_ADDRESS % answered}},
            "b": _PASSES,
            "c": _PASSES,
        },
    )
    for op in ("add", "del")
    for version in ("", "0.1.0", "0.2.0")
    for answered in (b"0.3.0", b"0.3.1", b"0.4.0", b"1.0.0", b"1.1.0")
]

# By anchor in docs/differences.md.
CHAINS: Final[Mapping[str, list[Question]]] = {
    "identifiers": [
        _ask("check", runtime={"ifname": "a/b"}),
        _ask("del", runtime={"containerID": "a/b"}),
        _ask("del", runtime={"containerID": ""}),
        _ask("cached_result", runtime={"ifname": "sixteen-letters-"}),
    ],
    "args-separators": [
        _ask("add", runtime={"args": [["A", "b;c=d"]]}),
        _ask("check", runtime={"args": [["A=", "b"]]}),
    ],
    "unknown-version": [_ask("add", _network(version="1.2.0"))],
    "disabled-check": [
        _ask("check", _network(version="0.3.1", disableCheck=True)),
        _ask("check", _network(version="bad", disableCheck=True)),
    ],
    "unwritable-cache": [
        _ask("add", cache={"": b""}),
        _ask("add", cache={"results": b""}),
        _ask("add", cache={_NAME: None}),
    ],
    "foreign-records": [
        _ask(
            op,
            cache={"results/net-b-c1-eth0": _record(networkName="net-b")},
            runtime={"containerID": "b-c1"},
        )
        for op in ("add", "check", "del", "cached_result", "cached_config")
    ],
    "repeated-arrays": [
        _ask(op, cache={_NAME: _record()[:-1] + b',"result":{"cniVersion":"1.0.0"}}'})
        for op in ("check", "del", "cached_result")
    ],
    "misnamed-records": [
        _ask(op, cache={_NAME: _record(**{key: "other"})})
        for op in ("check", "cached_result", "cached_config")
        for key in ("networkName", "containerId", "ifName")
    ],
    "read-errors": [
        _ask(op, cache={_NAME: None}) for op in ("check", "cached_result", "cached_config")
    ],
    "empty-results": [
        _ask(op, cache={_NAME: content})
        for op in ("check", "cached_result")
        for content in (
            b"{}",
            b"null",
            _record(kind="cniCacheV2"),
            _record(config=5),
            _record(result=[]),
        )
    ],
    "del-args": [
        _ask(
            "del",
            _network({"type": "a", "capabilities": {"mac": True}}, version=version),
            {_NAME: _record(cniArgs=[["K", "v"]], capabilityArgs={"mac": "m"})},
            runtime=runtime,
        )
        for version in ("0.3.1", "1.1.0")
        for runtime in ({}, {"args": [["A", "b"]]}, {"capabilityArgs": {"mac": "x"}})
    ],
    "unusable-records": [
        # libcni has removed the record by the time a plugin fails,
        _ask("del", _network("a", "b"), {_NAME: b"garbage"}, answers=_FAILS),
        _ask("del", cache={_NAME: b"{}"}),  # reads an empty result from it,
        # or gives up.
        _ask("del", b'{"cniVersion":"1.0.0","name":"net","type":"a"}', {_NAME: b"x"}, single=True),
    ],
    "cached-netns": [_ask("cached_config", cache=_WITH_RECORD, runtime={"netns": ""})],
    "silent-records": [
        _ask("cached_config", cache={_NAME: _silent_record(version)}, runtime={"netns": ""})
        for version in ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
    ]
    + [_ask("attachments", cache={_NAME: _silent_record("1.0.0")}, text="")],
    "gc-listing": [_ask("gc", cache={"results": b""}, valid=[])],
    "nil-valid-attachments": [_ask("gc")],
    "gc-configuration": [
        _ask("gc", _network("c"), _WITH_RECORD, valid=[]),
        _ask("gc", _network("c"), _WITH_RECORD, answers=_FAILS, noValid=True),
    ],
    "prev-result-version": [
        _ask("add", _network("a", "b", version="1.0.0"), answers=_prints("0.4.0")),
        _ask(
            "add",
            _network("a", "b", version="0.4.0"),
            answers={**_prints("1.0.0"), "b": {"ADD": {"pass": True}}},
        ),
    ],
    "reserved-keys": [
        _ask("add", _network({"type": "a", "cni.dev/x": 1})),
        _ask("gc", _network({"type": "a", "CNI.dev/attachments": []}), valid=[]),
        _ask("status", _network({"type": "a", "cni.dev/valid-attachments": []})),
    ],
    "case-variants": [
        _ask("add", _network({"type": "a", "cniversion": "0.4.0", "Name": "x"})),
        _ask("check", _network({"type": "a", "PREVRESULT": {}}), _WITH_RECORD),
    ],
    "big-integers": [
        _ask("add", _network({"type": "a", "mtu": 2**53 + 1})),
        _ask("check", cache={_NAME: _record(result={**_RESULT, "routes": [_LARGEST_MTU]})}),
    ],
}

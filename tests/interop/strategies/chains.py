"""Questions about chains: networks, the answers of their plugins, and operations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.interop.bench import PLUGINS, Cache
from tests.interop.tree import ROOT
from tests.interop.wire import Question

from .documents import mostly, seldom
from .records import (
    CONTAINERS,
    INTERFACES,
    NETWORKS,
    args,
    capability_args,
    capability_values,
    netns,
    printed,
)
from .results import VERSIONS

Answers = dict[str, dict[str, dict[str, Any]]]
Fields = Mapping[str, Any]

_types = mostly(st.sampled_from(PLUGINS), st.sampled_from(["missing", "a/b", ".."]), 25)
_versions = mostly(
    st.sampled_from(
        ["1.1.0", "1.1.0", "1.1.0", "1.0.0", "0.4.0", "0.3.1", "0.3.0", "0.2.0", "0.1.0", ""]
    ),
    st.sampled_from(["1.0", "0.5.0", "1.2.0", "99.0.0", "bad", "+1.1.0", "1.0.0\n"]),
    25,
)
_names = mostly(
    mostly(st.just("net"), st.sampled_from(NETWORKS), 4),
    st.sampled_from(["", "../x", "é", ".n"]),
    25,
)

_odd_members: SearchStrategy[tuple[str, Any]] = st.sampled_from(
    [
        ("cni.dev/x", 1),
        ("CNI.dev/valid-attachments", []),
        ("cni.dev/valid-attachments", [{"containerID": "c9", "ifname": "eth9"}]),
        ("cni.dev/attachments", "old"),
        ("cniversion", "0.4.0"),
        ("Name", "other"),
        ("PREVRESULT", {"cniVersion": "1.0.0"}),
        ("prevResult", {"cniVersion": "1.0.0", "ips": [{"address": "10.9.9.9/8"}]}),
        ("prevResult", {}),
        ("runtimeConfig", {"mac": "on disk", "x": 9007199254740993}),
        ("RuntimeConfig", {"mac": "spelled"}),
        ("CAPABILITIES", {"mac": True}),
    ]
)
_members: SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("name"), st.sampled_from(["inner", "", "é\n"])),
    st.tuples(st.just("cniVersion"), st.sampled_from(["0.2.0", "1.0.0", "zz"])),
    st.tuples(
        st.just("mtu"),
        st.sampled_from([0, 1400, 1500.0, 1e3, 1e21, 1.5, 9007199254740993, -(2**63)]),
    ),
    st.tuples(st.just("unknown"), capability_values),
    st.tuples(
        st.sampled_from(["", "é", "a<b", "args"]), st.sampled_from([None, {"cni": {}}, "\u2028"])
    ),
    st.tuples(
        st.just("ipam"), st.sampled_from([{"type": "host-local"}, {}, {"type": "", "subnet": 1}])
    ),
    st.tuples(st.just("dns"), st.sampled_from([{}, {"nameservers": ["10.0.0.1"], "search": []}])),
)
_capabilities = st.dictionaries(
    st.sampled_from(["portMappings", "mac", "bandwidth", "é"]),
    mostly(st.just(True), st.sampled_from([False, None]), 4),
    max_size=3,
)


@st.composite
def _plugins(draw: st.DrawFn, more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(draw(st.lists(_members, max_size=3)))
    if draw(st.booleans()):
        found["capabilities"] = draw(_capabilities)
    if draw(seldom(8)):
        key, value = draw(_odd_members)
        found[key] = value
    return {"type": draw(_types), **found, **more}


def _written(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


@st.composite
def networks(
    draw: st.DrawFn,
    names: SearchStrategy[str] = _names,
    versions: SearchStrategy[str] = _versions,
) -> dict[str, Any]:
    """Make the fields of a question about a network, which is a list or a single plugin."""
    version, name = draw(versions), draw(names)
    if draw(seldom(4)):
        single = draw(_plugins({"name": name, "cniVersion": version}))
        return {"data": _written(single), "single": True}
    document: dict[str, Any] = {"cniVersion": version, "name": name}
    if draw(seldom(8)):
        document[draw(st.sampled_from(["disableCheck", "disableGC"]))] = draw(st.booleans())
    size = draw(st.sampled_from([1, 2, 2, 3]))
    document["plugins"] = [draw(_plugins({})) for _ in range(size)]
    return {"data": _written(document), "single": False}


def sound_networks() -> SearchStrategy[dict[str, Any]]:
    """Make a network with a valid name and a known version."""
    return networks(st.sampled_from(NETWORKS), st.sampled_from(VERSIONS))


def version_of(fields: Fields) -> str:
    """Return the version of a network."""
    found: str = json.loads(fields["data"])["cniVersion"]
    return found


# The behaviour of plugins.

_FAILURES: Final[tuple[dict[str, Any], ...]] = (
    {"stdout": b'{"cniVersion":"1.0.0","code":11,"msg":"later"}', "code": 1},
    {"stdout": b'{"code":50,"msg":"not \\"ready\\"","details":"d\\u00e9"}', "code": 1},
    {"stdout": b'{"code":100,"msg":"own","details":""}', "stderr": b"words", "code": 2},
    {"stdout": b"no json", "code": 1},
    {"stdout": b"[]", "code": 1},
    {"stdout": b'{"msg":5}', "code": 1},
    {"stderr": b"only \xff words\n", "code": 3},
    {"code": 4},
    {"signal": 9},
    {"signal": 15},
)
_FAILED_RESULTS: Final = (
    b"",
    b" ",
    b"no json",
    b"[]",
    b'{"cniVersion":"7.0.0"}',
    b'{"cniVersion":"bad"}',
    b'{"ips":[{"address":"x"}]}',
    b'{"interfaces":5}',
    b'{"code":7,"msg":"exit 0 all the same"}',
    b'{"cniVersion":5,"dns":{}}',
)
_INFOS: Final[tuple[dict[str, Any], ...]] = (
    {"stdout": b'{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'},
    {"stdout": b'{"cniVersion":"0.2.0"}'},
    {"stdout": b'{"cniVersion":"1.1.0","supportedVersions":["",".","1.1.0"]}'},
    {"stdout": b'{"cniVersion":"1.1.0"}'},
    {"stdout": b"{"},
    {"stdout": b'{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}', "code": 1},
    {"stdout": b'{"code":4,"msg":"unknown CNI_COMMAND: VERSION","details":"x"}', "code": 1},
)
_failures: SearchStrategy[dict[str, Any]] = st.sampled_from(_FAILURES)
_infos: SearchStrategy[dict[str, Any]] = st.sampled_from(_INFOS)


@st.composite
def _without_addresses(draw: st.DrawFn) -> bytes:
    """Make a result without addresses, which a network's older version may not hold."""
    version = draw(st.sampled_from([*VERSIONS, ""]))
    found: dict[str, Any] = {"cniVersion": version} if draw(st.booleans()) or version else {}
    if draw(st.booleans()):
        found["dns"] = {"nameservers": ["10.0.0.1"]}
    if draw(st.booleans()) and version >= "0.3.0":
        found["interfaces"] = [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/n"}]
        found["routes"] = [{"dst": "10.0.0.0/8"}]
    return _written(found)


@st.composite
def _results(draw: st.DrawFn, version: str) -> dict[str, Any]:
    usual = version if version in VERSIONS else "1.0.0"
    kinds = ["own"] * 6 + ["pass"] * 3 + ["none"] * 2 + ["other"] * 2 + ["bare"] * 2 + ["odd"]
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "own":
            return {"stdout": draw(printed(usual, laced=draw(seldom(4))))}
        case "pass":
            return {"pass": True}
        case "none":
            return {"stdout": draw(st.sampled_from([b"{}", b"null", b'{"cniVersion":""}']))}
        case "other":
            return {"stdout": draw(printed(draw(st.sampled_from(VERSIONS))))}
        case "bare":
            return {"stdout": draw(_without_addresses())}
        case _:
            return {"stdout": draw(st.sampled_from(_FAILED_RESULTS))}


@st.composite
def answers(draw: st.DrawFn, version: str) -> Answers:
    """Make the answers of all plugins to all commands."""
    told: Answers = {}
    for plugin in PLUGINS:
        told[plugin] = {"ADD": draw(mostly(_results(version), _failures, 10))}
        for command in ("CHECK", "DEL", "GC", "STATUS"):
            if draw(seldom(8)):
                told[plugin][command] = draw(_failures)
        if draw(seldom(8)):
            told[plugin][f"DEL {draw(st.sampled_from(CONTAINERS))}"] = draw(_failures)
        if draw(seldom(6)):
            told[plugin]["VERSION"] = draw(st.one_of(_infos, _failures))
        if draw(seldom(10)):
            told[plugin]["CHECK"] = {"stdout": b"CHECK has no result", "stderr": b"words"}
    return told


# The questions.

_containers = mostly(
    mostly(st.just("c1"), st.sampled_from(CONTAINERS), 3),
    st.sampled_from(["", "a/b", "-x", "é"]),
    25,
)
_interfaces = mostly(
    mostly(st.just("eth0"), st.sampled_from(INTERFACES), 4),
    st.sampled_from(["", "a/b", "a b", "sixteen-letters-", "..", "é"]),
    25,
)
_odd_args = st.sampled_from(
    [[["A", "b;c=d"]], [["A=", "1"]], [["A", "b=c=d"]], [["IgnoreUnknown", "1"], ["A;B", ""]]]
)


@st.composite
def runtimes(draw: st.DrawFn, *, sound: bool) -> dict[str, Any]:
    """Make the runtime configuration of an attachment."""
    if sound:
        return {
            "containerID": draw(st.sampled_from(CONTAINERS)),
            "netns": "/run/netns/blue",
            "ifname": draw(st.sampled_from(INTERFACES)),
            "args": draw(args),
            "capabilityArgs": draw(capability_args),
        }
    return {
        "containerID": draw(_containers),
        "netns": draw(netns),
        "ifname": draw(_interfaces),
        "args": draw(mostly(args, _odd_args, 15)),
        "capabilityArgs": draw(capability_args),
    }


_valid = st.lists(
    st.fixed_dictionaries(
        {"containerID": st.sampled_from(CONTAINERS), "ifname": st.sampled_from(INTERFACES)}
    ),
    max_size=3,
)
_FOR_BOTH: Final = (
    "add",
    "add",
    "add",
    "check",
    "del",
    "del",
    "validate",
    "cached_result",
    "cached_config",
)
_FOR_LISTS: Final = (*_FOR_BOTH, "gc", "gc", "status", "version_info", "attachments")


@st.composite
def operations(
    draw: st.DrawFn,
    network: Fields,
    told: Answers,
    cache: Cache,
    ops: tuple[str, ...] = (),
    *,
    sound: bool = False,
) -> Question:
    """Ask for an operation on a network."""
    op = draw(st.sampled_from(ops or (_FOR_BOTH if network["single"] else _FOR_LISTS)))
    fields: dict[str, Any] = {**network, "answers": told}
    match op:
        case "gc":
            if draw(seldom(4)):
                fields["noValid"] = True
            elif not draw(seldom(8)):
                fields["valid"] = draw(_valid)
        case "status" | "validate":
            pass
        case "version_info":
            fields["text"] = draw(_types)
        case "attachments":
            fields["text"] = draw(st.sampled_from(["", "", *CONTAINERS, "c", "-"]))
        case _:
            fields["runtime"] = draw(runtimes(sound=sound))
            if draw(seldom(8)):
                # libcni's deprecated way to choose the cache directory.
                fields["runtime"]["cacheDir"] = f"{ROOT}/cache"
                fields["cacheDir"] = ""
    return Question(op, fields, dict(cache))


@st.composite
def delegations(draw: st.DrawFn) -> Question:
    """Ask to delegate a plugin's work to another plugin."""
    version = draw(st.sampled_from(VERSIONS))
    data = draw(
        mostly(
            st.just(_written({"cniVersion": version, "name": "net", "type": "b", "mtu": 1500.0})),
            st.sampled_from([b"", b"{}", b"null", b"[]", b"no json", b'{"cniVersion":5}']),
            8,
        )
    )
    env = {
        "CNI_COMMAND": draw(st.sampled_from(["ADD", "DEL", ""])),
        "CNI_CONTAINERID": draw(st.sampled_from(["c1", ""])),
        "CNI_ARGS": draw(st.sampled_from(["", "A=b;C=d"])),
        "CNI_PATH": draw(
            mostly(
                st.just(f"{ROOT}/plugins"),
                st.sampled_from(["", "/nowhere", f"/nowhere:{ROOT}/plugins"]),
                6,
            )
        ),
    }
    command = draw(st.sampled_from(["ADD", "ADD", "CHECK", "DEL", "GC", "STATUS"]))
    fields = {"text": draw(_types), "other": command, "data": data, "env": env}
    return Question("delegate", {**fields, "answers": draw(answers(version))})

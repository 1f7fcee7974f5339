"""Cache directories with records as libcni writes them, older ones, and damaged ones."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .documents import (
    Document,
    anything,
    mostly,
    object_,
    objects,
    seldom,
    spelled,
    string,
    strings,
)
from .results import VERSIONS, sound

NETWORKS: Final = ("net", "a", "a-b")
CONTAINERS: Final = ("c1", "c2", "b-c1")
INTERFACES: Final = ("eth0", "net1")

Cache = dict[str, bytes | str | None]

# Values that callers pass for capabilities.
capability_values: SearchStrategy[Any] = st.sampled_from(
    [
        [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        {"ingressRate": 9007199254740993, "egressRate": 1},
        "00:11:22:33:44:55",
        [],
        {},
        None,
        1.5,
        True,
        "a<b&é",
        [None, {"x": [1e3]}],
    ]
)
capability_args: SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["portMappings", "mac", "bandwidth", "other", "é"]),
    capability_values,
    max_size=3,
)
args: SearchStrategy[list[list[str]]] = st.lists(
    st.tuples(
        st.sampled_from(["IgnoreUnknown", "K8S_POD_NAME", "", "é"]), st.text("a1 é<", max_size=3)
    ),
    max_size=2,
).map(lambda pairs: [list(pair) for pair in pairs])
netns: SearchStrategy[str] = st.sampled_from(
    ["/run/netns/blue", "/run/netns/blue", "/proc/1/ns/x y", ""]
)

_configs: SearchStrategy[bytes | None] = st.sampled_from(
    [
        None,
        b"",
        b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"a"},{"type":"c"}]}',
        b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"b","mtu":9007199254740993}]}',
        b'{"cniVersion":"0.4.0","name":"a","type":"a"}',
        b'{"cniVersion":"0.4.0","name":"net","type":"b"}',
        b'{"cniVersion":"1.1.0","name":"other","plugins":[{"type":"a"}]}',
        b"no configuration",
    ]
)


# This library refuses these addresses; the comparison of results covers them.
_MAPPED: Final = re.compile(rb'"::ffff:[^"/]*/(?:\d|[1-8]\d|9[0-5])"')


# Likewise for numbers that no float64 holds.
_HUGE: Final = re.compile(rb"\de\+?[3-9]\d\d|\d{300}", re.IGNORECASE)


def printed(version: str, *, laced: bool = False) -> SearchStrategy[bytes]:
    """Make a result as a plugin may print it."""
    return sound(version, laced=laced).filter(
        lambda data: not (_MAPPED.search(data) or _HUGE.search(data))
    )


@st.composite
def _stored_results(draw: st.DrawFn) -> Any:
    version = draw(st.sampled_from(VERSIONS))
    return json.loads(draw(printed(version)).decode("utf-8", "replace"))


def _interfaces(ifname: str) -> SearchStrategy[list[dict[str, str]]]:
    """Make the interfaces of a result, many of them with this name and a sandbox."""
    inside = st.sampled_from(["/run/netns/blue", "/run/netns/green", "c1", ""])
    one = st.fixed_dictionaries(
        {"name": st.sampled_from([ifname, ifname, "veth1"])}, optional={"sandbox": inside}
    )
    return st.lists(one, max_size=3)


@st.composite
def _records(draw: st.DrawFn, network: str, container: str, ifname: str) -> dict[str, Any]:
    config = draw(_configs)
    record: dict[str, Any] = {
        "kind": "cniCacheV1",
        "containerId": container,
        "config": None if config is None else base64.b64encode(config).decode(),
        "ifName": ifname,
        "networkName": network,
    }
    if draw(st.booleans()):
        record["netns"] = draw(netns)
    if draw(st.booleans()):
        record["cniArgs"] = draw(args)
    if draw(st.booleans()):
        record["capabilityArgs"] = draw(capability_args)
    if not draw(seldom(8)):
        version = mostly(st.sampled_from(VERSIONS), st.sampled_from(["", "0.4567.0", "bad"]), 15)
        record["result"] = draw(_stored_results())
        if draw(seldom(3)) and record["result"].get("cniVersion", "") >= "0.3.0":
            record["result"]["interfaces"] = draw(_interfaces(ifname))
        if draw(seldom(6)):
            record["result"]["cniVersion"] = draw(version)
    return record


_ODD_FIELDS: Final[tuple[tuple[str, Any], ...]] = (
    ("kind", "cniCacheV2"),
    ("kind", ""),
    ("kind", None),
    ("kind", 5),
    ("config", "no base64"),
    ("config", 5),
    ("containerId", ""),
    ("containerId", None),
    ("containerId", "c3"),
    ("containerId", 7),
    ("ifName", ""),
    ("ifName", "eth7"),
    ("networkName", ""),
    ("networkName", "other"),
    ("netns", None),
    ("netns", 5),
    ("cniArgs", None),
    ("cniArgs", []),
    ("cniArgs", [["A"], ["B", "1", "2"], None, []]),
    ("cniArgs", [["A", 5]]),
    ("cniArgs", "A=b"),
    ("cniArgs", [[None, "x"]]),
    ("capabilityArgs", None),
    ("capabilityArgs", []),
    ("capabilityArgs", {"mac": None}),
    ("result", None),
    ("result", []),
    ("result", {}),
    ("result", "x"),
    ("result", {"cniVersion": 5}),
    ("result", {"cniVersion": "1.0.0", "ips": [{"address": "x"}]}),
    ("unknown", {"x": 1}),
    ("KIND", "cniCacheV1"),
    ("Result", {"cniVersion": "1.0.0"}),
    ("NETNS", "/other"),
)


_anything = anything.filter(lambda data: not _HUGE.search(data))
_arguments = objects(
    st.tuples(
        st.sampled_from(["portMappings", "mac", "other", "é"]).map(string),
        _anything,
    )
)


@st.composite
def _written(draw: st.DrawFn, record: dict[str, Any]) -> bytes:
    """Write a record token by token, with odd keys, odd numbers and odd UTF-8."""
    pairs = [(spelled(key), json.dumps(value).encode()) for key, value in record.items()]
    result = st.sampled_from(VERSIONS).flatmap(lambda version: printed(version, laced=True))
    good: dict[str, Document] = {
        "netns": strings,
        "result": result,
        "capabilityArgs": _arguments,
        "unknown": _anything,
    }
    keys = draw(st.lists(st.sampled_from(["result", *sorted(good)]), min_size=1, max_size=3))
    pairs.extend((spelled(key), draw(good[key])) for key in keys)
    return object_((draw(key), value) for key, value in draw(st.permutations(pairs)))


@st.composite
def _odd_records(draw: st.DrawFn, record: dict[str, Any]) -> bytes:
    whole = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    how = draw(
        st.sampled_from(
            ["cut", "flip", "empty", "field", "field", "drop", "legacy", "spelling", "other"]
            + ["written"] * 3
        )
    )
    match how:
        case "cut":
            return whole[: draw(st.integers(0, len(whole) - 1))]
        case "flip":
            place = draw(st.integers(0, len(whole) - 1))
            flipped = whole[place] ^ (1 << draw(st.integers(0, 7)))
            return whole[:place] + bytes([flipped]) + whole[place + 1 :]
        case "empty":
            return draw(st.sampled_from([b"", b" ", b"\0" * 64, b"\n"]))
        case "field":
            changed = {**record, **dict([draw(st.sampled_from(_ODD_FIELDS))])}
            return json.dumps(changed).encode()
        case "drop":
            key = draw(st.sampled_from(sorted(record)))
            return json.dumps(
                {name: value for name, value in record.items() if name != key}
            ).encode()
        case "written":
            return draw(_written(record))
        case "legacy":  # a cache from before libcni 0.8
            if draw(st.booleans()):
                return draw(printed(draw(st.sampled_from(VERSIONS)), laced=True))
            legacy = draw(_stored_results())
            if draw(seldom(4)):
                legacy["cniVersion"] = draw(st.sampled_from(["", "0.4567.0", "bad"]))
            return json.dumps(legacy).encode()
        case "spelling":
            key = draw(st.sampled_from(sorted(record)))
            spelled = {
                (name.upper() if name == key else name): each for name, each in record.items()
            }
            return json.dumps(spelled).encode()
        case _:
            return draw(
                st.sampled_from([b"null", b"{}", b"[]", b'"x"', b"5", b"adfadsfasdfasfdsafaf"])
            )


@st.composite
def caches(draw: st.DrawFn, *, at_least_one: bool = False) -> Cache:
    """Make a cache directory."""
    if draw(seldom(25)):
        return draw(st.sampled_from([{"": b""}, {"results": b""}]))
    found: Cache = {}
    for _ in range(draw(st.sampled_from([1, 1, 2, 3] if at_least_one else [0, 0, 1, 2]))):
        network = draw(mostly(st.just("net"), st.sampled_from(NETWORKS), 3))
        container = draw(st.sampled_from(CONTAINERS))
        ifname = draw(mostly(st.just("eth0"), st.sampled_from(INTERFACES), 4))
        record = draw(_records(network, container, ifname))
        whole = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
        content: bytes | None = draw(mostly(st.just(whole), _odd_records(record), 2))
        if draw(seldom(30)):
            content = None
        found[f"results/{network}-{container}-{ifname}"] = content
    return found


@st.composite
def odd_caches(draw: st.DrawFn) -> Cache:
    """Make a cache directory with one odd record, of the usual attachment."""
    record = draw(_records("net", "c1", "eth0"))
    legacy = st.sampled_from(VERSIONS).flatmap(lambda version: printed(version, laced=True))
    return {"results/net-c1-eth0": draw(mostly(_written(record), legacy, 6))}

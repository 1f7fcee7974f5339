"""Questions about configurations of one plugin and about lists."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.interop.wire import Question, ask

from . import words
from .documents import (
    Document,
    anything,
    array,
    arrays,
    characters,
    documents,
    literals,
    member,
    mostly,
    numbers,
    object_,
    objects,
    or_odd,
    seldom,
    spelled,
    string,
    strings,
)
from .results import FAMILIES, families, results

_booleans: Document = st.sampled_from([b"true", b"false"])
_names: Document = st.sampled_from(["n", "net", "a-b", "", "../x", "é"]).map(string)
_types: Document = st.sampled_from(["bridge", "t", "loopback"]).map(string)
_versions: Document = words.versions.map(string)
_good_versions: Document = mostly(words.known_versions, words.versions, one_in=10).map(string)
_flags: Document = mostly(
    st.one_of(_booleans, st.sampled_from(["true", "FALSE", "True"]).map(string)),
    st.sampled_from(["yes", "", "1", "K\u017f", "tr\u0130e", "\u03a3\u03a3"]).map(string),
    one_in=8,
)

_capabilities: Document = st.lists(
    st.tuples(
        st.sampled_from(["portMappings", "mac", "a", "A"]).map(string), mostly(_booleans, literals)
    ),
    max_size=3,
).map(object_)
_ipam: Document = objects(
    member("type", strings), st.tuples(st.just(b'"subnet"'), anything), max_size=2
)
_dns: Document = objects(
    member("nameservers", arrays(strings)),
    member("domain", strings),
    member("search", arrays(strings)),
    member("options", arrays(st.one_of(strings, literals))),
)
_attachments: Document = arrays(
    objects(member("containerID", strings), member("ifname", strings), max_size=2)
)

_members: Final = (
    member("cniVersion", _versions),
    member("name", _names),
    member("type", _types),
    member("capabilities", _capabilities),
    member("capabilities", _capabilities),
    member("ipam", _ipam),
    member("dns", _dns),
    member("dns", _dns),
    member("prevResult", results, objects(st.tuples(strings, anything))),
    member("cni.dev/valid-attachments", _attachments),
    member("runtimeConfig", objects(st.tuples(strings, anything))),
    st.tuples(st.sampled_from(["mtu", "unknown", "args", "cni.dev/x"]).flatmap(spelled), anything),
    st.tuples(st.sampled_from(["mtu", "delay"]).map(string), numbers),
    st.tuples(strings, anything),
)

plugins: Document = documents(("type", _types), members=_members)

_list_members: Final = (
    member("cniVersion", _good_versions),
    member("cniVersions", arrays(_versions)),
    member("cniVersions", arrays(_good_versions, max_size=4)),
    member("cniVersions", arrays(_good_versions, max_size=4)),
    member("disableCheck", _flags),
    member("disableGC", _flags),
    member("loadOnlyInlinedPlugins", _flags),
    member("name", _names),
    st.tuples(strings, anything),
)

_some_plugins: Document = st.lists(plugins, min_size=1, max_size=2).map(array)

lists: Document = documents(
    ("name", _names),
    ("plugins", mostly(_some_plugins, arrays(anything), one_in=12)),
    members=_list_members,
    max_size=4,
)


def single_configurations() -> SearchStrategy[Question]:
    """Ask to read one plugin's configuration, or to make a list of it."""
    ops = ["conf_from_bytes", "conf_from_bytes", "conf_list_from_conf"]
    return st.builds(
        lambda op, data: ask(op, data=data),
        st.sampled_from([*ops, "network_plugin_conf_from_bytes"]),
        or_odd(plugins),
    )


def configuration_lists() -> SearchStrategy[Question]:
    """Ask v1.2.3, and now and then v1.3.0, to read a list."""
    return st.builds(
        lambda op, data: ask(op, data=data),
        st.sampled_from(["conf_list_from_bytes"] * 3 + ["network_conf_from_bytes"]),
        or_odd(lists),
    )


_values: SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.sampled_from(["n", "1.0.0", "", "a<b"]),
        st.text(characters, max_size=5),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner | st.none(), max_size=3),
        st.dictionaries(st.text(characters, max_size=4), inner | st.none(), max_size=3),
    ),
    max_leaves=4,
)
_texts = st.sampled_from(["n", "1.0.0", "", "a<b", "é"])
_objects = st.dictionaries(st.text(characters, max_size=4), _values, max_size=3)
_good_values: Final[dict[str, SearchStrategy[Any]]] = {
    "name": _texts,
    "cniVersion": _texts,
    "Name": _texts,
    "CNIVERSION": _texts,
    "type": st.just("t"),
    "prevResult": _objects,
    "prevresult": _objects,
    "runtimeConfig": _objects,
    "capabilities": st.dictionaries(st.sampled_from("ab"), st.booleans(), max_size=2),
    "ipam": _objects.filter(lambda each: "type" not in each),
    "cni.dev/valid-attachments": st.lists(
        st.fixed_dictionaries({"containerID": _texts, "ifname": _texts}), max_size=2
    ),
    "x": _values,
    "é<": _values,
}
_keys = st.sampled_from(sorted(_good_values))


@st.composite
def _new_values(draw: st.DrawFn) -> dict[str, Any]:
    values = {
        key: draw(mostly(_good_values[key], _values)) for key in draw(st.sets(_keys, max_size=3))
    }
    # Only one of these: Go reports a random one of several.
    if draw(seldom()):
        values[draw(_keys)] = None
    elif draw(seldom()):
        values[""] = 1
    return values


def injections() -> SearchStrategy[Question]:
    """Ask to inject values into a configuration."""
    return st.builds(
        lambda data, values: ask("inject_conf", data=data, values=values),
        or_odd(plugins),
        _new_values(),
    )


@st.composite
def previous_results(draw: st.DrawFn) -> Question:
    """Ask to parse a configuration's prevResult, as a plugin does."""
    family = draw(st.sampled_from(sorted(families)))
    version = mostly(st.sampled_from(FAMILIES[family]), words.versions, one_in=8)
    configuration = documents(
        ("cniVersion", version.map(string)),
        ("type", _types),
        ("prevResult", mostly(families[family], results, one_in=8)),
        members=(member("prevResult", results), st.tuples(strings, anything)),
        max_size=1,
    )
    return ask("parse_prev_result", data=draw(or_odd(configuration)))

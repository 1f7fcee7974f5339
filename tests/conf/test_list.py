"""Configuration lists from bytes.

The tests cover sections B and D of docs/maintainers/conformance.md;
their ids contain the numbers.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from cni_async.conf import (
    NetworkConfigList,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
    network_conf_from_bytes,
)
from cni_async.errors import ConfigError
from cni_async.types.netconf import IPAM, NetConf

PREFIX = "error parsing configuration list: "
PLUGINS = [{"type": "t"}]


def encode(**document: Any) -> bytes:
    return json.dumps(document).encode()


def refused(data: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        conf_list_from_bytes(data)
    return caught.value


def plugin_raw(text: str) -> str:
    """Return a plugin's object as the list passes it on."""
    return (
        conf_list_from_bytes(f'{{"name":"n","plugins":[{text}]}}'.encode()).plugins[0].raw.decode()
    )


def test_a_list() -> None:
    data = b"""{
      "cniVersion": "1.0.0", "name": "n", "disableCheck": true,
      "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "portmap"}]
    }"""
    net = conf_list_from_bytes(data)
    assert isinstance(net, NetworkConfigList)
    assert (net.name, net.cni_version) == ("n", "1.0.0")
    assert net.disable_check
    assert not net.disable_gc
    assert not net.load_only_inlined_plugins
    assert [plugin.network for plugin in net.plugins] == [
        NetConf(type="bridge", ipam=IPAM("host-local")),
        NetConf(type="portmap"),
    ]
    # 29: the list's bytes are kept; each plugin's are encoded again.
    assert net.raw is data
    assert net.plugins[0].raw == b'{"ipam":{"type":"host-local"},"type":"bridge"}'


@pytest.mark.parametrize(
    ("data", "reason", "key"),
    [
        pytest.param(b'{"Name":"n","plugins":[]}', "no name", "name", id="15"),
        pytest.param(b"{}", "no name", "name", id="16"),
        pytest.param(b"null", "no name", "name", id="16-null"),
        pytest.param(b'{"name":1}', "invalid name type number", "name", id="17-number"),
        pytest.param(b'{"name":null}', "invalid name type null", "name", id="17-null"),
        pytest.param(b'{"name":true}', "invalid name type boolean", "name", id="17-boolean"),
        pytest.param(b'{"name":[]}', "invalid name type array", "name", id="17-array"),
        pytest.param(b'{"name":{}}', "invalid name type object", "name", id="17-object"),
        pytest.param(
            b'{"name":"n","cniVersion":null}',
            "invalid cniVersion type null",
            "cniVersion",
            id="19-null",
        ),
        pytest.param(
            b'{"name":"n","cniVersion":1}',
            "invalid cniVersion type number",
            "cniVersion",
            id="19-number",
        ),
        pytest.param(b"", "unexpected end of JSON input", "", id="21-empty"),
        pytest.param(b'{"name":"n"', "unexpected end of JSON input", "", id="21-truncated"),
        pytest.param(b"{} x", "invalid character 'x' after top-level value", "", id="21-tail"),
        pytest.param(
            b"\xef\xbb\xbf{}",
            "invalid character 'ï' looking for beginning of value",
            "",
            id="21-bom",
        ),
        pytest.param(b"[]", "the document must be an object, not array", "", id="21-array"),
        pytest.param(b'"x"', "the document must be an object, not string", "", id="21-string"),
        pytest.param(
            encode(name="n", plugins=PLUGINS, disableCheck="adsf"),
            'invalid value "adsf" for disableCheck',
            "disableCheck",
            id="24",
        ),
        pytest.param(
            encode(name="n", plugins=PLUGINS, disableGC="Yes"),
            'invalid value "yes" for disableGC',
            "disableGC",
            id="24-lower",
        ),
        pytest.param(
            encode(name="n", plugins=PLUGINS, disableGC=""),
            'invalid value "" for disableGC',
            "disableGC",
            id="24-empty",
        ),
        pytest.param(
            encode(name="n", plugins=PLUGINS, disableCheck=1),
            "invalid type number for disableCheck",
            "disableCheck",
            id="25-number",
        ),
        pytest.param(
            encode(name="n", plugins=PLUGINS, disableGC=None),
            "invalid type null for disableGC",
            "disableGC",
            id="25-null",
        ),
        pytest.param(b'{"name":"n"}', "no 'plugins' key", "plugins", id="26-missing"),
        pytest.param(
            b'{"name":"n","Plugins":[]}', "no 'plugins' key", "plugins", id="26-15-letter-case"
        ),
        pytest.param(
            b'{"name":"n","plugins":null}', "invalid 'plugins' type null", "plugins", id="26-null"
        ),
        pytest.param(
            b'{"name":"n","plugins":{}}', "invalid 'plugins' type object", "plugins", id="26-object"
        ),
        pytest.param(b'{"name":"n","plugins":[]}', "no plugins in list", "plugins", id="26-empty"),
    ],
)
def test_malformed(data: bytes, reason: str, key: str) -> None:
    error = refused(data)
    assert str(error) == PREFIX + reason
    assert error.key == key


@pytest.mark.parametrize(
    ("element", "reason", "key"),
    [
        pytest.param(None, "missing 'type'", "type", id="27-null"),
        pytest.param({}, "missing 'type'", "type", id="27-empty"),
        pytest.param("x", "the document must be an object, not string", "", id="27-string"),
        pytest.param([], "the document must be an object, not array", "", id="27-array"),
        pytest.param(
            {"type": "t", "ipam": []}, 'key "ipam" must be an object, not array', "ipam", id="27-6"
        ),
        pytest.param(
            {"type": "t", "DNS": {"Search": 1}},
            'key "dns.search" must be an array, not number',
            "dns.search",
            id="27-9",
        ),
    ],
)
def test_a_malformed_plugin(element: Any, reason: str, key: str) -> None:
    error = refused(encode(name="n", plugins=[{"type": "t"}, element]))
    assert str(error) == f"failed to parse plugin config 1: error parsing configuration: {reason}"
    assert error.key == key


def test_item_18_names_are_not_validated() -> None:
    for name in ("", "../x", "a b", "é"):
        assert conf_list_from_bytes(encode(name=name, plugins=PLUGINS)).name == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(True, True, id="22-true"),
        pytest.param(False, False, id="22-false"),
        *(pytest.param(text, True, id=f"23-{text}") for text in ("true", "True", "TRUE", "tRuE")),
        *(pytest.param(text, False, id=f"23-{text}") for text in ("false", "False", "FALSE")),
    ],
)
def test_flags(value: Any, expected: bool) -> None:
    net = conf_list_from_bytes(encode(name="n", plugins=PLUGINS, disableCheck=value))
    assert (net.disable_check, net.disable_gc) == (expected, False)
    net = conf_list_from_bytes(encode(name="n", plugins=PLUGINS, disableGC=value))
    assert (net.disable_check, net.disable_gc) == (False, expected)


def test_item_28_order_of_checks() -> None:
    mistakes = {
        "name": None,
        "cniVersion": None,
        "cniVersions": None,
        "disableCheck": None,
        "disableGC": None,
        "plugins": None,
    }
    for key, good in zip(
        list(mistakes), ("n", "1.0.0", ["1.0.0"], True, True, PLUGINS), strict=True
    ):
        assert refused(encode(**mistakes)).key == key
        mistakes |= {key: good}  # type: ignore[dict-item]
    assert conf_list_from_bytes(encode(**mistakes)).name == "n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '{ "type" : "t" , "mtu" : 1400 , "B":1, "a":[1, {"z":1,"y":2}] }',
            '{"B":1,"a":[1,{"y":2,"z":1}],"mtu":1400,"type":"t"}',
            id="29-sorted",
        ),
        pytest.param(
            '{"type":"t","\\ud83d\\ude00":1,"\\uffee":2,"é":3}',
            '{"type":"t","é":3,"\uffee":2,"\U0001f600":1}',
            id="29-bytewise",
        ),
        pytest.param(
            '{"type":"t","x":"<>&\\u003c\\u2028é\\/\\u0007"}',
            '{"type":"t","x":"<>&<\u2028é/\\u0007"}',
            id="30",
        ),
        pytest.param(
            '{"type":"t","x":{"y":[null,true,{}]}}',
            '{"type":"t","x":{"y":[null,true,{}]}}',
            id="31",
        ),
        pytest.param(
            '{"type":"t","a":12345678901234567890,"b":9007199254740993,"c":-9223372036854775809}',
            '{"a":12345678901234567890,"b":9007199254740993,"c":-9223372036854775809,"type":"t"}',
            id="45",
        ),
        pytest.param(
            '{"type":"t","a":123456789012345678901234567890}',
            '{"a":123456789012345678901234567890,"type":"t"}',
            id="45-beyond-64-bits",
        ),
        pytest.param(  # decoded by the slow decoder
            '{"type":"t","x":"\\ud800","a":12345678901234567890,"b":1234567890123456789.0}',
            '{"a":12345678901234567890,"b":1234567890123456789,"type":"t","x":"\ufffd"}',
            id="45-beside-odd-text",
        ),
        pytest.param(
            '{"type":"t","a":1500.0,"b":1e3,"c":1.5,"d":-0.25e1}',
            '{"a":1500,"b":1000,"c":1.5,"d":-2.5,"type":"t"}',
            id="46",
        ),
        pytest.param('{"type":"t","a":{"b":1},"a":2}', '{"a":2,"type":"t"}', id="50"),
        pytest.param(
            '{"type":"t","x":"a\\ud800b"}', '{"type":"t","x":"a\ufffdb"}', id="48-lone-surrogate"
        ),
        pytest.param('{"TYPE":"t","Other":1}', '{"Other":1,"TYPE":"t"}', id="9-spelling-stays"),
    ],
)
def test_how_a_plugin_is_handed_on(text: str, expected: str) -> None:
    assert plugin_raw(text) == expected


@pytest.mark.parametrize(
    ("text", "number"), [("1e21", 1e21), ("1.5e-7", 1.5e-7), ("-1e300", -1e300)]
)
def test_item_46_far_from_one(text: str, number: float) -> None:
    assert json.loads(plugin_raw(f'{{"type":"t","x":{text}}}'))["x"] == number


@pytest.mark.parametrize(
    "text", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", ".5", "1.", "+1"]
)
def test_item_47_no_such_numbers(text: str) -> None:
    error = refused(f'{{"name":"n","plugins":[{{"type":"t","x":{text}}}]}}'.encode())
    assert str(error).startswith(PREFIX)


def test_item_48_undecodable_bytes() -> None:
    net = conf_list_from_bytes(b'{"name":"n\xff","plugins":[{"type":"\xc3("}]}')
    assert net.name == "n\ufffd"
    assert net.plugins[0].network.type == "\ufffd("
    assert net.plugins[0].raw == '{"type":"\ufffd("}'.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"type":"a","TYPE":"b"}', NetConf(type="a"), id="9-29-sorted-last"),
        pytest.param('{"type":"a","tYPE":"b"}', NetConf(type="a"), id="9-29-upper-first"),
        pytest.param(
            '{"capabilities":{"a":true},"Capabilities":{"b":true},"type":"t"}',
            NetConf(type="t", capabilities={"a": True, "b": True}),
            id="10-29-variants-merge",
        ),
        pytest.param(
            '{"capabilities":{"a":true},"capabilities":{"b":true},"type":"t"}',
            NetConf(type="t", capabilities={"b": True}),
            id="50-29-equal-keys-do-not",
        ),
        pytest.param(
            '{"prevResult":{"a":1},"PREVRESULT":{"b":2.0},"type":"t"}',
            NetConf(type="t", raw_prev_result={"a": 1, "b": 2}),
            id="10-29-prevResult",
        ),
        pytest.param(
            '{"ipam":{"TYPE":"i"},"type":"t"}', NetConf(type="t", ipam=IPAM("i")), id="9-nested"
        ),
        pytest.param('{"type":"t","İpam":[],"KPAM":1}', NetConf(type="t"), id="9-no-match"),
    ],
)
def test_letter_case_and_repetition(text: str, expected: NetConf) -> None:
    net = conf_list_from_bytes(f'{{"name":"n","plugins":[{text}]}}'.encode())
    assert net.plugins[0].network == expected


def test_item_32_other_keys_of_the_list() -> None:
    data = encode(name="n", plugins=PLUGINS, other={"a": 1}, type=1, loadOnlyInlinedPlugins="what")
    net = conf_list_from_bytes(data)
    assert net.raw == data
    assert not net.load_only_inlined_plugins


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_item_52_deeply_nested(opening: bytes) -> None:
    error = refused(b'{"name":"n","plugins":[{"type":"t","x":' + opening * 200_000)
    assert str(error) == f"{PREFIX}invalid character '{chr(opening[0])}' exceeded max depth"


@pytest.mark.parametrize("depth", [600, 950, 2_000, 9_000])
def test_item_52_nested_within_reason_or_refused(depth: int) -> None:
    value = b'{"a":[' * (depth // 2) + b"]}" * (depth // 2)
    data = b'{"name":"n","plugins":[{"type":"t","x":' + value + b"}]}"
    with contextlib.suppress(ConfigError):
        assert value in conf_list_from_bytes(data).plugins[0].raw


def test_a_plugin_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from cni_async.go import json as go_json

    def dumps(value: object) -> bytes:
        raise go_json.JSONError("why")

    monkeypatch.setattr(go_json, "dumps", dumps)
    error = refused(b'{"name":"n","plugins":[{"type":"t"}]}')
    assert str(error) == "failed to marshal plugin config 0: why"


def test_a_huge_list_is_read() -> None:
    text = b"x" * 50_000_000
    net = conf_list_from_bytes(b'{"name":"n","plugins":[{"type":"t","x":"' + text + b'"}]}')
    assert net.plugins[0].network == NetConf(type="t")
    many = conf_list_from_bytes(encode(name="n", plugins=PLUGINS * 100_000))
    assert len(many.plugins) == 100_000


@pytest.mark.parametrize("data", ["{}", bytearray(b"{}"), None])
def test_only_bytes_are_read(data: Any) -> None:
    with pytest.raises(TypeError, match="from bytes"):
        conf_list_from_bytes(data)
    with pytest.raises(TypeError, match="from bytes"):
        network_conf_from_bytes(data)


def test_item_75_round_trip() -> None:
    net = conf_list_from_conf(conf_from_bytes(b'{"type":"t","name":"n","x":1.0}'))
    assert conf_list_from_bytes(net.raw) == net


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("TRUE", True), ("false", False)],
)
def test_item_353_only_inlined(value: Any, expected: bool) -> None:
    net = network_conf_from_bytes(encode(name="n", plugins=PLUGINS, loadOnlyInlinedPlugins=value))
    assert net.load_only_inlined_plugins is expected
    assert len(net.plugins) == 1


@pytest.mark.parametrize(
    ("document", "reason", "key"),
    [
        pytest.param(
            {"name": "n", "loadOnlyInlinedPlugins": 1},
            "invalid type number for loadOnlyInlinedPlugins",
            "loadOnlyInlinedPlugins",
            id="353-type",
        ),
        pytest.param(
            {"name": "n", "loadOnlyInlinedPlugins": "on"},
            'invalid value "on" for loadOnlyInlinedPlugins',
            "loadOnlyInlinedPlugins",
            id="353-value",
        ),
        pytest.param(
            {"name": "n", "loadOnlyInlinedPlugins": True},
            "`loadOnlyInlinedPlugins` is true, and no 'plugins' key",
            "plugins",
            id="354-missing",
        ),
        pytest.param({"name": "n", "plugins": []}, "no plugins in list", "plugins", id="354-empty"),
        pytest.param({}, "no name", "name", id="16"),
    ],
)
def test_newer_lists_malformed(document: Any, reason: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network_conf_from_bytes(encode(**document))
    assert str(caught.value) == PREFIX + reason
    assert caught.value.key == key


def test_item_354_plugins_may_come_from_elsewhere() -> None:
    net = network_conf_from_bytes(b'{"name":"n","disableGC":true}')
    assert net == NetworkConfigList("n", disable_gc=True, raw=b'{"name":"n","disableGC":true}')
    assert list(net.plugins) == []


KEYS = st.sampled_from(
    [
        *("type", "Type", "TYPE", "name", "cniVersion", "cniversion", "capabilities", "ipam"),
        *("IPAM", "dns", "prevResult", "PREVRESULT", "cni.dev/valid-attachments", "mtu"),
        *("nameservers", "domain", "Domain", "search", "options", "containerID", "ifname", "a"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_plugin_reads_the_same_alone(plugin: dict[str, Any]) -> None:
    plugin = {"type": "t"} | plugin
    alone = json.dumps(plugin, sort_keys=True).encode()
    try:
        expected: object = conf_from_bytes(alone).network
    except ConfigError as error:
        expected = f"failed to parse plugin config 0: {error}"
    try:
        read: object = conf_list_from_bytes(encode(name="n", plugins=[plugin])).plugins[0].network
    except ConfigError as error:
        read = str(error)
    assert read == expected

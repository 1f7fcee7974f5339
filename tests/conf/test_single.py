"""One plugin's configuration from bytes.

The tests cover sections A and D of docs/maintainers/conformance.md;
their ids contain the numbers.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from cni_async.conf import conf_from_bytes, conf_list_from_conf, network_plugin_conf_from_bytes
from cni_async.errors import CNIError, ConfigError
from cni_async.types.common import DNS
from cni_async.types.netconf import IPAM, GCAttachment, NetConf

PREFIX = "error parsing configuration: "


def refused(data: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        conf_from_bytes(data)
    return caught.value


def test_item_1_bytes_and_view() -> None:
    data = b' {"type":"bridge", "name": "n", "mtu": 1.0e3 , "cniVersion":"1.0.0"}\n'
    conf = conf_from_bytes(data)
    assert conf.raw is data
    assert conf.network == NetConf(cni_version="1.0.0", name="n", type="bridge")


def test_every_key_is_read() -> None:
    conf = conf_from_bytes(
        b"""{
          "cniVersion": "1.1.0", "name": "n", "type": "t", "capabilities": {"a": true, "b": false},
          "ipam": {"type": "host-local", "subnet": "10.0.0.0/8"},
          "dns": {"nameservers": ["1.1.1.1"], "domain": "d", "search": ["s"], "options": ["o"]},
          "prevResult": {"ips": [{"interface": 0}]},
          "cni.dev/valid-attachments": [{"containerID": "c", "ifname": "eth0"}]
        }"""
    )
    assert conf.network == NetConf(
        cni_version="1.1.0",
        name="n",
        type="t",
        capabilities={"a": True, "b": False},
        ipam=IPAM("host-local"),
        dns=DNS(["1.1.1.1"], "d", ["s"], ["o"]),
        raw_prev_result={"ips": [{"interface": 0}]},
        valid_attachments=(GCAttachment("c", "eth0"),),
    )


@pytest.mark.parametrize("data", [b"{}", b'{"type":""}', b'{"type":null}', b"null", b'{"x":1}'])
def test_item_2_type_is_required(data: bytes) -> None:
    error = refused(data)
    assert str(error) == f"{PREFIX}missing 'type'"
    assert error.key == "type"
    assert isinstance(error, CNIError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="3-empty"),
        pytest.param(b" \n", "unexpected end of JSON input", id="3-blank"),
        pytest.param(b'{"type":', "unexpected end of JSON input", id="3-truncated"),
        pytest.param(b'{"type":"t"} x', "invalid character 'x' after top-level value", id="3-tail"),
        pytest.param(b"nonsense", "invalid character", id="3-garbage"),
        pytest.param(b"[]", "the document must be an object, not array", id="4-array"),
        pytest.param(b'"t"', "the document must be an object, not string", id="4-string"),
        pytest.param(b"1", "the document must be an object, not number", id="4-number"),
        pytest.param(b"true", "the document must be an object, not boolean", id="4-boolean"),
        pytest.param(b'{"type":"t","x":1e400}', "json: cannot unmarshal number 1e400", id="47"),
        pytest.param(b'{"type":"t","x":NaN}', "invalid character 'N'", id="47-nan"),
        pytest.param(b'{"type":"t","x":Infinity}', "invalid character 'I'", id="47-infinity"),
        pytest.param(
            b'\xef\xbb\xbf{"type":"t"}', "invalid character 'ï' looking for beginning", id="49-bom"
        ),
        pytest.param('{"type":"t"}'.encode("utf-16"), "invalid character", id="49-utf-16"),
        pytest.param('{"type":"t"}'.encode("utf-32-le"), "invalid character", id="49-utf-32"),
    ],
)
def test_malformed(data: bytes, reason: str) -> None:
    error = refused(data)
    assert str(error).startswith(PREFIX + reason)
    assert error.key == ""


SAMPLES: dict[str, Any] = {
    "array": [],
    "boolean": True,
    "number": 1.5,
    "object": {},
    "string": "x",
}
WANTED = {
    "cniVersion": "string",
    "name": "string",
    "type": "string",
    "capabilities": "object",
    "capabilities.a": "boolean",
    "ipam": "object",
    "ipam.type": "string",
    "dns": "object",
    "dns.nameservers": "array",
    "dns.nameservers[0]": "string",
    "dns.domain": "string",
    "dns.search": "array",
    "dns.search[0]": "string",
    "dns.options": "array",
    "dns.options[0]": "string",
    "prevResult": "object",
    "cni.dev/valid-attachments": "array",
    "cni.dev/valid-attachments[0]": "object",
    "cni.dev/valid-attachments[0].containerID": "string",
    "cni.dev/valid-attachments[0].ifname": "string",
}


def document_with(key: str, value: Any) -> bytes:
    """Return a configuration with a value at a path such as ``dns.search[0]``."""
    dotted = key.removeprefix("cni.dev/")
    for part in reversed(dotted.replace("[", ".[").split(".")):
        value = [value] if part == "[0]" else {part: value}
    if dotted != key:
        value = {f"cni.dev/{name}": member for name, member in value.items()}
    return json.dumps({"type": "t", **value}).encode()


@pytest.mark.parametrize(
    ("key", "found"),
    [
        pytest.param(key, found, id=f"5-6-8-{key}-{found}")
        for key, wanted in WANTED.items()
        for found in SAMPLES
        if found != wanted
    ],
)
def test_wrong_types_key_by_key(key: str, found: str) -> None:
    error = refused(document_with(key, SAMPLES[found]))
    article = "an" if WANTED[key] in {"array", "object"} else "a"
    assert str(error) == f'{PREFIX}key "{key}" must be {article} {WANTED[key]}, not {found}'
    assert error.key == key


# Only the type is required, see item 2.
@pytest.mark.parametrize(
    "key", [pytest.param(key, id=f"7-{key}") for key in WANTED if key != "type"]
)
def test_null_counts_as_absent(key: str) -> None:
    network = conf_from_bytes(document_with(key, None)).network
    expected = NetConf(type="t")
    match key.partition("[")[0].split("."):
        case ["capabilities", "a"]:
            expected.capabilities = {"a": False}
        case ["dns", name] if "[" in key:
            setattr(expected.dns, name, [""])
        case ["cni", _] if "[" in key:
            expected.valid_attachments = (GCAttachment("", ""),)
        case _:
            pass
    assert network == expected


@pytest.mark.parametrize("value", [None, [], {}, 1, "x", {"type": 1}])
@pytest.mark.parametrize("key", ["args", "runtimeConfig", "mtu", "cni.dev/attachments", "plugins"])
def test_item_5_other_keys_are_not_looked_at(key: str, value: Any) -> None:
    assert conf_from_bytes(document_with(key, value)).network == NetConf(type="t")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            '{"TyPe":"t","CNIVERSION":"1.0.0","NAME":"n"}',
            NetConf(type="t", cni_version="1.0.0", name="n"),
            id="9-any-case",
        ),
        pytest.param(
            '{"type":"a","TYPE":"b"}', NetConf(type="b"), id="9-last-wins-over-the-exact-one"
        ),
        pytest.param('{"TYPE":"b","type":"a"}', NetConf(type="a"), id="9-last-wins"),
        pytest.param('{"type":"a","type":null}', NetConf(type="a"), id="9-null-changes-nothing"),
        pytest.param(
            '{"type":"a","dn\u017f":{"\u017fearch":["s"]},"cni.dev/valid-attachment\u017f":[]}',
            NetConf(type="a", dns=DNS(search=["s"]), valid_attachments=()),
            id="9-long-s",
        ),
        pytest.param(
            '{"type":"t","IPAM":{"Type":"i"},"Dns":{"DOMAIN":"d"}}',
            NetConf(type="t", ipam=IPAM("i"), dns=DNS(domain="d")),
            id="9-nested",
        ),
        pytest.param(
            '{"type":"t","capabilities":{"a":true,"b":true},"Capabilities":{"b":false,"c":true}}',
            NetConf(type="t", capabilities={"a": True, "b": False, "c": True}),
            id="10-capabilities",
        ),
        pytest.param(
            '{"type":"t","capabilities":{"a":true},"capabilities":null}',
            NetConf(type="t"),
            id="10-null-forgets-a-map",
        ),
        pytest.param(
            '{"type":"t","ipam":{"type":"i"},"ipam":{"subnet":1},"ipam":null}',
            NetConf(type="t", ipam=IPAM("i")),
            id="10-ipam",
        ),
        pytest.param(
            '{"type":"t","dns":{"domain":"d","search":["a"]},"dns":{"search":["b"]}}',
            NetConf(type="t", dns=DNS(domain="d", search=["b"])),
            id="10-dns",
        ),
        pytest.param(
            '{"type":"t","prevResult":{"a":{"x":1},"b":1},"prevResult":{"a":{"y":2},"y":[{"z":1}]}}',
            NetConf(type="t", raw_prev_result={"a": {"y": 2}, "b": 1, "y": [{"z": 1}]}),
            id="10-prevResult",
        ),
        pytest.param(
            '{"type":"t","prevResult":{"a":1},"prevResult":null}',
            NetConf(type="t"),
            id="10-prevResult-null",
        ),
        pytest.param(
            '{"type":"t","prevResult":{"a":1,"a":{"b":1,"b":2}}}',
            NetConf(type="t", raw_prev_result={"a": {"b": 2}}),
            id="50-nested-duplicates",
        ),
    ],
)
def test_letter_case_and_repetition(data: str, expected: NetConf) -> None:
    conf = conf_from_bytes(data.encode())
    assert conf.network == expected
    assert conf.raw == data.encode()


def test_item_11_values_are_not_validated() -> None:
    conf = conf_from_bytes(b'{"type":"../t","name":"../n","cniVersion":"banana"}')
    assert conf.network == NetConf(type="../t", name="../n", cni_version="banana")


def test_items_14_and_359_the_view_written_again() -> None:
    # 359 is about Go structs that embed NetConf; plain bytes keep a plugin's own keys.
    conf = conf_from_bytes(b'{"type":"t","own":{"key":1}}')
    assert json.loads(conf.network.to_json()) == {"type": "t", "ipam": {}, "dns": {}}
    assert json.loads(conf.raw)["own"] == {"key": 1}


def test_items_45_and_46_numbers_of_prev_result() -> None:
    conf = conf_from_bytes(
        b'{"type":"t","prevResult":{"a":12345678901234567890,"b":1500.0,"c":1e3,"d":1.5}}'
    )
    assert repr(conf.network.raw_prev_result) == repr(
        {"a": 12345678901234567890, "b": 1500, "c": 1000, "d": 1.5}
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (rb'{"type":"t","name":"a\ud800b"}', "a\ufffdb"),
        (b'{"type":"t","name":"a\xffb"}', "a\ufffdb"),
        (rb'{"type":"t","name":"\ud83d\ude00"}', "\U0001f600"),
    ],
)
def test_item_48_no_character_is_half(data: bytes, name: str) -> None:
    assert conf_from_bytes(data).network.name == name


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("key", [b"x", b"prevResult", b"capabilities"])
def test_item_52_deeply_nested(key: bytes, opening: bytes) -> None:
    error = refused(b'{"type":"t","' + key + b'":' + opening * 200_000)
    assert str(error) == f"{PREFIX}invalid character '{chr(opening[0])}' exceeded max depth"


@pytest.mark.parametrize("depth", [600, 950, 2_000, 9_000])
def test_item_52_nested_within_reason_or_refused(depth: int) -> None:
    # Python's depth limit differs between versions. Depths near it must not crash.
    value = b'{"a":[' * (depth // 2) + b"]}" * (depth // 2)
    with contextlib.suppress(ConfigError):
        conf = conf_from_bytes(b'{"type":"t","prevResult":{"x":' + value + b"}}")
        assert conf.network.raw_prev_result


def test_a_huge_configuration_is_read() -> None:
    size = 50_000_000
    conf = conf_from_bytes(b'{"type":"t","x":"' + b"x" * size + b'"}')
    assert conf.network == NetConf(type="t")
    assert refused(b'{"type":"t","x":' + b"[" * size).key == ""
    assert "cannot unmarshal number" in str(refused(b'{"type":"t","x":' + b"1" * size + b"}"))


@pytest.mark.parametrize("data", ['{"type":"t"}', bytearray(b"{}"), None, 1])
def test_only_bytes_are_read(data: Any) -> None:
    with pytest.raises(TypeError, match=f"from bytes, not {type(data).__name__}"):
        conf_from_bytes(data)


def test_the_newer_name_reads_the_same() -> None:
    data = b'{"type":"t"}'
    assert network_plugin_conf_from_bytes(data) == conf_from_bytes(data)


@pytest.mark.parametrize(
    ("data", "raw"),
    [
        pytest.param(
            b'{"type":"t","name":"n","cniVersion":"0.4.0","b":1.0,"a":"\xc3\xa9"}',
            '{"cniVersion":"0.4.0","name":"n","plugins":'
            '[{"a":"é","b":1,"cniVersion":"0.4.0","name":"n","type":"t"}]}',
            id="73",
        ),
        pytest.param(
            b'{"type":"t"}', '{"cniVersion":"","name":"","plugins":[{"type":"t"}]}', id="73-empty"
        ),
        pytest.param(
            b'{"type":"t","disableCheck":true,"disableGC":true,"cniVersions":["1.0.0"]}',
            '{"cniVersion":"","name":"","plugins":'
            '[{"cniVersions":["1.0.0"],"disableCheck":true,"disableGC":true,"type":"t"}]}',
            id="74",
        ),
    ],
)
def test_a_list_of_one(data: bytes, raw: str) -> None:
    conf = conf_from_bytes(data)
    net = conf_list_from_conf(conf)
    assert net.raw.decode() == raw
    assert (net.name, net.cni_version) == (conf.network.name, conf.network.cni_version)
    assert not net.disable_check
    assert not net.disable_gc
    assert [plugin.network for plugin in net.plugins] == [conf.network]


def test_a_list_of_one_needs_bytes() -> None:
    conf = conf_from_bytes(b'{"type":"t"}')
    conf.raw = b"{"
    with pytest.raises(ConfigError, match=r"\Aunexpected end of JSON input\Z"):
        conf_list_from_conf(conf)
    conf.raw = b"null"
    with pytest.raises(ConfigError, match=r"failed to parse plugin config 0: .*missing 'type'"):
        conf_list_from_conf(conf)
    conf.raw = "{}"  # type: ignore[assignment]
    with pytest.raises(TypeError):
        conf_list_from_conf(conf)

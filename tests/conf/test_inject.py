"""Values that are injected into a configuration.

The tests cover section F and item 51 of docs/maintainers/conformance.md;
their ids contain the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from cni_async.conf import NetworkConfig, conf_from_bytes, inject_conf
from cni_async.errors import ConfigError
from cni_async.types.netconf import NetConf


def conf(text: str = '{"type":"t"}') -> NetworkConfig:
    return conf_from_bytes(text.encode())


def refused(original: NetworkConfig, values: Mapping[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        inject_conf(original, values)
    return caught.value


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        pytest.param('{"type":"t"}', {}, '{"type":"t"}', id="67-nothing"),
        pytest.param(
            '{ "type":"t", "b":1.0, "a":[] }',
            {"name": "n", "a": {"y": 1, "x": 2}},
            '{"a":{"x":2,"y":1},"b":1,"name":"n","type":"t"}',
            id="67-set-and-replace",
        ),
        pytest.param('{"type":"t"}', {"cniVersion": ""}, '{"cniVersion":"","type":"t"}', id="77"),
        pytest.param('{"type":"t"}', {"x": [None]}, '{"type":"t","x":[null]}', id="70-null-within"),
        pytest.param(
            '{"type":"t"}',
            {"x": 12345678901234567890},
            '{"type":"t","x":12345678901234567890}',
            id="45",
        ),
        pytest.param(
            '{"type":"t"}', {"x": [1500.0, 1.5]}, '{"type":"t","x":[1500,1.5]}', id="46-injected"
        ),
        pytest.param(
            '{"type":"t","CNIVersion":"0.1.0","cniversion":"0.2.0","NAME":"x","Name":"y"}',
            {"cniVersion": "1.0.0", "name": "n"},
            '{"cniVersion":"1.0.0","name":"n","type":"t"}',
            id="51-name-and-version",
        ),
        pytest.param(
            '{"type":"t","prevresult":{"a":1},"PrevRe\u017fult":{},"RUNTIMECONFIG":{"b":1}}',
            {"prevResult": {"c": 1}, "runtimeConfig": {"d": 1}},
            '{"prevResult":{"c":1},"runtimeConfig":{"d":1},"type":"t"}',
            id="51-results",
        ),
        pytest.param(
            '{"type":"t","prevresult":{"a":1},"MTU":1}',
            {"mtu": 2},
            '{"MTU":1,"mtu":2,"prevresult":{"a":1},"type":"t"}',
            id="51-others-stay",
        ),
    ],
)
def test_injected(before: str, values: dict[str, Any], after: str) -> None:
    original = conf(before)
    injected = inject_conf(original, values)
    assert injected.raw.decode() == after
    assert injected.network == conf_from_bytes(injected.raw).network
    # 67: the original is unchanged.
    assert original == conf(before)
    assert injected is not original


def test_item_67_the_bytes_count() -> None:
    original = conf('{"type":"t","name":"n"}')
    original.network.type = "other"
    assert inject_conf(original, {"x": 1}).network == NetConf(type="t", name="n")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"{", "unexpected end of JSON input", id="68-truncated"),
        pytest.param(b"", "unexpected end of JSON input", id="68-empty"),
        pytest.param(b"null", "the document must be an object, not null", id="71"),
        pytest.param(b"[]", "the document must be an object, not array", id="68-array"),
    ],
)
def test_malformed_bytes(raw: bytes, reason: str) -> None:
    # 69: the bytes are checked before the values.
    error = refused(NetworkConfig(NetConf(type="t"), raw), {"": None})
    assert str(error) == f"unmarshal existing network bytes: {reason}"


class Cycle(list[Any]):
    """A list that contains itself."""

    def __init__(self) -> None:
        super().__init__([self])


@dataclass
class Measure:
    value: float
    label: str = "m"


class Wire(msgspec.Struct, rename="camel"):
    some_key: int


class Colour(Enum):
    RED = "red"


class Rendered:
    """Stand-in for a result whose JSON does not match its attributes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def to_json(self, indent: int | None = None) -> str:
        return self.text


@pytest.mark.parametrize(
    ("values", "text", "key"),
    [
        pytest.param({"": 1}, "keys cannot be empty", "", id="68-key"),
        pytest.param({"test": None}, "key 'test' value must not be nil", "test", id="68-70-nil"),
        pytest.param({"x": object()}, "json: unsupported type: object", "x", id="68-type"),
        pytest.param({"x": [print]}, "json: unsupported type: builtin_function", "x", id="68-deep"),
        pytest.param({"x": {(1, 2): 3}}, "json: unsupported value: ", "x", id="68-keys"),
        pytest.param({"x": float("nan")}, "json: unsupported value: nan", "x", id="47-nan"),
        pytest.param({"x": [float("inf")]}, "json: unsupported value: inf", "x", id="47-inf"),
        pytest.param({"x": {"y": (float("-inf"),)}}, "json: unsupported value: -inf", "x", id="47"),
        pytest.param({"x": Measure(float("nan"))}, "json: unsupported value: nan", "x", id="47-in"),
        pytest.param({"x": "\ud800"}, "json: unsupported value: ", "x", id="48"),
        pytest.param({"\ud800": 1}, "json: unsupported value: ", "", id="48-key"),
        pytest.param({1: 1}, "json: unsupported value: ", "", id="68-key-type"),
        pytest.param({"x": Cycle()}, "json: unsupported value: ", "x", id="52-cycle"),
        pytest.param({"x": Rendered("{")}, "unexpected end of JSON input", "x", id="68-rendered"),
        pytest.param(
            {"type": 1},
            'error parsing configuration: key "type" must be a string, not number',
            "type",
            id="72",
        ),
        pytest.param(
            {"prevResult": []},
            'error parsing configuration: key "prevResult" must be an object, not array',
            "prevResult",
            id="72-prevResult",
        ),
        pytest.param(
            {"type": ""}, "error parsing configuration: missing 'type'", "type", id="72-no-type"
        ),
    ],
)
def test_refused(values: dict[str, Any], text: str, key: str) -> None:
    original = conf()
    error = refused(original, values)
    assert str(error).startswith(text)
    assert error.key == key
    assert original == conf()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Measure(1500.0), {"value": 1500, "label": "m"}),
        (Wire(1), {"someKey": 1}),
        ([Wire(1), {"w": Wire(2)}], [{"someKey": 1}, {"w": {"someKey": 2}}]),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
        (MappingProxyType({"a": MappingProxyType({"b": 1.0})}), {"a": {"b": 1}}),
        (Rendered('{"cniVersion":"1.0.0","a":1.0}'), {"cniVersion": "1.0.0", "a": 1}),
        ([Rendered("[1]")], [[1]]),
        (Decimal("1.5"), "1.5"),
        (True, True),
        (0, 0),
        ("", ""),
        ([], []),
        ({}, {}),
        (10**300, 10**300),
    ],
)
def test_what_a_value_may_be(value: Any, expected: Any) -> None:
    injected = inject_conf(conf(), {"x": value})
    assert json.loads(injected.raw) == {"type": "t", "x": expected}


def test_a_mapping_of_values() -> None:
    injected = inject_conf(conf(), MappingProxyType({"name": "n"}))
    assert injected.network.name == "n"


def test_what_was_injected_is_a_copy() -> None:
    result = {"ips": [1]}
    injected = inject_conf(conf(), {"prevResult": result})
    result["ips"].append(2)
    assert injected.network.raw_prev_result == {"ips": [1]}

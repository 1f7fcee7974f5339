"""Documents that nest deeper than Python can follow are refused without side effects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

import pytest

from cni_async import (
    NetConf,
    NetworkConfig,
    RuntimeConf,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
    create_result,
    create_result_from_bytes,
    inject_conf,
    network_conf_from_bytes,
)
from cni_async.errors import CNIError, ConfigError
from cni_async.go import json as go_json
from cni_async.invoke.failure import exit_error
from cni_async.operations.request import request_config
from cni_async.types import parse_prev_result
from cni_async.types.create import result_from_plugin
from cni_async.version import decode_config_version, decode_plugin_info

T = TypeVar("T")

DEPTHS: Final = [100, 900, 990, 5_000, 20_000]
BRACKETS: Final = [("[", "]"), ('{"a":', "}"), ('{"a":[1.0],"a":', "}")]
MIDDLES: Final = ["1.0", '"\\ud800"', '{"a":1,"A":2,"a":3}']
FRAMES: Final = [0, 800]


def nested(depth: int, brackets: tuple[str, str], middle: str) -> str:
    """Return a document that nests to the given depth."""
    opening, closing = brackets
    return opening * depth + middle + closing * depth


def called_deep(frames: int, call: Callable[[], T]) -> T:
    """Call a function below the given number of stack frames."""
    return called_deep(frames - 1, call) if frames else call()


def single(value: str) -> NetworkConfig:
    return NetworkConfig(NetConf(type="t"), f'{{"type":"t","x":{value}}}'.encode())


def prev_result(value: str) -> None:
    conf = conf_from_bytes(
        f'{{"cniVersion":"1.0.0","type":"t","prevResult":{{"x":{value}}}}}'.encode()
    )
    parse_prev_result(conf.network)


def in_a_list(text: str) -> bytes:
    return f'{{"name":"n","plugins":[{{"type":"t"{text}}}]}}'.encode()


READERS: Final[dict[str, Callable[[str], object]]] = {
    "conf": lambda value: conf_from_bytes(single(value).raw),
    "conf, twice": lambda value: conf_from_bytes(f'{{"type":"t","x":{value},"x":1}}'.encode()),
    "conf, prevResult": prev_result,
    "conf, capabilities": lambda value: conf_from_bytes(
        f'{{"type":"t","capabilities":{value}}}'.encode()
    ),
    "list": lambda value: conf_list_from_bytes(in_a_list(f',"x":{value}')),
    "list, prevResult": lambda value: conf_list_from_bytes(
        in_a_list(f',"prevResult":{{"x":{value}}}')
    ),
    "list, PREVRESULT": lambda value: conf_list_from_bytes(
        in_a_list(f',"PREVRESULT":{{"x":{value}}}')
    ),
    "list, top": lambda value: conf_list_from_bytes(
        f'{{"name":"n","x":{value},"plugins":[{{"type":"t"}}]}}'.encode()
    ),
    "list, cniVersions": lambda value: conf_list_from_bytes(
        f'{{"name":"n","cniVersions":{value},"plugins":[{{"type":"t"}}]}}'.encode()
    ),
    "network_conf_from_bytes": lambda value: network_conf_from_bytes(in_a_list(f',"x":{value}')),
    "conf_list_from_conf": lambda value: conf_list_from_conf(single(value)),
    "inject_conf": lambda value: inject_conf(single(value), {"y": 1}),
    "request_config": lambda value: request_config(single(value), "n", "1.0.0"),
    "plugin's answer": lambda value: result_from_plugin(
        "1.0.0", f'{{"cniVersion":"1.0.0","x":{value}}}'.encode()
    ),
    "plugin's answer without a version": lambda value: result_from_plugin(
        "1.0.0", f'{{"ips":[],"x":{value}}}'.encode()
    ),
    "plugin's answer of the wrong type": lambda value: result_from_plugin(
        "1.0.0", f'{{"cniVersion":"1.0.0","ips":{value}}}'.encode()
    ),
    "plugin's versions": lambda value: decode_plugin_info(
        f'{{"cniVersion":"1.0.0","supportedVersions":["1.0.0"],"x":{value}}}'.encode()
    ),
    "plugin's error": lambda value: exit_error(1, f'{{"code":7,"x":{value}}}'.encode(), b""),
    "create_result": lambda value: create_result(
        "1.0.0", f'{{"cniVersion":"1.0.0","x":{value}}}'.encode()
    ),
    "create_result_from_bytes": lambda value: create_result_from_bytes(
        f'{{"cniVersion":"1.0.0","x":{value}}}'.encode()
    ),
    "decode_config_version": lambda value: decode_config_version(f'{{"x":{value}}}'.encode()),
}


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("reader", READERS)
def test_read_or_refused(reader: str, frames: int) -> None:
    read = READERS[reader]
    refused: list[str] = []
    for depth in DEPTHS:
        # Documents beyond Go's limit are long, and two of them cover as much as all.
        for value in documents(depth) if depth < 10_000 else islice(documents(depth), 1, 6, 3):
            try:
                called_deep(frames, partial(read, value))
            except CNIError as error:
                refused.append(str(error))
    assert any("exceeded max depth" in text for text in refused) or reader == "plugin's error"
    assert not any("recursion" in text for text in refused)


def documents(depth: int) -> Iterator[str]:
    for brackets in BRACKETS:
        for middle in MIDDLES:
            yield nested(depth, brackets, middle)


@pytest.mark.parametrize("brackets", BRACKETS)
def test_no_deeper_than_go(brackets: tuple[str, str]) -> None:
    """Documents beyond Go's limit are refused; brackets in strings do not count.

    Python's own limit is lower. Since 3.14 it is the limit of the stack.
    """
    innocent = '["\\"' + "[{" * 20_000 + '\\\\","]"]'
    assert go_json.loads(('"' + "[" * 20_000 + '"').encode())
    assert go_json.loads(f"[{innocent},{nested(100, brackets, '1')}]".encode())
    for load in (go_json.loads, go_json.loads_typed, go_json.loads_pairs, go_json.loads_document):
        with pytest.raises(
            go_json.JSONError, match=r"^invalid character '[\[{]' exceeded max depth$"
        ):
            load(nested(10_001, brackets, "1").encode())
    if sys.version_info >= (3, 14):
        assert go_json.loads(nested(10_000, BRACKETS[0], "1").encode())


def test_brackets_in_the_message_of_a_plugin() -> None:
    words = "[" * 20_000
    assert exit_error(1, f'{{"code":7,"msg":"{words}"}}'.encode(), b"").msg == words


def test_the_error_object_of_a_plugin() -> None:
    stdout = f'{{"code":7,"msg":"m","x":{nested(200_000, BRACKETS[0], "1")}}}'.encode()
    assert str(exit_error(1, stdout, b"")).endswith("exceeded max depth")


# The lone surrogate sends these documents to the slow decoder.
@pytest.mark.parametrize("brackets", BRACKETS)
def test_as_deep_with_half_a_character_as_without(brackets: tuple[str, str]) -> None:
    for load in (go_json.loads, go_json.loads_typed, go_json.loads_pairs, go_json.loads_document):
        load(nested(400, brackets, '"\\ud800"').encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00", "\U0001f600"),
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83dx\ude00", "\ufffdx\ufffd"),
        (r"\ud83d\n\ude00", "\ufffd\n\ufffd"),
        # An escaped backslash does not begin an escape.
        (r"\\ud83d", r"\ud83d"),
        (r"\\\ud83d", "\\\ufffd"),
        (r"\\\\ud83d\\\\\ude00", "\\\\ud83d\\\\\ufffd"),
        (r"\\ud83d\ude00", "\\ud83d\ufffd"),
        (r"\ud83d\\ude00", "\ufffd\\ude00"),
        (r"\"\ud83d\"", '"\ufffd"'),
        (r"\u005cud83d", r"\ud83d"),
    ],
)
def test_half_a_character(text: str, expected: str) -> None:
    for wrapping in ("%s", '["%s",1]', '{"%s":1}'):
        document = (wrapping if wrapping != "%s" else '"%s"') % text
        value = go_json.loads(document.encode())
        assert expected in ([value] if isinstance(value, str) else value)


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def test_what_the_caller_gives() -> None:
    deep: Any = 1.5
    for _ in range(50_000):
        deep = [deep]
    for value in (deep, cyclic()):
        with pytest.raises(ConfigError, match="exceeded max depth"):
            inject_conf(single("1"), {"y": value})
        with pytest.raises(CNIError, match="exceeded max depth"):
            request_config(
                NetworkConfig(NetConf(), b'{"type":"t","capabilities":{"y":true}}'),
                "n",
                "1.0.0",
                capability_args=RuntimeConf("c", capability_args={"y": value}).capability_args,
            )
        with pytest.raises(ConfigError, match="exceeded max depth"):
            NetConf(raw_prev_result={"y": value}).to_json(indent=2)
        with pytest.raises(go_json.JSONError, match="exceeded max depth"):
            go_json.reject_non_finite(value)

"""JSON as Go reads and writes it.

See items 46-52 of docs/maintainers/conformance.md.
"""

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from cni_async.go import json as go_json
from cni_async.go.json import JSONError, Pairs

LOADERS = [go_json.loads, go_json.loads_typed, go_json.loads_pairs]


# The text that Go's build wrote after reading each. 45: integers differ, they stay exact here.
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"1500.0", "1500"),  # 46
        (b"1e3", "1000"),
        (b"-2.0E2", "-200"),
        (b"1e20", "100000000000000000000"),
        (b"5.987866406221613e+16", "59878664062216130"),  # its float64 is ...128
        (b"9007199254740993.5", "9007199254740994"),
        (b"1.5", "1.5"),
        (b"12345678901234567890", "12345678901234567890"),  # 45
        (b"9007199254740993", "9007199254740993"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b'{"b":1,"a":{"d":2,"c":[]}}', '{"a":{"c":[],"d":2},"b":1}'),
        (b'{"a":1,"b":0,"a":2}', '{"a":2,"b":0}'),  # 50
        (b" [true , false,null]\n\t\r", "[true,false,null]"),
        (b'"\\ud83d\\ude00\\u00e9"', '"😀é"'),
        # 48
        (b'"\\ud800"', '"\ufffd"'),
        (b'"\\udc00\\ud800x"', '"\ufffd\ufffdx"'),
        (b'{"\\ud800":["\\udfff"]}', '{"\ufffd":["\ufffd"]}'),
        (b'"\xff\xfe"', '"\ufffd\ufffd"'),
        (b'"\xe2\x82"', '"\ufffd\ufffd"'),
        (b'"\xed\xa0\x80"', '"\ufffd\ufffd\ufffd"'),
        (b'{"\xff":1}', '{"\ufffd":1}'),
    ],
)
def test_read_and_written(data: bytes, text: str) -> None:
    assert go_json.dumps(go_json.loads(data)).decode() == text


@pytest.mark.parametrize("data", [b"1e21", b"1.5e300", b"1e-7"])
def test_large_and_small_numbers(data: bytes) -> None:  # 46
    for value in (go_json.loads(data), json.loads(go_json.dumps(go_json.loads(data)))):
        assert type(value) is float
        assert value == float(data)


def test_typed_reading_keeps_floats() -> None:  # 239, 266
    values = go_json.loads_typed(b"[1, 1.0, 1e3, 12345678901234567890, 1e21]")
    assert values == [1, 1.0, 1000.0, 12345678901234567890, 1e21]
    assert [type(value) for value in values] == [int, float, float, int, float]
    # The invalid byte sends the document to the slow decoder, with the same result.
    values = go_json.loads_typed(b'[1, 1.0, "\xff"]')
    assert [type(value) for value in values] == [int, float, str]


def test_normalising_on_the_slow_road() -> None:  # 46
    values = go_json.loads(b'[1.0, 1.5, 1e21, 7, "\xff"]')
    assert values == [1, 1.5, 1e21, 7, "\ufffd"]
    assert [type(value) for value in values] == [int, float, float, int, str]


def test_pairs() -> None:
    document = go_json.loads_pairs(b'{"a":{"b":1,"b":[{"c":2}]},"a":3.0,"\\ud800":"\\ud800"}')
    assert type(document) is Pairs
    assert document == [("a", [("b", 1), ("b", [[("c", 2)]])]), ("a", 3.0), ("\ufffd", "\ufffd")]
    assert go_json.plain(document) == {"a": 3.0, "\ufffd": "\ufffd"}
    assert go_json.plain(Pairs([("a", [Pairs([("b", 1), ("b", 2)])])])) == {"a": [{"b": 2}]}


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b" ", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a"', "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b'{"a":1,', "unexpected end of JSON input"),
        (b"[", "unexpected end of JSON input"),
        (b"[1", "unexpected end of JSON input"),
        (b"[1,", "unexpected end of JSON input"),
        (b'"a', "unexpected end of JSON input"),
        (b'{"a', "unexpected end of JSON input"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b"{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        (b"{,}", "invalid character ',' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":,}', "invalid character ',' looking for beginning of value"),
        (b"[,]", "invalid character ',' looking for beginning of value"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"\x7f", r"invalid character '\x7f' looking for beginning of value"),
        (b"{}x", "invalid character 'x' after top-level value"),
        (b"{} {}", "invalid character '{' after top-level value"),
        (b'1"', "invalid character '\"' after top-level value"),
        (b"01", "invalid character '1' after top-level value"),
        # 49
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (
            "{}".encode("utf-16-le"),
            r"invalid character '\x00' looking for beginning of object key string",
        ),
        # 47
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"Infinity", "invalid character 'I' looking for beginning of value"),
        (b"1e400", "json: cannot unmarshal number 1e400 into Go value of type float64"),
        (b'{"a":[-1e400]}', "json: cannot unmarshal number -1e400 into Go value of type float64"),
        (
            b'["\xff",' + b"9" * 310 + b"]",
            f"json: cannot unmarshal number {'9' * 40} into Go value of type float64",
        ),
        # 52
        (b"[" * 100_000 + b"]" * 100_000, "invalid character '[' exceeded max depth"),
        ((b'{"a":' * 100_000), "invalid character '{' exceeded max depth"),
    ],
)
def test_malformed(load: Any, data: bytes, text: str) -> None:
    with pytest.raises(JSONError) as caught:
        load(data)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "value", [object(), {"a": object()}, "\ud800", ["\ud800"], {1.5: object()}, {(): 1}]
)
def test_no_json(value: Any) -> None:
    with pytest.raises(JSONError, match=r"^json: unsupported value: "):
        go_json.dumps(value)


def test_endless() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(JSONError, match=r"^json: unsupported value: "):
        go_json.dumps(endless)


def test_indent() -> None:
    assert go_json.indent(b'{"a":{},"b":[1,[]]}', 2) == (
        b'{\n  "a": {},\n  "b": [\n    1,\n    []\n  ]\n}'
    )


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": ({"b": -math.inf},)}])
def test_not_finite(value: Any) -> None:  # 47
    with pytest.raises(JSONError, match=r"^json: unsupported value: "):
        go_json.reject_non_finite(value)


def test_finite() -> None:
    go_json.reject_non_finite({"a": [1, 1.5, None, "nan", (2,), {}]})


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        ("", "string"),
        (0, "number"),
        (0.0, "number"),
        ({}, "object"),
        (Pairs(), "object"),
        ([], "array"),
    ],
)
def test_kind(value: Any, kind: str) -> None:
    assert go_json.kind(value) == kind


@pytest.mark.parametrize(
    ("key", "folded"),
    [("cniVersion", "cniversion"), ("\u017fearch", "search"), ("\u212aey", "key"), ("É", "é")],
)
def test_fold(key: str, folded: str) -> None:
    assert go_json.fold(key) == folded


def test_fields() -> None:
    document = {"A": 1, "x": 2, "a": 3, "\u017f": 4}
    names = {"a": "Aa", "s": "S"}
    assert list(go_json.fields(document, names)) == [("Aa", 1), ("Aa", 3), ("S", 4)]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    # A larger integral float is read as the digits written, which may differ from its binary value.
    | st.floats(-(2**53), 2**53)
    | st.floats(min_value=1e21, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_is_written_can_be_read(value: Any) -> None:
    data = go_json.dumps(value)
    assert go_json.loads(data) == value
    assert go_json.loads_typed(data) == value
    assert go_json.plain(go_json.loads_pairs(data)) == value
    assert go_json.dumps(go_json.loads(data)) == go_json.dumps(
        go_json.loads(json.dumps(value).encode())
    )


@given(st.binary() | st.text(alphabet='{}[]:,"\\u0dtruefalsn.-+eE \n\ud7ff').map(str.encode))
def test_both_roads_agree(data: bytes) -> None:
    results: list[Any] = []
    for load in LOADERS:
        try:
            results.append(go_json.plain(load(data)))
        except JSONError as error:
            results.append(str(error))
    assert results[0] == results[1] == results[2]

"""Mistakes in a document are described in Go's words on every Python.

See items 46-52 of docs/maintainers/conformance.md.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from cni_async.go import json as go_json, json_errors
from cni_async.go.json import JSONError
from cni_async.go.json_errors import first_error
from tests.support.wait import processor_seconds

LOADERS = [go_json.loads, go_json.loads_typed, go_json.loads_pairs, go_json.loads_document]


# The error that Go's build reported for each.
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a":1,,}', "invalid character ',' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1}", "invalid character '}' after array element"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1]', "invalid character ']' after object key:value pair"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a",1}', "invalid character ',' after object key"),
        (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b"[", "unexpected end of JSON input"),
        (b'["a"', "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\', "invalid character ' ' in string escape code"),
        (b'"\\u12x4"', "invalid character 'x' in \\u hexadecimal character escape"),
        (b'"\\u12', "invalid character ' ' in \\u hexadecimal character escape"),
        (b'"\\u', "invalid character ' ' in \\u hexadecimal character escape"),
        (b'"C:\\Program Files"', "invalid character 'P' in string escape code"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"a\x00b"', "invalid character '\\x00' in string literal"),
        (b'"a\tb', "invalid character '\\t' in string literal"),
        (b'"\\\\', "unexpected end of JSON input"),
        (b"-", "invalid character ' ' in numeric literal"),
        (b"-a", "invalid character 'a' in numeric literal"),
        (b"- 1", "invalid character ' ' in numeric literal"),
        (b"+1", "invalid character '+' looking for beginning of value"),
        (b".5", "invalid character '.' looking for beginning of value"),
        (b"1.", "invalid character ' ' after decimal point in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"[1.]", "invalid character ']' after decimal point in numeric literal"),
        (b"1e", "invalid character ' ' in exponent of numeric literal"),
        (b"1e+", "invalid character ' ' in exponent of numeric literal"),
        (b"[1e-]", "invalid character ']' in exponent of numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"01", "invalid character '1' after top-level value"),
        (b"-01", "invalid character '1' after top-level value"),
        (b"00", "invalid character '0' after top-level value"),
        (b"1.5.5", "invalid character '.' after top-level value"),
        (b"t", "invalid character ' ' in literal true (expecting 'r')"),
        (b"tru", "invalid character ' ' in literal true (expecting 'e')"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b"[fals", "invalid character ' ' in literal false (expecting 'e')"),
        (b"falze", "invalid character 'z' in literal false (expecting 's')"),
        (b"nul", "invalid character ' ' in literal null (expecting 'l')"),
        (b"nil", "invalid character 'i' in literal null (expecting 'u')"),
        (b"nUll", "invalid character 'U' in literal null (expecting 'u')"),
        (b"truee", "invalid character 'e' after top-level value"),
        (b"True", "invalid character 'T' looking for beginning of value"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"-Infinity", "invalid character 'I' in numeric literal"),
        (b"Infinity", "invalid character 'I' looking for beginning of value"),
        (b"", "unexpected end of JSON input"),
        (b" \n", "unexpected end of JSON input"),
        (b"{}}", "invalid character '}' after top-level value"),
        (b"{}\\", "invalid character '\\\\' after top-level value"),
        (b"\\", "invalid character '\\\\' looking for beginning of value"),
        (b"[\\]", "invalid character '\\\\' looking for beginning of value"),
        (b"'a'", "invalid character '\\'' looking for beginning of value"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'"a" "b"', "invalid character '\"' after top-level value"),
        (b'{"a":"b"', "unexpected end of JSON input"),
        (b'{"}', "unexpected end of JSON input"),
        (b"\xc3\xa4", "invalid character 'Ã' looking for beginning of value"),
        (b"[\xff]", "invalid character 'ÿ' looking for beginning of value"),
        (b"[\x80]", "invalid character '\\u0080' looking for beginning of value"),
        (b"[\xa0]", "invalid character '\\u00a0' looking for beginning of value"),
        (b"[\xad]", "invalid character '\\u00ad' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"\xff\xfe{\x00}\x00", "invalid character 'ÿ' looking for beginning of value"),
        (b"{\x00}\x00", "invalid character '\\x00' looking for beginning of object key string"),
        (b"\x00{\x00}", "invalid character '\\x00' looking for beginning of value"),
        (b"\x1b[31m", "invalid character '\\x1b' looking for beginning of value"),
        (b"\x7f", "invalid character '\\x7f' looking for beginning of value"),
        (b"//", "invalid character '/' looking for beginning of value"),
        (b'{"a":1}#', "invalid character '#' after top-level value"),
        (
            b'{"a":[1,2,{"b":"c",}]}',
            "invalid character '}' looking for beginning of object key string",
        ),
        (b"[1e400,]", "invalid character ']' looking for beginning of value"),
        (b'["\xff",]', "invalid character ']' looking for beginning of value"),
        (b'["\\ud800",]', "invalid character ']' looking for beginning of value"),
    ],
)
def test_in_gos_words(data: bytes, text: str) -> None:
    assert first_error(data) == text
    for load in LOADERS:
        with pytest.raises(JSONError) as caught:
            load(data)
        assert str(caught.value) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"[" * 10_000 + b"x", "invalid character 'x' looking for beginning of value"),
        (b"[" * 10_001, "invalid character '[' exceeded max depth"),
        (b'{"a":' * 10_001, "invalid character '{' exceeded max depth"),
        (b"[" * 10_000 + b"]" * 10_000 + b"]", "invalid character ']' after top-level value"),
        # The first mistake in the document is reported, not the first that Python finds.
        (b'["\xff",1e400,tru]', "invalid character ']' in literal true (expecting 'e')"),
        (b'["\\ud800",1e400}', "invalid character '}' after array element"),
        (b"[NaN,}", "invalid character 'N' looking for beginning of value"),
    ],
    ids=range(7),
)
def test_the_first_mistake(data: bytes, text: str) -> None:
    for load in LOADERS:
        with pytest.raises(JSONError) as caught:
            load(data)
        assert str(caught.value) == text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_nothing_is_wrong(value: object, indent: int | None, ensure_ascii: bool) -> None:
    assert first_error(json.dumps(value, indent=indent, ensure_ascii=ensure_ascii).encode()) is None


@given(VALUES, st.binary(max_size=3), st.data())
def test_every_refusal_has_its_reason(value: object, more: bytes, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    at = data.draw(st.integers(0, len(text)))
    mutated = text[:at] + more + text[at + len(more) :]
    refusal: str | None = None
    try:
        go_json.loads(mutated)
    except JSONError as error:
        refusal = str(error)
    reason = first_error(mutated)
    assert reason == refusal or (reason is None and "cannot unmarshal" in (refusal or ""))


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"1," * 3_000_000 + b"x",
        b"[" + b"[]," * 200_000 + b"x",
        b'["' + b"a" * 6_000_000 + b'",x]',
        b'["' + b"\\n" * 3_000_000 + b'",x]',
        b"[" + b"1" * 6_000_000 + b"x",
        b'{"a":"' + b"a" * 6_000_000,
    ],
    ids=["numbers", "brackets", "string", "escapes", "digits", "cut off"],
)
def test_megabytes_do_not_take_for_ever(data: bytes) -> None:
    # An idle machine needs a tenth of that. Inspecting each byte would take longer.
    assert processor_seconds(lambda: first_error(data)) < 2


def test_as_far_as_it_is_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_errors, "_MOST_STEPS", 10)
    with pytest.raises(JSONError, match=r"^malformed JSON$"):
        go_json.loads(b"[" * 20 + b"x")

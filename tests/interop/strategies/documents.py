"""JSON token by token, so that it can be odd in ways in which no encoder writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Document = SearchStrategy[bytes]
Member = SearchStrategy[tuple[bytes, bytes]]
T = TypeVar("T")

_ODD_STRINGS: Final = (
    b'""',
    b'"\\u0000"',
    b'"\\u007f\x7f"',
    b'"\\/\\b\\f\\n\\r\\t\\"\\\\"',
    b'"<&>\xe2\x80\xa8\\u2029"',
    b'"\xf0\x9f\x98\x80"',
    b'"\\ud83d\\ude00"',
    b'"\\uD83D"',  # a lone surrogate
    b'"\\ude00\\ud83d"',
    b'"\\ud83d\\u0041"',
    b'"\xed\xa0\x80"',  # a lone surrogate, in UTF-8
    b'"\xff\xfe"',
    b'"a\xc3"',
    b'"\xc0\xaf"',
    b'"\xf5\x80\x80\x80"',
    b'"\xe2\x82"',
    b'"\xef\xbb\xbf"',
    b'"\xef\xbf\xbd"',
    b'"e\xcc\x81\xc4\xb0\xc3\x9f"',
)
_ODD_NUMBERS: Final = tuple(
    b"""
    0 -0 0.0 -0.0 1 -1 7 1.0 1.5 1500.0 1e3 1E3 1e+3 1e-3 0e0 -0e-0 0.1 1e20 1e21 123e19 1e-6 1e-7
    9007199254740991 9007199254740992 9007199254740993 -9007199254740993 1234567890123456789
    9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 253 254 255
    18446744073709551615 18446744073709551616 12345678901234567890123 1e308 1.7976931348623157e308
    1e400 -1e400 1e-400 4.9e-324 2.5e-324 100000000000000000000000000000 3.141592653589793238462
    0.30000000000000004 65536 4294967296 1e-400000 1234567890123456789.0 9007199254740993.5
    """.split()
)
_NO_JSON: Final = tuple(
    b'|NaN|Infinity|-Infinity|nul|tru|True|None|undefined|01|-|+1|.5|1.|1e|0x10|\'a\'|"a|"\\x"|'
    b'"\\u12"|"\\u123g"|"\t"|"\n"|"\0"|[1,]|[,]|{"a"}|{"a":}|{"a":1,}|{a:1}|{"a" 1}|{"a":1 "b":2}|'
    b"[1 2]|]|}|[|{|//|/**/1|1 1|\xef\xbb\xbf{}|\xff|\0|\xc2\xa0|\x0b1".split(b"|")
)


def seldom(one_in: int = 20) -> SearchStrategy[bool]:
    """Return True once in so many times."""
    return st.sampled_from([False] * (one_in - 1) + [True])


@st.composite
def mostly(
    draw: st.DrawFn, usual: SearchStrategy[T], odd: SearchStrategy[T], one_in: int = 20
) -> T:
    """Draw a usual value, and an odd one once in so many times."""
    return draw(odd if draw(seldom(one_in)) else usual)


def string(text: str) -> bytes:
    """Write a JSON string."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _escaped(text: str) -> bytes:
    return b'"' + b"".join(b"\\u%04x" % ord(char) for char in text) + b'"'


# From parts of Unicode where all versions of its tables agree on what is printable.
characters: SearchStrategy[str] = st.one_of(
    st.characters(max_codepoint=0x36F),
    st.sampled_from("\u200b\u200d\u2028\u2029\u202e\u2060\u3000\ufeff\ufffd\ufffe\uffff\u0378"),
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5),
    st.characters(min_codepoint=0xE000, max_codepoint=0xF8FF),
    st.characters(min_codepoint=0x1F600, max_codepoint=0x1F64F),
    st.characters(min_codepoint=0x40000, max_codepoint=0x4FFFF),
    st.characters(min_codepoint=0xFFFFE),
)
odd_strings: Document = st.sampled_from(_ODD_STRINGS)
strings: Document = st.one_of(
    st.sampled_from(["a", "b", "bridge", "x y", "true", "1.0.0", "é", "日本"]).map(string),
    st.text(characters, max_size=6).map(string),
    st.text("ab<&é\u2028\U0001f600", max_size=4).map(json.dumps).map(str.encode),
    odd_strings,
)
numbers: Document = st.one_of(
    st.sampled_from(_ODD_NUMBERS),
    st.integers().map(b"%d".__mod__),
    st.floats(allow_nan=False, allow_infinity=False).map(repr).map(str.encode),
)
literals: Document = st.sampled_from([b"null", b"true", b"false"])
scalars: Document = st.one_of(literals, strings, numbers)


def array(members: Iterable[bytes]) -> bytes:
    """Write an array of members that are already written."""
    return b"[" + b",".join(members) + b"]"


def object_(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write an object of keys and values that are already written."""
    return b"{" + b",".join(key + b":" + value for key, value in pairs) + b"}"


def arrays(members: Document, max_size: int = 3) -> Document:
    """Make arrays of these members."""
    return st.lists(members, max_size=max_size).map(array)


def objects(*members: Member, max_size: int = 3) -> Document:
    """Make objects of these members; keys may be repeated."""
    return st.lists(st.one_of(*members), max_size=max_size).map(object_)


# Deeper than any configuration, and far below Python's recursion limit.
_DEEP: Final = 100
_deep: Document = st.sampled_from(
    [b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP]
)
anything: Document = mostly(
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            arrays(inner), st.lists(st.tuples(strings, inner), max_size=3).map(object_)
        ),
        max_leaves=5,
    ),
    _deep,
    one_in=50,
)


@st.composite
def _variant(draw: st.DrawFn, key: str) -> bytes:
    """Spell a key in a way that Go reads as the same key, or almost."""
    how = draw(st.sampled_from(["upper", "lower", "swap", "fold", "escape", "near"]))
    match how:
        case "upper":
            return string(key.upper())
        case "lower":
            return string(key.lower())
        case "swap":
            place = draw(st.integers(0, len(key) - 1))
            return string(key[:place] + key[place].swapcase() + key[place + 1 :])
        case "fold":  # only case folding turns these letters into s and k
            return string(key.translate({0x73: 0x17F, 0x53: 0x17F, 0x6B: 0x212A, 0x4B: 0x212A}))
        case "escape":
            return _escaped(key)
        case _:
            return string(draw(st.sampled_from([key + " ", key[:-1], "İ" + key[1:], key + "\0"])))


def spelled(key: str) -> Document:
    """Write a key, now and then in another spelling."""
    return mostly(st.just(string(key)), _variant(key), one_in=8)


def member(key: str, *good: Document) -> Member:
    """Make a member with one of these values, and now and then any other."""
    return st.tuples(spelled(key), mostly(st.one_of(*good), anything))


@st.composite
def documents(
    draw: st.DrawFn,
    *required: tuple[str, Document],
    members: Sequence[Member],
    max_size: int = 5,
) -> bytes:
    """Make objects with most of the required members, and some of the others."""
    pairs = draw(st.lists(st.one_of(*members), max_size=max_size))
    for key, value in required:
        if not draw(seldom()):
            place = draw(st.integers(0, len(pairs)))
            pairs.insert(place, (string(key), draw(value)))
    return object_(pairs)


@st.composite
def _mangled(draw: st.DrawFn, whole: Document) -> bytes:
    data = draw(whole)
    place = draw(st.integers(0, len(data)))
    how = draw(st.sampled_from(["cut", "insert", "delete", "replace", "before", "after", "space"]))
    match how:
        case "cut":
            return data[:place]
        case "insert":
            return data[:place] + draw(st.binary(min_size=1, max_size=3)) + data[place:]
        case "delete":
            return data[:place] + data[place + 1 :]
        case "replace":
            return data[:place] + draw(st.sampled_from(_NO_JSON)) + data[place + 1 :]
        case "before":
            return (
                draw(st.sampled_from([b"\xef\xbb\xbf", b" \t\r\n", b"\0", b"x", b"\xff\xfe"]))
                + data
            )
        case "after":
            return data + draw(st.sampled_from([b" \t\r\n", b"\0", b"x", b"{}", b",", b"\xff"]))
        case _:
            return data.replace(
                b",", draw(st.sampled_from([b" ,\n", b",\t", b"\r,", b",\xc2\xa0"]))
            )


def or_odd(whole: Document) -> Document:
    """Damage some of these documents, and replace a few."""
    return mostly(whole, st.one_of(_mangled(whole), _mangled(whole), _other), one_in=6)


_other: Document = st.one_of(anything, st.sampled_from(_NO_JSON), st.binary(max_size=8))

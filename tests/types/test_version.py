"""Versions and the answers to VERSION.

See items 295-303 of docs/maintainers/conformance.md.
"""

import itertools

import pytest

from cni_async.errors import IncompatibleVersionError, VersionError
from cni_async.version import (
    ALL,
    LEGACY,
    PluginInfo,
    current,
    decode_config_version,
    decode_plugin_info,
    greater_than,
    greater_than_or_equal_to,
    parse_version,
    plugin_supports,
    reconcile,
    versions_starting_from,
)

KNOWN = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("", (0, 1, 0)),  # 295
        ("1", (1, 0, 0)),
        ("1.2", (1, 2, 0)),
        ("1.2.3", (1, 2, 3)),
        ("+1.-2.3", (1, -2, 3)),  # 297
        ("01.02.03", (1, 2, 3)),
        ("9223372036854775807.-9223372036854775808.0", (2**63 - 1, -(2**63), 0)),
        ("0" * 300 + "7", (7, 0, 0)),
    ],
)
def test_parse(version: str, numbers: tuple[int, int, int]) -> None:
    assert parse_version(version) == numbers


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.2.3.4", 'invalid version "1.2.3.4": too many parts'),  # 296
        ('1.2.3."', 'invalid version "1.2.3.\\"": too many parts'),
        *(
            (
                version,
                f'failed to convert {part} version part "{bad}": '
                f'strconv.Atoi: parsing "{bad}": invalid syntax',
            )
            for version, part, bad in [
                ("bad", "major", "bad"),
                ("1.f", "minor", "f"),
                ("1.0.f", "micro", "f"),
                ("1.", "minor", ""),
                (".1", "major", ""),
                # 297
                ("1 ", "major", "1 "),
                ("1_0", "major", "1_0"),
                ("0x1", "major", "0x1"),
                ("v1.0.0", "major", "v1"),
                ("1.0.0\n", "micro", "0\\n"),
                ("+", "major", "+"),
                ("+-1", "major", "+-1"),
                ("1.0.0-rc1", "micro", "0-rc1"),  # 298
            ]
        ),
        *(
            (
                number,
                f'failed to convert major version part "{number}": '
                f'strconv.Atoi: parsing "{number}": value out of range',
            )
            for number in ["9223372036854775808", "-9223372036854775809", "9" * 5000]
        ),
    ],
)
def test_bad(version: str, text: str) -> None:
    with pytest.raises(VersionError) as caught:
        parse_version(version)
    assert str(caught.value) == text


def test_other_digits() -> None:  # 297
    with pytest.raises(VersionError, match=r"invalid syntax$"):
        parse_version("\u0661.0.0")


def test_order() -> None:  # 299
    for low, high in itertools.combinations(["", *KNOWN[1:], "1.10.0", "2"], 2):
        assert greater_than(high, low)
        assert not greater_than(low, high)
        assert greater_than_or_equal_to(high, low)
        assert not greater_than_or_equal_to(low, high)
    assert greater_than_or_equal_to("1.0", "1.0.0")
    assert not greater_than("1.0", "1.0.0")


@pytest.mark.parametrize("compare", [greater_than, greater_than_or_equal_to])
@pytest.mark.parametrize("pair", [("x", "1"), ("1", "x")])
def test_order_of_no_versions(compare: object, pair: tuple[str, str]) -> None:  # 299
    assert callable(compare)
    with pytest.raises(VersionError):
        compare(*pair)


def test_known() -> None:  # 300
    assert current() == "1.1.0"
    assert ALL.supported_versions == KNOWN
    assert LEGACY.supported_versions == ("0.1.0", "0.2.0")


@pytest.mark.parametrize("index", range(len(KNOWN)))
def test_starting_from(index: int) -> None:  # 301
    assert versions_starting_from(KNOWN[index]).supported_versions == KNOWN[index:]


@pytest.mark.parametrize("version", ["", "1.0", "2.0.0"])
def test_starting_from_nowhere(version: str) -> None:  # 301
    with pytest.raises(ValueError, match=f'^no known CNI version "{version}"$'):
        versions_starting_from(version)


def test_supporting_nothing() -> None:  # 302
    with pytest.raises(ValueError, match=r"^you must support at least one version$"):
        plugin_supports()


def test_encode() -> None:  # 302
    assert plugin_supports("0.4.0", "x").encode() == (
        b'{"cniVersion":"1.1.0","supportedVersions":["0.4.0","x"]}\n'
    )


def test_reconcile() -> None:  # 303
    reconcile("1.0.0", ALL)
    reconcile("1.2.3", ["1.2.3", "4.3.2"])
    with pytest.raises(IncompatibleVersionError) as caught:
        reconcile("0.1.0", ["1.2.3", "4.3.2"])
    details = 'config is "0.1.0", plugin supports ["1.2.3" "4.3.2"]'
    assert str(caught.value) == f"incompatible CNI versions: {details}"
    assert caught.value.details == details
    assert caught.value.config == "0.1.0"
    assert caught.value.supported == ("1.2.3", "4.3.2")


@pytest.mark.parametrize("version", ["1.0", "01.0.0", ""])
def test_reconcile_compares_letters(version: str) -> None:  # 303
    with pytest.raises(IncompatibleVersionError):
        reconcile(version, ALL)


@pytest.mark.parametrize(
    ("data", "info"),
    [
        (
            b'{"cniVersion":"1.0.0","supportedVersions":["b","a"]}',
            PluginInfo(("b", "a"), "1.0.0"),
        ),
        (b'{"cniversion":"x","SupportedVersions":["a"],"y":1}', PluginInfo(("a",), "x")),
        (b'{"cniVersion":"0.2.0"}', LEGACY),
        (b'{"cniVersion":"0.2.0","supportedVersions":null}', LEGACY),
        (b'{"cniVersion":"0.2.0","supportedVersions":[]}', LEGACY),
    ],
)
def test_plugin_info(data: bytes, info: PluginInfo) -> None:
    assert decode_plugin_info(data) == info


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b"null", "missing field cniVersion"),
        (b"{}", "missing field cniVersion"),
        (b'{"cniVersion":""}', "missing field cniVersion"),
        (b'{"cniVersion":null}', "missing field cniVersion"),
        (b'{"cniVersion":"1.0.0"}', "missing field supportedVersions"),
        (b'{"cniVersion":"1.0.0","supportedVersions":[]}', "missing field supportedVersions"),
        (b"[]", "the answer is of type array, not object"),
        (b'{"cniVersion":5}', "cniVersion is of type number, not string"),
        (b'{"supportedVersions":{}}', "supportedVersions is of type object, not array"),
        (
            b'{"supportedVersions":["a",true]}',
            "a member of supportedVersions is of type boolean, not string",
        ),
    ],
)
def test_bad_plugin_info(data: bytes, text: str) -> None:
    with pytest.raises(VersionError) as caught:
        decode_plugin_info(data)
    assert str(caught.value) == f"decoding version info: {text}"


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"{}", "0.1.0"),
        (b"null", "0.1.0"),
        (b'{"cniVersion":""}', "0.1.0"),
        (b'{"cniVersion":null}', "0.1.0"),
        (b'{"cniVersion":"x"}', "x"),
        (b'{"cniVersion":"1.0.0","CNIVERSION":"1.1.0"}', "1.1.0"),
        (b'{"cniVersion":"1.0.0","CNIVERSION":null}', "1.0.0"),
    ],
)
def test_config_version(data: bytes, version: str) -> None:
    assert decode_config_version(data) == version


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "unexpected end of JSON input"),
        (b"[]", "the document is of type array, not object"),
        (b'{"cniVersion":false}', "cniVersion is of type boolean, not string"),
    ],
)
def test_bad_config_version(data: bytes, text: str) -> None:
    with pytest.raises(VersionError) as caught:
        decode_config_version(data)
    assert str(caught.value) == f"decoding version from network config: {text}"

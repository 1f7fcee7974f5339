"""The version that a list runs at.

The tests cover section C of docs/maintainers/conformance.md;
their ids contain the numbers.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from cni_async.conf import conf_list_from_bytes
from cni_async.errors import ConfigError, UnsupportedVersionError, VersionError
from cni_async.version import ALL, parse_version

PREFIX = "error parsing configuration list: "
ABSENT = object()


def parse(version: Any = ABSENT, versions: Any = ABSENT) -> str:
    document: dict[str, Any] = {"name": "n", "plugins": [{"type": "t"}]}
    if version is not ABSENT:
        document["cniVersion"] = version
    if versions is not ABSENT:
        document["cniVersions"] = versions
    return conf_list_from_bytes(json.dumps(document).encode()).cni_version


@pytest.mark.parametrize(
    ("version", "versions", "selected"),
    [
        pytest.param(ABSENT, ABSENT, "", id="19-absent"),
        pytest.param("", ABSENT, "", id="20-empty"),
        pytest.param("1.2.3", ABSENT, "1.2.3", id="20-unknown"),
        pytest.param("99.0.0", ABSENT, "99.0.0", id="20-too-new"),
        pytest.param("garbage", ABSENT, "garbage", id="20-garbage"),
        pytest.param("1.0", ABSENT, "1.0", id="20-verbatim"),
        pytest.param(ABSENT, ["0.3.1", "1.0.0", "0.4.0"], "1.0.0", id="34"),
        pytest.param("1.1.0", ["0.4.0"], "1.1.0", id="34-union"),
        pytest.param("0.4.0", ["1.0.0"], "1.0.0", id="34-union-2"),
        pytest.param(ABSENT, ["0.4.0", "0.10.0"], "0.10.0", id="34-by-number"),
        pytest.param("2.0.0", ["1.0.0"], "1.0.0", id="35-version-too-new"),
        pytest.param("1.0.0", ["1.2.0", "2.0.0"], "1.0.0", id="35-versions-too-new"),
        pytest.param("0.4.0", [], "0.4.0", id="38"),
        pytest.param("8.0.0", [], "8.0.0", id="38-too-new"),
        pytest.param(ABSENT, [], "", id="38-none"),
        pytest.param(ABSENT, ["1.0"], "1.0.0", id="43-one"),
        pytest.param(ABSENT, ["1.0", "1.0.0", "1"], "1.0.0", id="43-first"),
        pytest.param("1.0.0", ["1", "1.0"], "1.0.0", id="43-last"),
        pytest.param(ABSENT, ["+1.0.0"], "1.0.0", id="43-44-sign"),
        pytest.param(ABSENT, ["0.5"], "0.5", id="43-unknown-stays"),
        pytest.param(ABSENT, [""], "0.1.0", id="44-empty"),
        pytest.param(ABSENT, ["", "0.3.0"], "0.3.0", id="44-empty-is-0.1.0"),
        pytest.param(ABSENT, ["0.-42.0", "0.2.0"], "0.2.0", id="44-negative"),
        pytest.param(ABSENT, ["0.-42.0"], "0.-42.0", id="44-negative-only"),
    ],
)
def test_selected(version: Any, versions: Any, selected: str) -> None:
    assert parse(version, versions) == selected


@pytest.mark.parametrize(
    ("version", "versions", "offered"),
    [
        pytest.param(ABSENT, ["8.0.0", "1.1.1"], '["8.0.0" "1.1.1"]', id="36"),
        pytest.param("", ["8.0.0"], '["8.0.0"]', id="36-empty"),
        pytest.param("9.0.0", ["8.0.0"], '["8.0.0" "9.0.0"]', id="37"),
    ],
)
def test_all_too_new(version: Any, versions: Any, offered: str) -> None:
    with pytest.raises(UnsupportedVersionError) as caught:
        parse(version, versions)
    assert str(caught.value).startswith(f"{PREFIX}no supported version among {offered}, ")
    assert "1.1.0" in str(caught.value)
    assert caught.value.key == "cniVersions"


NOT_A_NUMBER = 'strconv.Atoi: parsing "f": invalid syntax'


@pytest.mark.parametrize(
    ("version", "versions", "reason", "key"),
    [
        pytest.param(ABSENT, {}, "invalid type for cniVersions: object", "cniVersions", id="39"),
        pytest.param(
            ABSENT, None, "invalid type for cniVersions: null", "cniVersions", id="39-null"
        ),
        pytest.param(
            ABSENT, "1.0.0", "invalid type for cniVersions: string", "cniVersions", id="39-string"
        ),
        pytest.param(
            ABSENT,
            [1.1, "x"],
            "invalid type for cniVersions index 0: number",
            "cniVersions",
            id="40",
        ),
        pytest.param(
            "bad",
            ["1.0.0", None],
            "invalid type for cniVersions index 1: null",
            "cniVersions",
            id="40-before-42",
        ),
        pytest.param(
            ABSENT,
            ["1.0.f"],
            "invalid cniVersions entry 1.0.f at index 0: "
            f'failed to convert micro version part "f": {NOT_A_NUMBER}',
            "cniVersions",
            id="41",
        ),
        pytest.param(
            ABSENT,
            ["1.0.0", "1.2.3.4"],
            'invalid cniVersions entry 1.2.3.4 at index 1: invalid version "1.2.3.4": '
            "too many parts",
            "cniVersions",
            id="41-parts",
        ),
        pytest.param(
            "f",
            ["1.0.0"],
            f'invalid cniVersion f: failed to convert major version part "f": {NOT_A_NUMBER}',
            "cniVersion",
            id="42",
        ),
        pytest.param(
            "f",
            [],
            f'invalid cniVersion f: failed to convert major version part "f": {NOT_A_NUMBER}',
            "cniVersion",
            id="42-38",
        ),
    ],
)
def test_malformed(version: Any, versions: Any, reason: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(version, versions)
    assert str(caught.value) == PREFIX + reason
    assert caught.value.key == key
    if "invalid cni" in reason:
        assert isinstance(caught.value.__cause__, VersionError)


@given(st.lists(st.sampled_from([*ALL.supported_versions, "1.0", "1", "0.4", "2.0.0"]), min_size=1))
def test_item_43_the_order_does_not_matter(versions: list[str]) -> None:
    known = [version for version in versions if version != "2.0.0"]
    if not known:
        with pytest.raises(UnsupportedVersionError):
            parse(ABSENT, versions)
        return
    selected = parse(ABSENT, versions)
    assert (
        selected == parse(ABSENT, versions[::-1]) == parse(versions[-1], versions[:-1] or versions)
    )
    assert selected in ALL.supported_versions
    assert parse_version(selected) == max(map(parse_version, known))

"""Select the CNI version of a configuration list (specification, "Version considerations")."""

from __future__ import annotations

from typing import Any, Final

from cni_async.errors import ConfigError, UnsupportedVersionError, VersionError
from cni_async.go import json as go_json
from cni_async.go.quote import quoted_list
from cni_async.version import ALL, current, parse_version

PREFIX: Final = "error parsing configuration list: "

_CURRENT: Final = parse_version(current())
_SPELLINGS: Final = {parse_version(known): known for known in ALL.supported_versions}


def select_version(document: go_json.Object) -> str:
    """Return the newest version of ``cniVersions`` and ``cniVersion`` that is not too new.

    If ``cniVersions`` is missing or empty, return ``cniVersion`` as it is, known or not.

    Raises:
        ConfigError: a value has the wrong type or is not a version.
        UnsupportedVersionError: all versions are newer than `current()`.
    """
    version = document.get("cniVersion", "")
    if not isinstance(version, str):
        raise ConfigError(
            f"{PREFIX}invalid cniVersion type {go_json.kind(version)}", key="cniVersion"
        )
    if "cniVersions" not in document:
        return version
    offered = _entries(document["cniVersions"])
    if version:
        try:
            offered.append((parse_version(version), version))
        except VersionError as error:
            raise ConfigError(
                f"{PREFIX}invalid cniVersion {version}: {error}", key="cniVersion"
            ) from error
    if not document["cniVersions"]:
        return version
    known = [offer for offer in offered if offer[0] <= _CURRENT]
    if not known:
        raise UnsupportedVersionError(
            f"{PREFIX}no supported version among {quoted_list(text for _, text in offered)}, "
            f"this library supports {quoted_list(ALL.supported_versions)}",
            key="cniVersions",
        )
    number, spelling = max(known, key=lambda offer: offer[0])
    # Plugins compare versions as strings and would not recognize "1.0".
    return _SPELLINGS.get(number, spelling)


def _entries(value: Any) -> list[tuple[tuple[int, int, int], str]]:
    if not go_json.is_array(value):
        raise ConfigError(
            f"{PREFIX}invalid type for cniVersions: {go_json.kind(value)}", key="cniVersions"
        )
    return [_entry(entry, index) for index, entry in enumerate(value)]


def _entry(value: Any, index: int) -> tuple[tuple[int, int, int], str]:
    if not isinstance(value, str):
        raise ConfigError(
            f"{PREFIX}invalid type for cniVersions index {index}: {go_json.kind(value)}",
            key="cniVersions",
        )
    try:
        return parse_version(value), value
    except VersionError as error:
        raise ConfigError(
            f"{PREFIX}invalid cniVersions entry {value} at index {index}: {error}",
            key="cniVersions",
        ) from error

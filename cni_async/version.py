"""Parse and compare CNI versions, and check which ones a plugin supports (pkg/version)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from . import _arguments
from .errors import IncompatibleVersionError, VersionError
from .go import json as go_json
from .go.decode import Decoder, FieldError
from .go.quote import quote

_CURRENT: Final = "1.1.0"
_PARTS: Final = ("major", "minor", "micro")
# The digits that strconv.Atoi takes; int() would also take spaces, underscores and other digits.
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")


def current() -> str:
    """Return the newest CNI version that this library speaks (version.Current)."""
    return _CURRENT


def parse_version(version: str) -> tuple[int, int, int]:
    """Split a version into major, minor and micro (version.ParseVersion).

    Args:
        version: one to three integers with dots between them; empty means 0.1.0.

    Raises:
        VersionError: it is anything else. Like libcni, this refuses pre-release tags.
    """
    if not version:
        return (0, 1, 0)
    parts = version.split(".")
    if len(parts) > len(_PARTS):
        raise VersionError(f"invalid version {quote(version)}: too many parts")
    numbers = [_parse_part(part, name) for part, name in zip(parts, _PARTS, strict=False)]
    major, minor, micro = numbers + [0] * (len(_PARTS) - len(numbers))
    return (major, minor, micro)


def _parse_part(part: str, name: str) -> int:
    if not _INTEGER.fullmatch(part):
        problem = "invalid syntax"
    elif len(part) > 400 or not -(2**63) <= (number := int(part)) < 2**63:
        problem = "value out of range"
    else:
        return number
    quoted = quote(part)
    raise VersionError(
        f"failed to convert {name} version part {quoted}: strconv.Atoi: parsing {quoted}: {problem}"
    )


def greater_than(version: str, other: str) -> bool:
    """Return whether a version is greater than another (version.GreaterThan).

    Raises:
        VersionError: a version cannot be parsed.
    """
    return parse_version(version) > parse_version(other)


def greater_than_or_equal_to(version: str, other: str) -> bool:
    """Return whether a version is at least another (version.GreaterThanOrEqualTo).

    Raises:
        VersionError: a version cannot be parsed.
    """
    return parse_version(version) >= parse_version(other)


class PluginInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A plugin's answer to VERSION (version.PluginInfo).

    Attributes:
        supported_versions: the CNI versions that it supports, in its order; they are not parsed.
        cni_version: the CNI version of the answer.
    """

    supported_versions: tuple[str, ...]
    cni_version: str = _CURRENT

    def encode(self) -> bytes:
        """Return the answer as a plugin prints it: one line of JSON (PluginInfo.Encode)."""
        fields = {"cniVersion": self.cni_version, "supportedVersions": self.supported_versions}
        return msgspec.json.encode(fields) + b"\n"


def plugin_supports(*versions: str) -> PluginInfo:
    """Return the answer of a plugin that supports these versions (version.PluginSupports).

    Raises:
        ValueError: no version is passed.
    """
    if not versions:
        raise ValueError("you must support at least one version")
    return PluginInfo(versions)


LEGACY: Final = plugin_supports("0.1.0", "0.2.0")
ALL: Final = plugin_supports("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


def versions_starting_from(version: str) -> PluginInfo:
    """Return the known versions from this one on (version.VersionsStartingFrom).

    Raises:
        ValueError: the version is unknown.
    """
    known = ALL.supported_versions
    if version not in known:
        raise ValueError(f"no known CNI version {quote(version)}")
    return plugin_supports(*known[known.index(version) :])


def reconcile(config_version: str, plugin: PluginInfo | Sequence[str]) -> None:
    """Check that a plugin supports a configuration's version (version.Reconciler).

    Args:
        config_version: the version, which is compared as a string: "1.0" is not "1.0.0".
        plugin: the plugin's answer to VERSION, or the versions that it supports.

    Raises:
        IncompatibleVersionError: the plugin does not support the version.
    """
    supported = plugin.supported_versions if isinstance(plugin, PluginInfo) else plugin
    if config_version not in supported:
        raise IncompatibleVersionError(config_version, supported)


_INFO: Final = Decoder(PluginInfo)


def decode_plugin_info(data: bytes) -> PluginInfo:
    """Read a plugin's answer to VERSION (version.PluginDecoder).

    Raises:
        VersionError: the answer is malformed or has no versions.
    """
    _arguments.require_bytes(data, "data")
    try:
        document = go_json.loads_pairs(data)
    except go_json.JSONError as error:
        raise VersionError(f"decoding version info: {error}") from None
    try:
        info = _INFO.read(document, PluginInfo((), ""))
    except FieldError as fault:
        what = fault.key or "the answer"
        if what.endswith("]"):
            what = "a member of supportedVersions"
        raise VersionError(f"decoding version info: {what} {fault.mismatch}") from None
    if not info.cni_version:
        raise VersionError("decoding version info: missing field cniVersion")
    if info.supported_versions:
        return info
    # Plugins of CNI 0.2.0 answer without the list.
    if info.cni_version == "0.2.0":
        return LEGACY
    raise VersionError("decoding version info: missing field supportedVersions")


class _Versioned(msgspec.Struct, rename="camel"):
    cni_version: str = ""


_VERSIONED: Final = Decoder(_Versioned)


def decode_config_version(data: bytes) -> str:
    """Read the cniVersion of a configuration or result (version.ConfigDecoder).

    Returns:
        the version as it is written; "0.1.0" if it is missing or empty.

    Raises:
        VersionError: the document is malformed.
    """
    _arguments.require_bytes(data, "data")
    try:
        return version_of(go_json.loads_document(data))
    except go_json.JSONError as error:
        raise VersionError(f"decoding version from network config: {error}") from None


def version_of(document: Any) -> str:
    """Return the cniVersion of a decoded document; see `decode_config_version`.

    Raises:
        VersionError: the document is not an object, or its cniVersion is not a string.
    """
    try:
        return _VERSIONED.read(document).cni_version or "0.1.0"
    except FieldError as fault:
        what = fault.key or "the document"
        raise VersionError(
            f"decoding version from network config: {what} {fault.mismatch}"
        ) from None

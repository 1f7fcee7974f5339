"""Read results: from bytes, from a plugin's stdout, from a record and from a prevResult."""

from collections.abc import Callable
from typing import Any, Final

from cni_async import _arguments
from cni_async.errors import ResultError, VersionError
from cni_async.go import json as go_json
from cni_async.go.quote import plain_list, quote
from cni_async.version import version_of

from . import _wire, v020, v040, v100
from ._result import BaseResult, convert
from .common import Result
from .netconf import NetConf

__all__ = [
    "convert",
    "create_result",
    "create_result_from_bytes",
    "parse_prev_result",
    "result_from_plugin",
]

_FAMILIES: Final[dict[str, tuple[tuple[str, ...], type[BaseResult]]]] = {
    version: (family.SUPPORTED_VERSIONS, family.Result)
    for family in (v020, v040, v100)
    for version in family.SUPPORTED_VERSIONS
}


def create_result(version: str, data: bytes) -> Result:
    """Read a result of the family of a version (create.Create).

    Args:
        version: the CNI version. The document's own version must be of the same family.
        data: the JSON document. Without a version it is 0.1.0.

    Raises:
        ResultError: the version is unknown, or the document is malformed or of another family.
    """
    _arguments.require_bytes(data, "data")
    _require_known(version)
    try:
        return _from_document(version, go_json.loads_document(data))
    except go_json.JSONError as error:
        raise ResultError(str(error)) from None


def create_result_from_bytes(data: bytes) -> Result:
    """Read a result in the version that it states (create.CreateFromBytes).

    Args:
        data: the JSON document. Without a version it is 0.1.0.

    Raises:
        ResultError: the document is malformed, or its version is unknown.
    """
    return _from_own_version(data, go_json.loads_document)


def create_result_from_map(data: bytes) -> Result:
    """Read a result from a record (create.CreateFromBytes).

    libcni reads the result into a map first. So 1.0 becomes 1, the last of equal keys
    wins, and of the spellings of a key the last in the alphabet, not in the document.

    Args:
        data: the JSON document. Without a version it is 0.1.0.

    Raises:
        ResultError: the document is malformed, or its version is unknown.
    """
    return _from_own_version(
        data, lambda data: go_json.loads_typed(go_json.dumps(go_json.loads(data)))
    )


def result_from_plugin(config_version: str, stdout: bytes) -> Result:
    """Read the result of ADD from a plugin's stdout (invoke.ExecPluginWithResult).

    Args:
        config_version: version of the plugin's configuration, and of a result that states none.
        stdout: the plugin's output; null counts as an empty result.

    Raises:
        ResultError: the document is malformed, or its version is unknown.
    """
    try:
        document = go_json.loads_document(stdout)
        if document is not None and go_json.kind(document) != "object":
            raise go_json.JSONError(f"the result is of type {go_json.kind(document)}, not object")
        # libcni accepts the version in this spelling only.
        version = dict(document or {}).get("cniVersion")
        if not isinstance(version, str) or not version:
            version = config_version or "0.1.0"
            # libcni encodes and decodes the result again here, which turns 0.0 into 0.
            raw: dict[str, Any] = go_json.loads(stdout) or dict[str, Any]()
            document = go_json.loads_typed(go_json.dumps({**raw, "cniVersion": version}))
    except go_json.JSONError as error:
        raise ResultError(f"failed to unmarshal raw result: {error}") from None
    return _from_document(version, document)


def parse_prev_result(conf: NetConf) -> None:
    """Parse the raw prevResult of a configuration (version.ParsePrevResult).

    Args:
        conf: the function sets its `prev_result`, and clears `raw_prev_result` even if it fails.

    Raises:
        ResultError: the prevResult is malformed, or of another family than the configuration.
    """
    if conf.raw_prev_result is None:
        return
    raw, conf.raw_prev_result = conf.raw_prev_result, None
    # A result from before 1.0.0 may lack its version. It has that of the configuration then.
    stated = [raw[key] for key in sorted(raw) if _is_version(key) and raw[key] is not None]
    if not any(stated[-1:]) and all(isinstance(version, str) for version in stated):
        raw = {key: value for key, value in raw.items() if not _is_version(key)}
    # `CNIVersion` sorts before `cniVersion`, which wins if it is present, as in libcni.
    raw = {"CNIVersion": conf.cni_version, **raw}
    try:
        document = go_json.loads_typed(go_json.dumps(raw))
    except go_json.JSONError as error:
        raise ResultError(f"could not serialize prevResult: {error}") from None
    try:
        conf.prev_result = _from_document(conf.cni_version, document)
    except ResultError as error:
        raise error.in_context("could not parse prevResult: ") from None


def _is_version(key: str) -> bool:
    return go_json.fold(key) == "cniversion"


def _from_own_version(data: bytes, load: Callable[[bytes], Any]) -> Result:
    _arguments.require_bytes(data, "data")
    try:
        document = load(data)
        return _decode_fast(document) or _from_document(version_of(document), document)
    except go_json.JSONError as error:
        raise ResultError(f"decoding version from network config: {error}") from None
    except VersionError as error:
        raise ResultError(str(error)) from None


def _require_known(version: str) -> None:
    if version not in _FAMILIES:
        raise ResultError(f"unsupported CNI result version {quote(version)}")


def _decode_fast(document: Any) -> BaseResult | None:
    """Read a document that uses the usual keys; return `None` for any other."""
    version = document.get("cniVersion") if go_json.is_object(document) else None
    if not version or not isinstance(version, str) or version not in _FAMILIES:
        return None
    return _wire.read_fast(document, _FAMILIES[version][1])


def _from_document(version: str, document: Any) -> BaseResult:
    _require_known(version)
    supported, struct = _FAMILIES[version]
    result = _wire.read(document, struct)
    if result.cni_version not in supported:
        raise ResultError(
            f"result type supports {plain_list(supported)} "
            f"but unmarshalled CNIVersion is {quote(result.cni_version)}"
        )
    if not result.cni_version:
        result.cni_version = "0.1.0"
    return result

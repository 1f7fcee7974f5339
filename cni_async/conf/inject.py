"""Put values into a plugin's configuration (libcni.InjectConf)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeGuard

import msgspec

from cni_async import _arguments
from cni_async.errors import ConfigError
from cni_async.go import json as go_json
from cni_async.model.network import NetworkConfig

from .decode import network_from as network_from

# The keys that the runtime sets. A plugin written in Go would read "cniversion" from the file
# as "cniVersion".
_RESERVED: Final = frozenset({"cniVersion", "name", "prevResult", "runtimeConfig"})


def inject_conf(conf: NetworkConfig, new_values: Mapping[str, Any]) -> NetworkConfig:
    """Return the configuration with keys set or replaced (libcni.InjectConf).

    If name, cniVersion, prevResult or runtimeConfig is injected, spellings of it in other letter
    case are removed. The configuration that was passed is not changed.

    Args:
        conf: the configuration; only its ``raw`` is read.
        new_values: values by key: JSON values, dataclasses, msgspec structs, or objects with a
            ``to_json()`` method, such as results.

    Raises:
        ConfigError: a key is empty; a value is `None`, cannot be encoded as JSON, or has the
            wrong type for a known key; or the configuration's bytes are malformed.
    """
    _arguments.require(conf, NetworkConfig, "conf")
    _arguments.require(new_values, Mapping, "new_values")
    document = decode_object(conf.raw)
    drop_keys(document, new_values)
    for key, value in new_values.items():
        if not key:
            raise ConfigError("keys cannot be empty")
        if value is None:
            raise ConfigError(f"key '{key}' value must not be nil", key=key)
        document[key] = to_plain(value, key)
    try:
        raw = go_json.dumps(document)
    except go_json.JSONError as error:
        raise ConfigError(str(error)) from None
    return NetworkConfig(network_from(document), raw)


def drop_keys(document: go_json.Object, keys: Iterable[str]) -> None:
    """Remove the spellings of each reserved key that is to be injected."""
    giving_way = {go_json.fold(key) for key in _RESERVED.intersection(keys)}
    for variant in [key for key in document if go_json.fold(key) in giving_way]:
        del document[variant]


def decode_object(raw: bytes) -> go_json.Object:
    """Read the bytes of a plugin's configuration.

    Raises:
        ConfigError: the bytes are not a JSON object.
    """
    try:
        document = go_json.loads(raw)
    except go_json.JSONError as error:
        raise ConfigError(f"unmarshal existing network bytes: {error}") from None
    if not go_json.is_object(document):
        raise ConfigError(
            "unmarshal existing network bytes: "
            f"the document must be an object, not {go_json.kind(document)}"
        )
    return document


def to_plain(value: Any, key: str) -> Any:
    """Convert a value to inject into plain JSON types.

    Raises:
        ConfigError: the value cannot be encoded as JSON.
    """
    try:
        plain = _write(value) if hasattr(value, "to_json") else _builtins(value)
        go_json.reject_non_finite(plain)
        # Encode and decode: integral floats lose their point, as everywhere in this library.
        return go_json.loads(go_json.dumps(plain))
    except go_json.JSONError as error:
        raise ConfigError(str(error), key=key) from error
    except RecursionError:
        raise ConfigError("json: unsupported value: exceeded max depth", key=key) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"json: unsupported value: {error}", key=key) from error


def _builtins(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_unknown)


def _unknown(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return _write(value)
    if _is_mapping(value):
        return _builtins(dict(value))
    raise go_json.JSONError(f"json: unsupported type: {type(value).__name__}")


def _write(value: Any) -> Any:
    text: str = value.to_json()
    return go_json.loads(text.encode())


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)

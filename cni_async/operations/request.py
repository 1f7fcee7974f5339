"""The request that a plugin reads on stdin."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from cni_async.conf import NetworkConfig
from cni_async.conf.inject import decode_object, drop_keys, network_from, to_plain
from cni_async.errors import ArgsError, ConfigError
from cni_async.go import json as go_json
from cni_async.types import NetConf, Result

_log = logging.getLogger(__name__)

_RESERVED_PREFIX: Final = "cni.dev/"
# Bytes. Longer configurations are rare, and caching them would use memory.
_REMEMBERED: Final = 8 * 1024


def request_config(
    plugin: NetworkConfig,
    name: str,
    cni_version: str,
    *,
    prev_result: msgspec.Raw | None = None,
    capability_args: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """Build a plugin's stdin (CNI specification, "Deriving execution configuration").

    Args:
        plugin: the plugin's configuration.
        name: the network's name, which replaces the plugin's own.
        cni_version: the network's version, which replaces the plugin's own.
        prev_result: the result of the previous plugin, or of the whole chain on CHECK and DEL
            (see `as_raw`).
        capability_args: those that the plugin declares as capabilities become its runtimeConfig;
            `None` on GC and STATUS, which have no capability args.
        extra: further keys (GC's valid attachments).

    Raises:
        ConfigError: the plugin's configuration is malformed.
        ArgsError: a capability arg is not a JSON value.
    """
    raw = bytes(plugin.raw)  # a bytearray is not hashable
    make = _common if len(raw) <= _REMEMBERED else _common.__wrapped__
    document, network = make(raw, name, cni_version, prev_result is not None)
    document = dict(document)
    if extra:
        document.update((key, to_plain(value, key)) for key, value in extra.items())
    if prev_result is not None:
        document["prevResult"] = prev_result
    elif network.raw_prev_result is not None:
        _log.warning(
            "plugin %s of network %s: the configuration itself holds a prevResult, "
            "which is the runtime's to set; it is passed on as libcni does",
            network.type,
            name,
        )
    runtime_config = {
        key: value
        for key, value in (capability_args or {}).items()
        if network.capabilities.get(key)
    }
    if runtime_config:
        drop_keys(document, ("runtimeConfig",))
        try:
            document["runtimeConfig"] = to_plain(runtime_config, "runtimeConfig")
        except ConfigError as error:
            raise ArgsError(str(error)) from error
    try:
        return go_json.dumps(document)
    except go_json.JSONError as error:
        raise ConfigError(str(error)) from None


@lru_cache(maxsize=256)
def _common(
    raw: bytes, name: str, cni_version: str, has_prev_result: bool
) -> tuple[go_json.Object, NetConf]:
    """Return the common part of a plugin's requests, and it decoded; both are read-only.

    libcni builds the same with two calls of InjectConf for each request.
    """
    document = decode_object(raw)
    values = {"name": name, "cniVersion": cni_version}
    drop_keys(document, {*values, "prevResult"} if has_prev_result else values)
    _drop_reserved(document)
    document.update(values)
    # Decoded from the bytes, which the plugin receives, not from `plugin.network`.
    return document, network_from(document)


def as_raw(result: Result) -> msgspec.Raw:
    """Write a result for `request_config`.

    Raises:
        ResultError: the result has values that JSON cannot hold or plugins cannot read.
    """
    return msgspec.Raw(result.to_json().encode())


def _drop_reserved(document: go_json.Object) -> None:
    """Remove the keys that only the runtime may set."""
    for key in [key for key in document if go_json.fold(key).startswith(_RESERVED_PREFIX)]:
        del document[key]

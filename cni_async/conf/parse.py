"""Parse bytes into configurations (libcni's ConfFromBytes and so on). Nothing here waits."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from cni_async import _arguments
from cni_async.errors import ConfigError
from cni_async.go import json as go_json
from cni_async.go.quote import lower, quote
from cni_async.model.network import NetworkConfig, NetworkConfigList

from .decode import PREFIX, network_from
from .versions import PREFIX as LIST_PREFIX, select_version


def conf_from_bytes(data: bytes) -> NetworkConfig:
    """Read the configuration of one plugin (libcni.ConfFromBytes).

    Args:
        data: a JSON object in UTF-8; ``raw`` keeps these bytes unchanged.

    Raises:
        ConfigError: the bytes are not JSON, ``type`` is missing, or a known key has a value of
            the wrong type.
    """
    _require_bytes(data)
    try:
        document = go_json.loads_pairs(data)
    except go_json.JSONError as error:
        raise ConfigError(f"{PREFIX}{error}") from None
    try:
        return NetworkConfig(network_from(document), data)
    except ConfigError as error:
        if isinstance(document, go_json.Pairs) and go_json.is_array(dict(document).get("plugins")):
            error.add_note(
                "this looks like a network configuration list, which belongs into a .conflist file"
            )
        raise


def network_plugin_conf_from_bytes(data: bytes) -> NetworkConfig:
    """Read the configuration of one plugin (libcni.NetworkPluginConfFromBytes of v1.3.0).

    Raises:
        ConfigError: as for `conf_from_bytes`.
    """
    return conf_from_bytes(data)


def conf_list_from_bytes(data: bytes) -> NetworkConfigList:
    """Read a network configuration list (libcni.ConfListFromBytes).

    See section 1 of the CNI specification, "Network configuration format". The list's ``raw``
    keeps the bytes; each plugin's ``raw`` is its object encoded again, compact and sorted.

    Args:
        data: a JSON object in UTF-8.

    Raises:
        ConfigError: the bytes are not JSON, the name or the plugins are missing, a key has a
            value of the wrong type, or a plugin's configuration is malformed.
        UnsupportedVersionError: all versions of ``cniVersions`` are too new.
    """
    document = _list_document(data)
    with _hint_at_a_single_plugin(document):
        net = _open_list(document, data)
        if "plugins" not in document:
            raise ConfigError(f"{LIST_PREFIX}no 'plugins' key", key="plugins")
    net.plugins = _plugins(document["plugins"])
    return net


def network_conf_from_bytes(data: bytes) -> NetworkConfigList:
    """Read a network configuration list (libcni.NetworkConfFromBytes of v1.3.0).

    Unlike `conf_list_from_bytes`, this function reads ``loadOnlyInlinedPlugins``. Unless that is
    true, ``plugins`` may be missing, since they can come from the network's own folder.

    Raises:
        ConfigError: as for `conf_list_from_bytes`.
        UnsupportedVersionError: as for `conf_list_from_bytes`.
    """
    document = _list_document(data)
    net = _open_list(document, data)
    net.load_only_inlined_plugins = _flag(document, "loadOnlyInlinedPlugins")
    if "plugins" in document:
        net.plugins = _plugins(document["plugins"])
    elif net.load_only_inlined_plugins:
        raise ConfigError(
            f"{LIST_PREFIX}`loadOnlyInlinedPlugins` is true, and no 'plugins' key", key="plugins"
        )
    return net


def conf_list_from_conf(conf: NetworkConfig) -> NetworkConfigList:
    """Make a list from the configuration of one plugin (libcni.ConfListFromConf).

    The list takes only the name and the version from it, not the other options of a list.

    Raises:
        ConfigError: the configuration's bytes are malformed.
    """
    _arguments.require(conf, NetworkConfig, "conf")
    _require_bytes(conf.raw)
    try:
        document: go_json.Object = {
            "cniVersion": conf.network.cni_version,
            "name": conf.network.name,
            "plugins": [go_json.loads(conf.raw)],
        }
        return conf_list_from_bytes(go_json.dumps(document))
    except go_json.JSONError as error:
        raise ConfigError(str(error)) from None


def append_plugins(net: NetworkConfigList, plugins: Iterable[NetworkConfig]) -> None:
    """Append plugins to a list that was read from bytes.

    They are appended in ``raw`` too: the cache keeps it, and DEL needs it to undo the ADD.
    """
    net.plugins = [*net.plugins, *plugins]
    document = go_json.loads(net.raw)
    document["plugins"] = [go_json.loads(plugin.raw) for plugin in net.plugins]
    net.raw = go_json.dumps(document)


@contextmanager
def _hint_at_a_single_plugin(document: go_json.Object) -> Generator[None]:
    try:
        yield
    except ConfigError as error:
        if "plugins" not in document and isinstance(document.get("type"), str):
            error.add_note(
                "this looks like one plugin's configuration, which belongs into a .conf file"
            )
        raise


def _require_bytes(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"a configuration is read from bytes, not {type(data).__name__}")


def _list_document(data: bytes) -> go_json.Object:
    _require_bytes(data)
    try:
        document = go_json.loads(data)
    except go_json.JSONError as error:
        raise ConfigError(f"{LIST_PREFIX}{error}") from None
    if document is None:
        return {}
    if not go_json.is_object(document):
        raise ConfigError(
            f"{LIST_PREFIX}the document must be an object, not {go_json.kind(document)}"
        )
    return document


def _open_list(document: go_json.Object, raw: bytes) -> NetworkConfigList:
    # libcni's order of checks decides which of several mistakes is reported.
    if "name" not in document:
        raise ConfigError(f"{LIST_PREFIX}no name", key="name")
    name = document["name"]
    if not isinstance(name, str):
        raise ConfigError(f"{LIST_PREFIX}invalid name type {go_json.kind(name)}", key="name")
    return NetworkConfigList(
        name,
        select_version(document),
        disable_check=_flag(document, "disableCheck"),
        disable_gc=_flag(document, "disableGC"),
        raw=raw,
    )


def _flag(document: go_json.Object, key: str) -> bool:
    value = document.get(key, False)
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ConfigError(f"{LIST_PREFIX}invalid type {go_json.kind(value)} for {key}", key=key)
    match lower(value):
        case "true":
            return True
        case "false":
            return False
        case other:
            raise ConfigError(f"{LIST_PREFIX}invalid value {quote(other)} for {key}", key=key)


def _plugins(value: Any) -> list[NetworkConfig]:
    if not go_json.is_array(value):
        raise ConfigError(
            f"{LIST_PREFIX}invalid 'plugins' type {go_json.kind(value)}", key="plugins"
        )
    if not value:
        raise ConfigError(f"{LIST_PREFIX}no plugins in list", key="plugins")
    return [_plugin(member, index) for index, member in enumerate(value)]


def _plugin(value: Any, index: int) -> NetworkConfig:
    try:
        return NetworkConfig(network_from(value), go_json.dumps(value))
    except ConfigError as error:
        error.in_context(f"failed to parse plugin config {index}: ")
        raise
    except go_json.JSONError as error:
        raise ConfigError(f"failed to marshal plugin config {index}: {error}") from None

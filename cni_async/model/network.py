"""Parsed network configurations (libcni.NetworkConfig and NetworkConfigList)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cni_async.types.netconf import NetConf


class NetworkConfig(msgspec.Struct):
    """One plugin's configuration (libcni.NetworkConfig, PluginConfig since v1.3.0).

    Attributes:
        network: the keys that this library knows.
        raw: the JSON object with all its keys; the plugin's request is built from it.
    """

    network: NetConf
    raw: bytes


# libcni's name for it since v1.3.0.
PluginConfig = NetworkConfig


class NetworkConfigList(msgspec.Struct):
    """A network: plugins that run one after the other (libcni.NetworkConfigList).

    Attributes:
        name: the network's name; checked when an operation uses it, not when it is read.
        cni_version: the version selected for all plugins; empty means 0.1.0.
        disable_check: CHECK succeeds without running anything.
        disable_gc: GC does nothing.
        load_only_inlined_plugins: no plugins were taken from the network's own folder.
        plugins: in the order of ADD.
        raw: the JSON document; the cache keeps it.
    """

    name: str
    cni_version: str = ""
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False
    plugins: Sequence[NetworkConfig] = ()
    raw: bytes = b""

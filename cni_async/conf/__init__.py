"""Read, find and change network configurations (section 1 of the CNI specification)."""

from cni_async.model.network import NetworkConfig, NetworkConfigList, PluginConfig

from .inject import inject_conf
from .load import (
    conf_files,
    conf_from_file,
    conf_list_from_file,
    load_conf,
    load_conf_list,
    load_network_conf,
    network_conf_from_file,
    network_plugin_confs_from_files,
)
from .parse import (
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
    network_conf_from_bytes,
    network_plugin_conf_from_bytes,
)

__all__ = [
    "NetworkConfig",
    "NetworkConfigList",
    "PluginConfig",
    "conf_files",
    "conf_from_bytes",
    "conf_from_file",
    "conf_list_from_bytes",
    "conf_list_from_conf",
    "conf_list_from_file",
    "inject_conf",
    "load_conf",
    "load_conf_list",
    "load_network_conf",
    "network_conf_from_bytes",
    "network_conf_from_file",
    "network_plugin_conf_from_bytes",
    "network_plugin_confs_from_files",
]

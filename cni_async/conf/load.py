"""Load configurations from files and directories (libcni's ConfFromFile, LoadConf and so on).

Each function uses one worker thread call, however many files it reads. The functions of libcni
v1.2.3 behave as they do there. Those that v1.3.0 added also take plugins from the network's own
folder, ``<directory>/<network name>/*.conf``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Final, TypeVar, TypeVarTuple

from cni_async import _arguments
from cni_async._async import pacing
from cni_async._async.threads import Threads
from cni_async.errors import ConfigError
from cni_async.model.network import NetworkConfig, NetworkConfigList

from . import files

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_THREADS: Final = Threads(at_once=pacing.DISK_THREADS, most_stuck=pacing.STUCK_THREADS)

_text = _arguments.require_text


async def _in_thread(function: Callable[[*_Args], _T], *args: *_Args) -> _T:
    # A cancelled caller abandons the read: a dead network file system must not block it.
    try:
        return await _THREADS.visit(lambda visit: function(*args))
    except OSError as error:
        raise ConfigError(str(error.strerror)) from error


async def conf_from_file(path: str | os.PathLike[str]) -> NetworkConfig:
    """Read the configuration of one plugin (libcni.ConfFromFile).

    Raises:
        ConfigError: the file cannot be read, or `conf_from_bytes` refuses its contents.
    """
    return await _in_thread(files.conf, _arguments.path(path, "path"))


async def conf_list_from_file(path: str | os.PathLike[str]) -> NetworkConfigList:
    """Read a network configuration list (libcni.ConfListFromFile).

    Raises:
        ConfigError: the file cannot be read, or `conf_list_from_bytes` refuses its contents.
    """
    return await _in_thread(files.conf_list, _arguments.path(path, "path"))


async def network_conf_from_file(path: str | os.PathLike[str]) -> NetworkConfigList:
    """Read a network configuration list and complete it (libcni.NetworkConfFromFile of v1.3.0).

    Unless ``loadOnlyInlinedPlugins`` is true, the plugins of ``<network name>/*.conf`` next to
    the file are appended to the list's own plugins, in ``raw`` too.

    Raises:
        ConfigError: a file cannot be read or is malformed, the network's name cannot name a
            folder, or the network has no plugins.
    """
    return await _in_thread(files.network_conf, _arguments.path(path, "path"))


async def network_plugin_confs_from_files(
    dir: str | os.PathLike[str], network_name: str
) -> list[NetworkConfig]:
    """Read ``<dir>/<network name>/*.conf`` (libcni.NetworkPluginConfsFromFiles of v1.3.0).

    Returns:
        the plugins in the order of their file names; empty if the folder does not exist.

    Raises:
        ConfigError: a file cannot be read or is malformed.
        InvalidIdentifierError: the name has characters that a network name must not have.
    """
    name = _text(network_name, "network_name")
    return await _in_thread(files.plugin_confs, _arguments.path(dir, "dir"), name)


async def conf_files(dir: str | os.PathLike[str], extensions: Collection[str]) -> list[str]:
    """List a directory's files with one of these extensions (libcni.ConfFiles).

    Args:
        dir: the directory; its subdirectories are not searched. A missing one has no files.
        extensions: extensions with their dot; letter case counts. The extension of a file is
            its name from the last dot on; a file named ``.conf`` has one.

    Returns:
        the paths, sorted by file name; a path appears twice if its extension is given twice.

    Raises:
        ConfigError: the directory cannot be listed.
        TypeError: `extensions` is a single string, or another argument has the wrong type.
    """
    if isinstance(extensions, str | bytes):
        _arguments.refuse(extensions, "extensions", "a collection of strings")
    return await _in_thread(files.conf_files, _arguments.path(dir, "dir"), tuple(extensions))


async def load_conf(dir: str | os.PathLike[str], name: str) -> NetworkConfig:
    """Find one plugin's configuration in ``*.conf`` and ``*.json`` (libcni.LoadConf).

    Raises:
        NoConfigsFoundError: the directory has no such files.
        NotFoundError: no file holds a configuration of this name.
        ConfigError: a file read before the match is unreadable or malformed.
    """
    return await _in_thread(files.load_conf, _arguments.path(dir, "dir"), _text(name, "name"))


async def load_conf_list(dir: str | os.PathLike[str], name: str) -> NetworkConfigList:
    """Find a list in ``*.conflist``, or make one from `load_conf`'s (libcni.LoadConfList).

    Raises:
        NoConfigsFoundError: the directory has no configuration files of any kind.
        NotFoundError: no file holds a configuration of this name.
        ConfigError: a file read before the match is unreadable or malformed.
    """
    return await _in_thread(files.load_conf_list, _arguments.path(dir, "dir"), _text(name, "name"))


async def load_network_conf(dir: str | os.PathLike[str], name: str) -> NetworkConfigList:
    """Find a list like `load_conf_list` and complete it (libcni.LoadNetworkConf of v1.3.0).

    Plugins are added as in `network_conf_from_file`, and only to the list that is returned.

    Raises:
        NoConfigsFoundError: the directory has no configuration files of any kind.
        NotFoundError: no file holds a configuration of this name.
        ConfigError: a file read before the match, or a file of the network, is unreadable or
            malformed, or the list has no plugins.
    """
    return await _in_thread(
        files.load_network_conf, _arguments.path(dir, "dir"), _text(name, "name")
    )

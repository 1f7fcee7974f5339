"""Reading files and directories for `load`; everything here blocks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, TypeVar

from cni_async.errors import ConfigError, InvalidIdentifierError, NoConfigsFoundError, NotFoundError
from cni_async.validate import validate_network_name

from . import parse
from .model import NetworkConfig, NetworkConfigList

# Far more than any configuration, and little enough to hold in memory.
MAX_SIZE: Final = 16 * 1024 * 1024

# A FIFO without a writer must not stop us, nor a terminal become ours.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_T = TypeVar("_T", NetworkConfig, NetworkConfigList)


def conf(path: str) -> NetworkConfig:
    """Read the configuration of one plugin."""
    return _parsed(path, parse.conf_from_bytes)


def conf_list(path: str) -> NetworkConfigList:
    """Read a network configuration list."""
    return _parsed(path, parse.conf_list_from_bytes)


def network_conf(path: str) -> NetworkConfigList:
    """Read a network configuration list, with the plugins of the network's own folder."""
    return _complete(_parsed(path, parse.network_conf_from_bytes), path)


def plugin_confs(directory: str, network_name: str) -> list[NetworkConfig]:
    """Read the plugins in a network's own folder."""
    # The name becomes part of a path here.
    validate_network_name(network_name)
    folder = str(Path(directory, network_name))
    try:
        paths = conf_files(folder, (".conf",))
    except ConfigError as error:
        error.in_context(f"failed to read plugin config files in {folder}: ")
        raise
    return [_parsed(path, parse.network_plugin_conf_from_bytes) for path in paths]


def load_conf(directory: str, name: str) -> NetworkConfig:
    """Find the configuration of one plugin by its name."""
    paths = conf_files(directory, (".conf", ".json"))
    if not paths:
        raise NoConfigsFoundError(directory)
    for path in paths:
        found = conf(path)
        if found.network.name == name:
            return found
    raise NotFoundError(directory, name)


def load_conf_list(directory: str, name: str) -> NetworkConfigList:
    """Find a list by its name, or make one of a plugin's configuration."""
    return _load_list(directory, name, parse.conf_list_from_bytes)[0]


def load_network_conf(directory: str, name: str) -> NetworkConfigList:
    """Find a list by its name and complete it, or make one of a plugin's configuration."""
    net, path = _load_list(directory, name, parse.network_conf_from_bytes)
    return _complete(net, path) if path else net


def conf_files(directory: str, extensions: Collection[str]) -> list[str]:
    """List the files with one of the extensions, sorted by name."""
    try:
        with os.scandir(directory) as entries:
            # libcni asks what the entry itself is: a link to a directory is listed.
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        listed = isinstance(error, NotADirectoryError) and os.path.lexists(directory)
        step = "readdirent" if listed else "open"
        raise ConfigError(f"{step} {directory}: {_reason(error)}", path=directory) from error
    return [
        str(Path(directory, name))
        for name in sorted(names, key=os.fsencode)
        for extension in extensions
        if _extension(name) == extension
    ]


def _load_list(
    directory: str, name: str, parser: Callable[[bytes], NetworkConfigList]
) -> tuple[NetworkConfigList, str]:
    """Find a list by its name; also tell its file, unless it was made of one plugin's."""
    paths = conf_files(directory, (".conflist",))
    for path in paths:
        net = _parsed(path, parser)
        if net.name == name:
            return net, path
    try:
        single = load_conf(directory, name)
    except NoConfigsFoundError:
        if not paths:
            raise
        raise NotFoundError(directory, name) from None
    return parse.conf_list_from_conf(single), ""


def _complete(net: NetworkConfigList, path: str) -> NetworkConfigList:
    """Add the plugins of the network's own folder, next to the list's file."""
    if not net.load_only_inlined_plugins:
        try:
            plugins = plugin_confs(os.path.dirname(path), net.name)
        except InvalidIdentifierError as error:
            raise ConfigError(
                f"error parsing configuration list: {error}", key="name", path=path
            ) from error
        if plugins:
            parse.append_plugins(net, plugins)
    if not net.plugins:
        raise ConfigError("no plugin configs found", key="plugins", path=path)
    return net


def _parsed(path: str, parser: Callable[[bytes], _T]) -> _T:
    data = _read_file(path)
    try:
        return parser(data)
    except ConfigError as error:
        error.path = path
        raise


def _read_file(path: str) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise _unreadable(path, f"open {path}: {_reason(error)}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        # A directory is refused by `open`, in the words that libcni has for it.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _unreadable(path, f"read {path}: not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise _unreadable(path, f"read {path}: {_reason(error)}") from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_SIZE:
        raise _unreadable(path, f"read {path}: larger than {MAX_SIZE} bytes")
    return data


def _unreadable(path: str, problem: str) -> ConfigError:
    return ConfigError(f"error reading {path}: {problem}", path=path)


def _extension(name: str) -> str:
    # From the last dot on, and ".conf" has one too: os.path.splitext differs.
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def _reason(error: OSError | ValueError) -> str:
    # A ValueError is a path with a NUL or half a character in it. Go has the C library's words
    # in lower case.
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    text = os.strerror(number or errno.EIO)
    return text[:1].lower() + text[1:]

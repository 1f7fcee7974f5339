"""Read files and directories for `load`. Every function here blocks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from cni_async.errors import ConfigError, InvalidIdentifierError, NoConfigsFoundError, NotFoundError
from cni_async.model.network import NetworkConfig, NetworkConfigList
from cni_async.validate import validate_network_name

from . import parse

# Bytes. More than any configuration needs, and small enough to hold in memory.
MAX_SIZE: Final = 16 * 1024 * 1024

# Opening a FIFO without a writer must not block, and a terminal must not become the
# controlling terminal of this process.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

# Attempts. A search must end even if the files of the directory are renamed all the time.
_LOOKS: Final = 10

_T = TypeVar("_T", NetworkConfig, NetworkConfigList)
_Found = TypeVar("_Found")
_ListParser = Callable[[bytes], NetworkConfigList]


def conf(path: str) -> NetworkConfig:
    """Read the configuration of one plugin."""
    return _parsed(path, parse.conf_from_bytes)


def conf_list(path: str) -> NetworkConfigList:
    """Read a network configuration list."""
    return _parsed(path, parse.conf_list_from_bytes)


def network_conf(path: str) -> NetworkConfigList:
    """Read a network configuration list and add the plugins of the network's own folder."""
    return _complete(_parsed(path, parse.network_conf_from_bytes), path)


def plugin_confs(directory: str, network_name: str) -> list[NetworkConfig]:
    """Read the plugins in a network's own folder."""
    # The name becomes part of a path here.
    validate_network_name(network_name)
    folder = str(Path(directory, network_name))
    for _ in range(_LOOKS - 1):
        try:
            return _plugin_confs(folder)
        except ConfigError as error:
            # A renamed file still belongs to the network under its new name.
            if not _is_gone(error):
                raise
    return _plugin_confs(folder)


def _plugin_confs(folder: str) -> list[NetworkConfig]:
    try:
        paths = conf_files(folder, (".conf",))
    except ConfigError as error:
        error.in_context(f"failed to read plugin config files in {folder}: ")
        raise
    return [_parsed(path, parse.network_plugin_conf_from_bytes) for path in paths]


def load_conf(directory: str, name: str) -> NetworkConfig:
    """Find the configuration of one plugin by its name."""
    return _searched(lambda search: search.plugin(), directory, name)


def load_conf_list(directory: str, name: str) -> NetworkConfigList:
    """Find a list by its name, or make a list from the configuration of one plugin."""
    net, _ = _searched(lambda search: search.network(parse.conf_list_from_bytes), directory, name)
    return net


def load_network_conf(directory: str, name: str) -> NetworkConfigList:
    """Find a list by its name and complete it, or make a list from one plugin's configuration."""
    parser = parse.network_conf_from_bytes
    net, path = _searched(lambda search: search.network(parser), directory, name)
    return _complete(net, path) if path else net


def conf_files(directory: str, extensions: Collection[str]) -> list[str]:
    """List the files with one of the extensions, sorted by name."""
    try:
        with os.scandir(directory) as entries:
            # Like libcni, do not follow links: a link to a directory is listed.
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


class _Search:
    """One search of a directory for a network.

    Attributes:
        gone: whether a file that was listed no longer existed when it was read.
    """

    def __init__(self, directory: str, name: str) -> None:
        self.gone = False
        self._directory = directory
        self._name = name
        self._names: list[str] = []

    def plugin(self) -> NetworkConfig:
        """Find the configuration of one plugin."""
        paths = conf_files(self._directory, (".conf", ".json"))
        if not paths:
            raise NoConfigsFoundError(self._directory)
        for found, _ in self._each(paths, parse.conf_from_bytes):
            self._names.append(found.network.name)
            if found.network.name == self._name:
                return found
        raise self._not_found()

    def network(self, parse_list: _ListParser) -> tuple[NetworkConfigList, str]:
        """Find a list; return it and its path (empty if it was made from one plugin's file)."""
        paths = conf_files(self._directory, (".conflist",))
        for net, path in self._each(paths, parse_list):
            self._names.append(net.name)
            if net.name == self._name:
                return net, path
        try:
            single = self.plugin()
        except NoConfigsFoundError:
            if not paths:
                raise
            raise self._not_found() from None
        return parse.conf_list_from_conf(single), ""

    def _each(
        self, paths: Iterable[str], parser: Callable[[bytes], _T]
    ) -> Iterator[tuple[_T, str]]:
        for path in paths:
            try:
                yield _parsed(path, parser), path
            except ConfigError as error:
                if not _is_gone(error):
                    raise
                self.gone = True

    def _not_found(self) -> NotFoundError:
        error = NotFoundError(self._directory, self._name)
        if similar := _most_similar(self._name, self._names):
            error.add_note(f"did you mean network {similar!r}?")
        return error


def _searched(look: Callable[[_Search], _Found], directory: str, name: str) -> _Found:
    """Search for a network, and again if the search fails and a listed file disappeared.

    If a file is renamed meanwhile, a search can miss it under its old and its new name.
    """
    for _ in range(_LOOKS - 1):
        search = _Search(directory, name)
        try:
            return look(search)
        except (NotFoundError, NoConfigsFoundError):
            if not search.gone:
                raise
    return look(_Search(directory, name))


def _is_gone(error: ConfigError) -> bool:
    """Return whether a file could not be read because it no longer exists.

    A dangling link exists, and remains an error.
    """
    if not isinstance(error.__cause__, FileNotFoundError):
        return False
    return not os.path.islink(error.path) or os.path.exists(error.path)


def _most_similar(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # imported late: few programs need it

    spellings = {each.lower(): each for each in names}
    similar = get_close_matches(name.lower(), spellings, n=1)
    return spellings[similar[0]] if similar else ""


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
        # `open` below refuses a directory, with libcni's error text.
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
    # As in Go, and unlike os.path.splitext, the extension of ".conf" is ".conf".
    dot = name.rfind(".")
    return name[dot:] if dot >= 0 else ""


def _reason(error: OSError | ValueError) -> str:
    # A path with a NUL or a lone surrogate raises ValueError. Go's error texts are those of the
    # C library in lower case.
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    text = os.strerror(number or errno.EIO)
    return text[:1].lower() + text[1:]

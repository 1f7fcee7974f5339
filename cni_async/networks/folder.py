"""Load the networks of folders; what has worked stays until something better replaces it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from cni_async.conf import (
    NetworkConfigList,
    conf_files,
    conf_from_file,
    conf_list_from_conf,
    network_conf_from_file,
)
from cni_async.errors import CNIError

_LIST: Final = ".conflist"
_EXTENSIONS: Final = (_LIST, ".conf", ".json")

Check = Callable[[NetworkConfigList], Awaitable[object]]


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The changes that a load has made.

    Attributes:
        added, removed, changed: names of networks.
        failed: the error of each file or folder that could not be used, by path. A network that
            such a file had before stays as it was.
        shadowed: the network's name for each file that is not used because a file before it has
            the same network.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    failed: dict[str, CNIError] = {}
    shadowed: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Return whether any network was added, removed or changed."""
        return bool(self.added or self.removed or self.changed)


class Loaded(msgspec.Struct, frozen=True):
    """The networks of some folders.

    Attributes:
        by_path: the network of each usable file, in the order of folders and file names.
    """

    by_path: dict[str, NetworkConfigList] = {}

    @property
    def networks(self) -> dict[str, NetworkConfigList]:
        """The networks by name; of several files with one name, the first counts."""
        found: dict[str, NetworkConfigList] = {}
        for net in self.by_path.values():
            found.setdefault(net.name, net)
        return found

    def source(self, name: str) -> str | None:
        """Return the path of the file that a network is from."""
        return next((path for path, net in self.by_path.items() if net.name == name), None)


async def load(
    folders: Sequence[str], before: Loaded, check: Check | None
) -> tuple[Loaded, LoadReport]:
    """Load the networks of folders.

    Args:
        folders: the folders, in this order; a missing one is empty.
        before: what was loaded before, which stays where a file cannot be used now.
        check: raises a `CNIError` for a network that cannot be used; `None` checks nothing.
    """
    by_path: dict[str, NetworkConfigList] = {}
    failed: dict[str, CNIError] = {}
    for folder in folders:
        try:
            paths = await conf_files(folder, _EXTENSIONS)
        except CNIError as error:
            failed[folder] = error
            paths = [path for path in before.by_path if os.path.dirname(path) == folder]
            by_path |= {path: before.by_path[path] for path in paths}
            continue
        for path in paths:
            earlier = before.by_path.get(path)
            try:
                net = await _read(path)
                if check is not None and (earlier is None or net.raw != earlier.raw):
                    await check(net)
            except CNIError as error:
                failed[path] = error
                if earlier is not None:
                    by_path[path] = earlier
            else:
                by_path[path] = net
    after = Loaded(by_path)
    old, new = before.networks, after.networks
    return after, LoadReport(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and new[name].raw != old[name].raw),
        failed=failed,
        shadowed={path: net.name for path, net in by_path.items() if new[net.name] is not net},
    )


async def _read(path: str) -> NetworkConfigList:
    if path.endswith(_LIST):
        return await network_conf_from_file(path)
    return conf_list_from_conf(await conf_from_file(path))

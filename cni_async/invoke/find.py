"""Find a plugin's executable."""

import os
import stat
from collections.abc import Sequence

from cni_async._arguments import paths as all_paths, require_text
from cni_async.errors import PluginNotFoundError
from cni_async.go.quote import plain_list, quote


def find_in_path(plugin: str, paths: Sequence[str]) -> str:
    """Return the absolute path of a plugin's executable (invoke.FindInPath).

    The first directory with a regular file of that name wins; symlinks are followed. An empty
    element is skipped: it would mean the current directory, where any user may put a plugin.

    Args:
        plugin: the plugin's type, a bare file name.
        paths: the directories to search, in order.

    Raises:
        PluginNotFoundError: no directory has the plugin, or `plugin` is not a bare file name.
        TypeError: `paths` is one path, or an argument has another type.
    """
    require_text(plugin, "plugin")
    paths = all_paths(paths, "paths")
    if not plugin:
        raise PluginNotFoundError("no plugin name provided", paths=paths)
    if os.sep in plugin:
        raise PluginNotFoundError(f"invalid plugin name: {plugin}", plugin=plugin, paths=paths)
    if not paths:
        raise PluginNotFoundError("no paths provided", plugin=plugin)
    for directory in filter(None, paths):
        try:
            # Like Go's filepath.Join, abspath removes ".." without a look at symlinks.
            candidate = os.path.abspath(os.path.join(directory, plugin))
            mode = os.stat(candidate).st_mode
        except (OSError, ValueError):  # OSError: no file or no current directory; ValueError: a NUL
            continue
        if stat.S_ISREG(mode):
            return candidate
    raise PluginNotFoundError(
        f"failed to find plugin {quote(plugin)} in path {plain_list(paths)}",
        plugin=plugin,
        paths=paths,
    )

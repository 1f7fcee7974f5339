"""Call the plugins of one path with one `Exec` and one deadline."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio

from cni_async._arguments import require_text
from cni_async.errors import PluginError, PluginTimeoutError, ResultError
from cni_async.types import Result
from cni_async.version import PluginInfo

from .args import BuiltArgs
from .call import exec_plugin_with_result, exec_plugin_without_result, get_version_info
from .exec import Exec, RawExec
from .namespace import namespace_for_del

_T = TypeVar("_T")


class PluginCaller:
    """Finds plugins and calls them, and tells of a failure which plugin and command it was."""

    def __init__(self, path: Sequence[str], exec: Exec, timeout: float | None) -> None:
        """Say how.

        Args:
            path: directories with plugins.
            exec: runs them.
            timeout: seconds for a call, where `exec` has no deadline of its own.
        """
        self.path: tuple[str, ...] = tuple(path)
        self._exec = exec
        self._timeout = timeout

    async def find(self, plugin: str) -> str:
        """Return the path of a plugin's executable.

        Raises:
            PluginNotFoundError: there is none.
            TypeError: its name is no string.
        """
        require_text(plugin, "plugin_type")
        return await self._exec.find_in_path(plugin, self.path)

    async def namespace_for_del(self, path: str) -> str:
        """Return what DEL sends as CNI_NETNS.

        An `Exec` of the caller's own may run plugins where other files are, so it gets the path.
        """
        return await namespace_for_del(path) if isinstance(self._exec, RawExec) else path

    async def add(self, plugin: str, executable: str, request: bytes, args: BuiltArgs) -> Result:
        """Call a plugin for its result."""
        call = partial(exec_plugin_with_result, executable, request, args, self._exec)
        return await self._within_time(plugin, args.command, call)

    async def run(self, plugin: str, executable: str, request: bytes, args: BuiltArgs) -> None:
        """Call a plugin with a command that has no result."""
        call = partial(exec_plugin_without_result, executable, request, args, self._exec)
        await self._within_time(plugin, args.command, call)

    async def version(self, plugin: str) -> PluginInfo:
        """Find a plugin and ask it for the versions it supports."""
        executable = await self.find(plugin)
        call = partial(get_version_info, executable, self._exec)
        return await self._within_time(plugin, "VERSION", call)

    async def _within_time(
        self, plugin: str, command: str, call: Callable[[], Awaitable[_T]]
    ) -> _T:
        try:
            if self._timeout is None:
                return await call()
            with anyio.move_on_after(self._timeout):
                return await call()
        except (PluginError, ResultError) as error:
            # Somebody else's Exec need not know.
            error.plugin = error.plugin or plugin
            error.command = error.command or command
            raise
        raise PluginTimeoutError(
            f"netplugin failed with no error message: timed out after {self._timeout:g} s",
            plugin=plugin,
            command=command,
            retryable=True,
        )

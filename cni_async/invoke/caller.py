"""Call the plugins of one path with one `Exec` and one deadline."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import anyio

from cni_async._arguments import require_text
from cni_async.errors import PluginError, PluginTimeoutError, ResultError
from cni_async.types import Result
from cni_async.version import PluginInfo

from .call import get_version_info, read_answer
from .environ import BuiltArgs
from .exec import Exec, RawExec
from .namespace import namespace_for_del

_NO_DEADLINE: Final = nullcontext()


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

    async def add(
        self, plugin: str, executable: str, request: bytes, args: BuiltArgs, version: str
    ) -> Result:
        """Call a plugin for its result; one that says no version is in this one."""
        try:
            with self._deadline():
                stdout = await self._exec.exec_plugin(executable, request, args.environ)
                return await read_answer(executable, args.command, stdout, version)
        except (PluginError, ResultError) as error:
            _name_plugin(error, plugin, args.command)
            raise
        raise self._timed_out(plugin, args.command)

    async def run(self, plugin: str, executable: str, request: bytes, args: BuiltArgs) -> None:
        """Call a plugin with a command that has no result."""
        try:
            with self._deadline():
                await self._exec.exec_plugin(executable, request, args.environ)
                return
        except (PluginError, ResultError) as error:
            _name_plugin(error, plugin, args.command)
            raise
        raise self._timed_out(plugin, args.command)

    async def version(self, plugin: str) -> PluginInfo:
        """Find a plugin and ask it for the versions it supports."""
        executable = await self.find(plugin)
        try:
            with self._deadline():
                return await get_version_info(executable, self._exec)
        except (PluginError, ResultError) as error:
            _name_plugin(error, plugin, "VERSION")
            raise
        raise self._timed_out(plugin, "VERSION")

    def _deadline(self) -> AbstractContextManager[object]:
        return _NO_DEADLINE if self._timeout is None else anyio.move_on_after(self._timeout)

    def _timed_out(self, plugin: str, command: str) -> PluginTimeoutError:
        return PluginTimeoutError(
            f"netplugin failed with no error message: timed out after {self._timeout:g} s",
            plugin=plugin,
            command=command,
            retryable=True,
        )


def _name_plugin(error: PluginError | ResultError, plugin: str, command: str) -> None:
    # An Exec of the caller's own need not fill these in.
    error.plugin = error.plugin or plugin
    error.command = error.command or command

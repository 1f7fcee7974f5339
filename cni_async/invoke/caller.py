"""Call the plugins of one path with one `Exec` and one deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NoReturn

import anyio
import msgspec

from cni_async._arguments import require_text
from cni_async.errors import CNIError, PluginError, PluginTimeoutError, ResultError
from cni_async.types import Result
from cni_async.version import PluginInfo

from .call import get_version_info, read_answer
from .exec import Exec, RawExec
from .namespace import namespace_for_del

_NO_DEADLINE: Final = nullcontext()


class PluginCaller:
    """Finds the plugins of one path, which share one `Exec` and one deadline."""

    def __init__(self, path: Sequence[str], exec: Exec, timeout: float | None) -> None:
        """Set what all calls share.

        Args:
            path: directories with plugins.
            exec: runs plugins.
            timeout: seconds for one call; `None` if `exec` has a deadline of its own.
        """
        self.path: tuple[str, ...] = tuple(path)
        self.exec: Exec = exec
        self.timeout: float | None = timeout

    async def find(self, plugin_type: str) -> Plugin:
        """Return the plugin of a type.

        Raises:
            PluginNotFoundError: no directory of the path has the plugin.
            TypeError: `plugin_type` is not a string.
        """
        require_text(plugin_type, "plugin_type")
        try:
            executable = await self.exec.find_in_path(plugin_type, self.path)
        except CNIError as error:
            if isinstance(self.exec, RawExec):
                raise
            raise error.copy() from error
        return Plugin(plugin_type, executable, self.exec, self.timeout)

    async def version(self, plugin_type: str) -> PluginInfo:
        """Find a plugin and ask it for the versions it supports."""
        return await (await self.find(plugin_type)).version()

    async def namespace_for_del(self, path: str) -> str:
        """Return the CNI_NETNS of a DEL.

        A custom `Exec` may run plugins that see other files, so it gets the path unchanged.
        """
        return await namespace_for_del(path) if isinstance(self.exec, RawExec) else path


class Plugin(msgspec.Struct, frozen=True):
    """A plugin that was found; each error that a call raises names the plugin and the command.

    Attributes:
        type: the plugin's type.
        executable: the path of the plugin's executable, as `exec` knows it.
        exec: runs the plugin.
        timeout: seconds for one call; `None` if `exec` has a deadline of its own.
    """

    type: str
    executable: str
    exec: Exec
    timeout: float | None = None

    async def add(self, request: bytes, environ: Mapping[str, str], version: str) -> Result:
        """Call the plugin and return its result; `version` applies to a result that has none."""
        command = environ["CNI_COMMAND"]
        try:
            with self._deadline():
                stdout = await self.exec.exec_plugin(self.executable, request, environ)
                return await read_answer(self.executable, command, stdout, version)
        except CNIError as error:
            self._raise(error, command)
        raise self._timed_out(command)

    async def run(self, request: bytes, environ: Mapping[str, str]) -> None:
        """Call the plugin with a command that has no result."""
        command = environ["CNI_COMMAND"]
        try:
            with self._deadline():
                await self.exec.exec_plugin(self.executable, request, environ)
                return
        except CNIError as error:
            self._raise(error, command)
        raise self._timed_out(command)

    async def version(self) -> PluginInfo:
        """Ask the plugin for the versions it supports."""
        try:
            with self._deadline():
                return await get_version_info(self.executable, self.exec)
        except CNIError as error:
            self._raise(error, "VERSION")
        raise self._timed_out("VERSION")

    def _deadline(self) -> AbstractContextManager[object]:
        return _NO_DEADLINE if self.timeout is None else anyio.move_on_after(self.timeout)

    def _raise(self, error: CNIError, command: str) -> NoReturn:
        """Raise an error of `exec`, with the plugin and the command in it."""
        own = error if isinstance(self.exec, RawExec) else error.copy()
        if isinstance(own, PluginError | ResultError):
            own.plugin = own.plugin or self.type
            own.command = own.command or command
        if own is error:
            raise error
        raise own from error

    def _timed_out(self, command: str) -> PluginTimeoutError:
        return PluginTimeoutError(
            f"netplugin failed with no error message: timed out after {self.timeout:g} s",
            plugin=self.type,
            command=command,
            retryable=True,
        )

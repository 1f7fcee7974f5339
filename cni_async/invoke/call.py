"""One call of a plugin: with a result, without one, and VERSION (pkg/invoke)."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Final

from cni_async import version
from cni_async.errors import PluginError, ResultError
from cni_async.types import Result
from cni_async.types.create import result_from_plugin
from cni_async.version import PluginInfo, plugin_supports

from .answer import Answer, read
from .environ import Args, DelegateArgs
from .exec import Exec, default_exec

# How many bytes of an unreadable answer its error keeps.
_STDOUT_HEAD: Final = 64 * 1024
_VERSION_REQUEST = b'{"cniVersion":"%s"}' % version.current().encode()
# Plugins built on an old skel want these, whatever the command.
_VERSION_ARGS = Args(command="VERSION", netns="dummy", ifname="dummy", path=("dummy",))


def _environ(args: Args | DelegateArgs | None) -> Mapping[str, str] | None:
    return None if args is None else args.as_env()


async def exec_plugin_with_result(
    plugin_path: str, netconf: bytes, args: Args | DelegateArgs | None, exec: Exec | None = None
) -> Result:
    """Run a plugin that answers with a result (invoke.ExecPluginWithResult).

    Args:
        plugin_path: its executable.
        netconf: the request configuration; a result without a version is in this one's.
        args: its environment; None for this process's own (invoke.ArgsFromEnv).
        exec: runs it; libcni's default if None.

    Raises:
        PluginError: it failed.
        ResultError: its stdout is not a result; the error holds it.
    """
    environ = _environ(args)
    stdout = await (exec or default_exec()).exec_plugin(plugin_path, netconf, environ)
    command = (os.environ if environ is None else environ).get("CNI_COMMAND", "")
    return await read_answer(plugin_path, command, stdout, version.decode_config_version(netconf))


async def read_answer(plugin_path: str, command: str, stdout: bytes, config_version: str) -> Result:
    """Read what a plugin that succeeded has printed on ADD.

    Args:
        plugin_path: its executable, for the error.
        command: what it was called with, for the error.
        stdout: what it printed.
        config_version: of its configuration; a result that says no version is in this one's.

    Raises:
        ResultError: the plugin printed something else, which the error holds.
    """
    try:
        return await read(partial(result_from_plugin, config_version), stdout)
    except ResultError as error:
        error.plugin = os.path.basename(plugin_path)
        error.command = command
        error.exit_code = 0
        error.stdout = stdout[:_STDOUT_HEAD].decode("utf-8", "replace")
        error.stderr = stdout.stderr if isinstance(stdout, Answer) else ""
        raise


async def exec_plugin_without_result(
    plugin_path: str, netconf: bytes, args: Args | DelegateArgs | None, exec: Exec | None = None
) -> None:
    """Run a plugin whose output does not matter (invoke.ExecPluginWithoutResult).

    Args:
        plugin_path: its executable.
        netconf: the request configuration.
        args: its environment; None for this process's own (invoke.ArgsFromEnv).
        exec: runs it; libcni's default if None.

    Raises:
        PluginError: it failed.
    """
    exec = exec or default_exec()
    await exec.exec_plugin(plugin_path, netconf, _environ(args))


async def get_version_info(plugin_path: str, exec: Exec | None = None) -> PluginInfo:
    """Ask a plugin which CNI versions it supports (invoke.GetVersionInfo).

    Args:
        plugin_path: its executable.
        exec: runs it; libcni's default if None.

    Raises:
        PluginError: it failed.
        VersionError: its answer is malformed.
    """
    exec = exec or default_exec()
    try:
        stdout = await exec.exec_plugin(plugin_path, _VERSION_REQUEST, _VERSION_ARGS.as_env())
    except PluginError as error:
        # The answer of a plugin that is older than VERSION itself.
        if str(error) == "unknown CNI_COMMAND: VERSION":
            return plugin_supports("0.1.0")
        raise
    return await read(exec.decode, stdout)

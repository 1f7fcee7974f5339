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

# Bytes of an unreadable answer that its error keeps.
_STDOUT_HEAD: Final = 64 * 1024
_VERSION_REQUEST = b'{"cniVersion":"%s"}' % version.current().encode()
# Plugins built on an old skel require these with every command.
_VERSION_ARGS = Args(command="VERSION", netns="dummy", ifname="dummy", path=("dummy",))


def _environ(args: Args | DelegateArgs | None) -> Mapping[str, str] | None:
    return None if args is None else args.as_env()


async def exec_plugin_with_result(
    plugin_path: str, netconf: bytes, args: Args | DelegateArgs | None, exec: Exec | None = None
) -> Result:
    """Run a plugin and return its result (invoke.ExecPluginWithResult).

    Args:
        plugin_path: the plugin's executable.
        netconf: the request configuration; its version applies to a result that has none.
        args: the plugin's environment; `None` means this process's own (invoke.ArgsFromEnv).
        exec: runs the plugin; `None` means libcni's default.

    Raises:
        PluginError: the plugin failed.
        ResultError: the plugin's stdout is not a result; the error holds the stdout.
    """
    environ = _environ(args)
    stdout = await (exec or default_exec()).exec_plugin(plugin_path, netconf, environ)
    command = (os.environ if environ is None else environ).get("CNI_COMMAND", "")
    return await read_answer(plugin_path, command, stdout, version.decode_config_version(netconf))


async def read_answer(plugin_path: str, command: str, stdout: bytes, config_version: str) -> Result:
    """Return the result that a plugin printed when it succeeded.

    Args:
        plugin_path: the plugin's executable, for the error.
        command: the CNI_COMMAND of the call, for the error.
        stdout: what the plugin printed.
        config_version: the configuration's version, which applies to a result that has none.

    Raises:
        ResultError: `stdout` is not a result; the error holds it.
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
    """Run a plugin and ignore its stdout (invoke.ExecPluginWithoutResult).

    Args:
        plugin_path: the plugin's executable.
        netconf: the request configuration.
        args: the plugin's environment; `None` means this process's own (invoke.ArgsFromEnv).
        exec: runs the plugin; `None` means libcni's default.

    Raises:
        PluginError: the plugin failed.
    """
    exec = exec or default_exec()
    await exec.exec_plugin(plugin_path, netconf, _environ(args))


async def get_version_info(plugin_path: str, exec: Exec | None = None) -> PluginInfo:
    """Ask a plugin which CNI versions it supports (invoke.GetVersionInfo).

    Args:
        plugin_path: the plugin's executable.
        exec: runs the plugin; `None` means libcni's default.

    Raises:
        PluginError: the plugin failed.
        VersionError: the plugin's answer is malformed.
    """
    exec = exec or default_exec()
    try:
        stdout = await exec.exec_plugin(plugin_path, _VERSION_REQUEST, _VERSION_ARGS.as_env())
    except PluginError as error:
        # A plugin that is older than the VERSION command answers with this.
        if str(error) == "unknown CNI_COMMAND: VERSION":
            return plugin_supports("0.1.0")
        raise
    return await read(exec.decode, stdout)

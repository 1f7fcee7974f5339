"""Call another plugin from within a plugin (CNI specification, section 4, "Plugin Delegation").

The other plugin is looked up in this process's CNI_PATH and gets this process's environment, with
the command replaced, and the configuration as it is.
"""

import os

from cni_async.types import Result

from .call import exec_plugin_with_result, exec_plugin_without_result
from .environ import DelegateArgs
from .exec import Exec, default_exec


async def _find(plugin: str, exec: Exec) -> str:
    path = os.environ.get("CNI_PATH", "")
    return await exec.find_in_path(plugin, path.split(os.pathsep) if path else [])


async def delegate_add(plugin: str, netconf: bytes, exec: Exec | None = None) -> Result:
    """Have another plugin ADD (invoke.DelegateAdd).

    If it fails, the specification wants a `delegate_del` from the caller before it fails itself.

    Args:
        plugin: its type.
        netconf: the configuration it gets.
        exec: runs it; libcni's default if None.

    Raises:
        PluginNotFoundError: it is not in CNI_PATH.
        PluginError: it failed.
        ResultError: its stdout is not a result.
    """
    exec = exec or default_exec()
    path = await _find(plugin, exec)
    return await exec_plugin_with_result(path, netconf, DelegateArgs("ADD"), exec)


async def _delegate(command: str, plugin: str, netconf: bytes, exec: Exec | None) -> None:
    exec = exec or default_exec()
    path = await _find(plugin, exec)
    await exec_plugin_without_result(path, netconf, DelegateArgs(command), exec)


async def delegate_check(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Have another plugin CHECK (invoke.DelegateCheck); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: it is not in CNI_PATH.
        PluginError: it failed.
    """
    await _delegate("CHECK", plugin, netconf, exec)


async def delegate_del(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Have another plugin DEL (invoke.DelegateDel); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: it is not in CNI_PATH.
        PluginError: it failed.
    """
    await _delegate("DEL", plugin, netconf, exec)


async def delegate_gc(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Have another plugin GC (invoke.DelegateGC); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: it is not in CNI_PATH.
        PluginError: it failed.
    """
    await _delegate("GC", plugin, netconf, exec)


async def delegate_status(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Have another plugin report its STATUS (invoke.DelegateStatus); see `delegate_add`.

    Raises:
        PluginNotFoundError: it is not in CNI_PATH.
        PluginError: it failed.
    """
    await _delegate("STATUS", plugin, netconf, exec)

"""Call another plugin from within a plugin (CNI specification, section 4, "Plugin Delegation").

The other plugin is found in this process's CNI_PATH. It gets this process's environment with the
command replaced, and the caller's configuration unchanged.
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
    """Call another plugin with ADD and return its result (invoke.DelegateAdd).

    If it fails, the specification asks the caller to call `delegate_del` before it fails, too.

    Args:
        plugin: the other plugin's type.
        netconf: the configuration that the other plugin gets.
        exec: runs the other plugin; `None` means libcni's default.

    Raises:
        PluginNotFoundError: no directory of CNI_PATH has the plugin.
        PluginError: the plugin failed.
        ResultError: the plugin's stdout is not a result.
    """
    exec = exec or default_exec()
    path = await _find(plugin, exec)
    return await exec_plugin_with_result(path, netconf, DelegateArgs("ADD"), exec)


async def _delegate(command: str, plugin: str, netconf: bytes, exec: Exec | None) -> None:
    exec = exec or default_exec()
    path = await _find(plugin, exec)
    await exec_plugin_without_result(path, netconf, DelegateArgs(command), exec)


async def delegate_check(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Call another plugin with CHECK (invoke.DelegateCheck); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: no directory of CNI_PATH has the plugin.
        PluginError: the plugin failed.
    """
    await _delegate("CHECK", plugin, netconf, exec)


async def delegate_del(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Call another plugin with DEL (invoke.DelegateDel); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: no directory of CNI_PATH has the plugin.
        PluginError: the plugin failed.
    """
    await _delegate("DEL", plugin, netconf, exec)


async def delegate_gc(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Call another plugin with GC (invoke.DelegateGC); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: no directory of CNI_PATH has the plugin.
        PluginError: the plugin failed.
    """
    await _delegate("GC", plugin, netconf, exec)


async def delegate_status(plugin: str, netconf: bytes, exec: Exec | None = None) -> None:
    """Call another plugin with STATUS (invoke.DelegateStatus); arguments as for `delegate_add`.

    Raises:
        PluginNotFoundError: no directory of CNI_PATH has the plugin.
        PluginError: the plugin failed.
    """
    await _delegate("STATUS", plugin, netconf, exec)

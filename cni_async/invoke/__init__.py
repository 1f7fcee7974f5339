"""Run one plugin (pkg/invoke): find it, set its environment, and read its answer."""

from .call import exec_plugin_with_result, exec_plugin_without_result, get_version_info
from .delegate import delegate_add, delegate_check, delegate_del, delegate_gc, delegate_status
from .environ import Args, DelegateArgs
from .exec import DefaultExec, Exec, RawExec
from .find import find_in_path
from .start import Spawn

__all__ = [
    "Args",
    "DefaultExec",
    "DelegateArgs",
    "Exec",
    "RawExec",
    "Spawn",
    "delegate_add",
    "delegate_check",
    "delegate_del",
    "delegate_gc",
    "delegate_status",
    "exec_plugin_with_result",
    "exec_plugin_without_result",
    "find_in_path",
    "get_version_info",
]

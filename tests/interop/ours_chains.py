"""cni_async's answers to the oracle's questions about chains of plugins."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from unittest import mock

from cni_async import (
    CNIConfig,
    GCArgs,
    GCAttachment,
    NetworkAttachment,
    NetworkConfig,
    NetworkConfigList,
    Result,
    RuntimeConf,
    conf,
    invoke,
)
from cni_async.errors import CNIError

from .ours import describe, run, show_result
from .wire import Answer, Question

Fields = Mapping[str, Any]


def answer(question: Question) -> Answer:
    """Answer a question; raise an error that is not a `CNIError`."""

    async def call() -> Any:
        return await _OPERATIONS[question.op](question.fields)

    try:
        return Answer(run(call))
    except CNIError as error:
        return Answer(error=describe(error))


def _cni(fields: Fields) -> CNIConfig:
    return CNIConfig(fields["path"], cache_dir=fields["cacheDir"] or None)


def _runtime(fields: Fields) -> RuntimeConf:
    shown = fields.get("runtime") or {}
    return RuntimeConf(
        shown.get("containerID", ""),
        shown.get("netns", ""),
        shown.get("ifname", ""),
        args=[(key, value) for key, value in shown.get("args", [])],
        capability_args=shown.get("capabilityArgs") or {},
        cache_dir=shown.get("cacheDir", ""),
    )


def _list(fields: Fields) -> NetworkConfigList:
    return conf.conf_list_from_bytes(fields["data"])


def _single(fields: Fields) -> NetworkConfig:
    return conf.conf_from_bytes(fields["data"])


async def _add(fields: Fields) -> Any:
    cni, rt = _cni(fields), _runtime(fields)
    if fields.get("single"):
        return show_result(await cni.add_network(_single(fields), rt))
    return show_result(await cni.add_network_list(_list(fields), rt))


async def _check(fields: Fields) -> Any:
    cni, rt = _cni(fields), _runtime(fields)
    if fields.get("single"):
        await cni.check_network(_single(fields), rt)
    else:
        await cni.check_network_list(_list(fields), rt)
    return True


async def _del(fields: Fields) -> Any:
    cni, rt = _cni(fields), _runtime(fields)
    if fields.get("single"):
        await cni.del_network(_single(fields), rt)
    else:
        await cni.del_network_list(_list(fields), rt)
    return True


async def _gc(fields: Fields) -> Any:
    valid = fields.get("valid") or ()
    args = GCArgs([GCAttachment(one["containerID"], one["ifname"]) for one in valid])
    await _cni(fields).gc_network_list(_list(fields), None if fields.get("noValid") else args)
    return True


async def _status(fields: Fields) -> Any:
    await _cni(fields).get_status_network_list(_list(fields))
    return True


async def _validate(fields: Fields) -> Any:
    cni = _cni(fields)
    if fields.get("single"):
        return await cni.validate_network(_single(fields))
    return await cni.validate_network_list(_list(fields))


async def _version_info(fields: Fields) -> Any:
    return list((await _cni(fields).get_version_info(fields["text"])).supported_versions)


async def _cached_result(fields: Fields) -> Any:
    cni, rt = _cni(fields), _runtime(fields)
    result: Result | None
    if fields.get("single"):
        result = await cni.get_network_cached_result(_single(fields), rt)
    else:
        result = await cni.get_network_list_cached_result(_list(fields), rt)
    return {"none": True} if result is None else show_result(result)


async def _cached_config(fields: Fields) -> Any:
    cni, rt = _cni(fields), _runtime(fields)
    if fields.get("single"):
        cached = await cni.get_network_cached_config(_single(fields), rt)
    else:
        cached = await cni.get_network_list_cached_config(_list(fields), rt)
    if cached is None:
        return {"none": True}
    added = cached.runtime
    return {
        "config": cached.config,
        "args": _or_null([list(pair) for pair in added.args]),
        "capabilityArgs": _or_null(dict(added.capability_args)),
        "netns": added.netns,
    }


async def _attachments(fields: Fields) -> Any:
    return [*map(_show, await _cni(fields).get_cached_attachments(fields["text"]))]


def _show(one: NetworkAttachment) -> Any:
    return {
        "ContainerID": one.container_id,
        "Network": one.network,
        "IfName": one.ifname,
        "Config": one.config or b"",
        "NetNS": one.netns,
        "CniArgs": _or_null([list(pair) for pair in one.cni_args]),
        "CapabilityArgs": _or_null(one.capability_args),
    }


def _or_null(value: Any) -> Any:
    """Return `None` for an empty value: our API does not distinguish it from a missing one."""
    return value or None


async def _delegate(fields: Fields) -> Any:
    plugin, netconf = fields["text"], fields["data"]
    with mock.patch.dict(os.environ, fields["env"]):
        match fields["other"]:
            case "ADD":
                return show_result(await invoke.delegate_add(plugin, netconf))
            case "CHECK":
                await invoke.delegate_check(plugin, netconf)
            case "DEL":
                await invoke.delegate_del(plugin, netconf)
            case "STATUS":
                await invoke.delegate_status(plugin, netconf)
            case _:
                await invoke.delegate_gc(plugin, netconf)
    return True


_OPERATIONS: Final[Mapping[str, Callable[[Fields], Awaitable[Any]]]] = {
    "add": _add,
    "check": _check,
    "del": _del,
    "gc": _gc,
    "status": _status,
    "validate": _validate,
    "version_info": _version_info,
    "cached_result": _cached_result,
    "cached_config": _cached_config,
    "attachments": _attachments,
    "delegate": _delegate,
}

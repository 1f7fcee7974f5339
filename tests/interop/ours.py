"""cni_async's answers to the oracle's questions, in the oracle's form."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeVar
from unittest import mock

import cni_async
from cni_async import conf, invoke, version
from cni_async.errors import (
    CheckNotSupportedError,
    CNIError,
    IncompatibleVersionError,
    NoConfigsFoundError,
    NotFoundError,
    PluginError,
)
from cni_async.go import quote as go_text
from cni_async.invoke import failure
from cni_async.types import args, create, parse_prev_result, v020, v040, v100
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name

from .wire import Answer, Failure, Question

Fields = Mapping[str, Any]
T = TypeVar("T")

_KINDS: Final[Mapping[type[Exception], str]] = {
    PluginError: "types.Error",
    IncompatibleVersionError: "ErrorIncompatible",
    NotFoundError: "NotFoundError",
    NoConfigsFoundError: "NoConfigsFoundError",
    CheckNotSupportedError: "ErrorCheckNotSupp",
}


def answer(question: Question) -> Answer:
    """Answer a question; raise an error that is neither a `CNIError` nor documented."""
    try:
        return Answer(_OPERATIONS[question.op](question.fields))
    except CNIError as error:
        return Answer(error=describe(error))
    except ValueError as error:
        if question.op not in {"versions_starting_from", "plugin_supports"}:
            raise
        return Answer(error=Failure(str(error), "ValueError"))


def describe(error: CNIError) -> Failure:
    """Describe an error as the oracle does."""
    kind = next((name for type_, name in _KINDS.items() if isinstance(error, type_)), "")
    code = error.code if isinstance(error, PluginError) else 0
    msg = error.msg if isinstance(error, PluginError) else ""
    details = ""
    if isinstance(error, PluginError | IncompatibleVersionError):
        details = error.details
    return Failure(str(error), kind, int(code), msg, details)


_runner: asyncio.Runner | None = None


def run(awaitable: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on an event loop that all questions share."""
    global _runner
    _runner = _runner or asyncio.Runner()

    async def call() -> T:
        return await awaitable()

    return _runner.run(call())


def show_conf(plugin: conf.NetworkConfig) -> dict[str, Any]:
    """Show a plugin's configuration as the oracle does."""
    return {"network": json.loads(plugin.network.to_json()), "bytes": plugin.raw}


def show_list(net: conf.NetworkConfigList, *, newer: bool = False) -> dict[str, Any]:
    """Show a configuration list as the oracle does."""
    shown = {
        "name": net.name,
        "cniVersion": net.cni_version,
        "disableCheck": net.disable_check,
        "disableGC": net.disable_gc,
        "plugins": [show_conf(plugin) for plugin in net.plugins],
        "bytes": net.raw,
    }
    if newer:
        shown["loadOnlyInlinedPlugins"] = net.load_only_inlined_plugins
    return shown


def show_result(result: cni_async.Result) -> dict[str, Any]:
    """Show a result as the oracle does."""
    return {"version": result.version, "text": result.to_json(4)}


def _inject(fields: Fields) -> Any:
    original = conf.NetworkConfig(cni_async.NetConf(), fields["data"])
    return show_conf(conf.inject_conf(original, fields["values"]))


def _parse_prev_result(fields: Fields) -> Any:
    network = conf.conf_from_bytes(fields["data"]).network
    parse_prev_result(network)
    return show_result(network.prev_result) if network.prev_result else {"none": True}


def _show_info(info: version.PluginInfo) -> Any:
    return {"versions": list(info.supported_versions), "text": info.encode().decode()}


def _convert(fields: Fields) -> cni_async.Result:
    result = cni_async.create_result_from_bytes(fields["data"])
    return result.get_as_version(fields["text"])


_FAMILIES: Final = {"020": v020, "040": v040, "100": v100}


def _get_result(fields: Fields) -> Any:
    result = cni_async.create_result_from_bytes(fields["data"])
    return show_result(_FAMILIES[fields["text"]].get_result(result))


def _route_texts(fields: Fields) -> Any:
    result = cni_async.create_result("1.1.0", fields["data"])
    assert isinstance(result, v100.Result)
    return list(map(str, result.routes))


@dataclass
class _PodArgs:
    IgnoreUnknown: bool = False
    K8S_POD_NAME: str = ""
    FLAG: bool = False
    IP: IPv4Address | IPv6Address | None = None
    NOT_TEXT: bytes = b""


@dataclass
class _BareArgs:
    K8S_POD_NAME: str = ""


def _load_args(fields: Fields) -> Any:
    found = _PodArgs()
    args.load_args(fields["text"], found)
    return {
        "IgnoreUnknown": found.IgnoreUnknown,
        "K8S_POD_NAME": found.K8S_POD_NAME,
        "FLAG": found.FLAG,
        "IP": "" if found.IP is None else str(found.IP),
    }


def _load_bare_args(fields: Fields) -> Any:
    found = _BareArgs()
    args.load_args(fields["text"], found)
    return {"K8S_POD_NAME": found.K8S_POD_NAME}


@contextmanager
def _only_env(env: Mapping[str, str]) -> Iterator[None]:
    with mock.patch.dict(os.environ, env, clear=True):
        yield


def _args_env(fields: Fields) -> Any:
    runtime = fields["runtime"]
    with _only_env(fields["env"]):
        env = invoke.Args(
            command=fields["text"],
            container_id=runtime["containerID"],
            netns=runtime["netns"],
            ifname=runtime["ifname"],
            args=runtime["args"],
            args_text=fields["other"],
            path=fields["path"],
        ).as_env()
    return sorted(f"{key}={value}" for key, value in env.items())


def _delegate_env(fields: Fields) -> Any:
    with _only_env(fields["env"]):
        env = invoke.DelegateArgs(command=fields["text"]).as_env()
    return sorted(f"{key}={value}" for key, value in env.items())


def _exec_plugin(fields: Fields) -> Any:
    if fields["code"] == 0 and fields["signal"] == 0:
        return {"stdout": fields["stdout"], "stderr": fields["stderr"]}
    status = -fields["signal"] or fields["code"]
    raise failure.exit_error(status, fields["stdout"], fields["stderr"])


def _exec_with_result(fields: Fields) -> Any:
    config_version = version.decode_config_version(fields["data"])
    return show_result(create.result_from_plugin(config_version, fields["stdout"]))


def _error_json(fields: Fields) -> Any:
    wire = json.loads(fields["data"])
    error = PluginError(wire["msg"], code=wire["code"], details=wire.get("details", ""))
    return {"text": error.to_json(4), "words": str(error)}


def _checked(check: Callable[..., None], *names: str) -> Callable[[Fields], Any]:
    def operation(fields: Fields) -> bool:
        check(*(fields[name] for name in names))
        return True

    return operation


_OPERATIONS: Final[Mapping[str, Callable[[Fields], Any]]] = {
    "conf_from_bytes": lambda q: show_conf(conf.conf_from_bytes(q["data"])),
    "conf_list_from_bytes": lambda q: show_list(conf.conf_list_from_bytes(q["data"])),
    "conf_list_from_conf": lambda q: show_list(
        conf.conf_list_from_conf(conf.conf_from_bytes(q["data"]))
    ),
    "inject_conf": _inject,
    "parse_prev_result": _parse_prev_result,
    "network_conf_from_bytes": lambda q: show_list(
        conf.network_conf_from_bytes(q["data"]), newer=True
    ),
    "network_plugin_conf_from_bytes": lambda q: show_conf(
        conf.network_plugin_conf_from_bytes(q["data"])
    ),
    "conf_files": lambda q: run(lambda: conf.conf_files(q["text"], q["strings"])),
    "conf_from_file": lambda q: show_conf(run(lambda: conf.conf_from_file(q["text"]))),
    "conf_list_from_file": lambda q: show_list(run(lambda: conf.conf_list_from_file(q["text"]))),
    "load_conf": lambda q: show_conf(run(lambda: conf.load_conf(q["text"], q["other"]))),
    "load_conf_list": lambda q: show_list(run(lambda: conf.load_conf_list(q["text"], q["other"]))),
    "network_conf_from_file": lambda q: show_list(
        run(lambda: conf.network_conf_from_file(q["text"])), newer=True
    ),
    "network_plugin_confs_from_files": lambda q: list(
        map(show_conf, run(lambda: conf.network_plugin_confs_from_files(q["text"], q["other"])))
    ),
    "load_network_conf": lambda q: show_list(
        run(lambda: conf.load_network_conf(q["text"], q["other"])), newer=True
    ),
    "find_in_path": lambda q: invoke.find_in_path(q["text"], q["strings"]),
    "parse_version": lambda q: list(version.parse_version(q["text"])),
    "greater_than": lambda q: version.greater_than(q["text"], q["other"]),
    "greater_than_or_equal_to": lambda q: version.greater_than_or_equal_to(q["text"], q["other"]),
    "versions_starting_from": lambda q: list(
        version.versions_starting_from(q["text"]).supported_versions
    ),
    "plugin_supports": lambda q: _show_info(version.plugin_supports(*q["strings"])),
    "decode_plugin_info": lambda q: _show_info(version.decode_plugin_info(q["data"])),
    "decode_config_version": lambda q: version.decode_config_version(q["data"]),
    "reconcile": _checked(version.reconcile, "text", "strings"),
    "validate_container_id": _checked(validate_container_id, "text"),
    "validate_network_name": _checked(validate_network_name, "text"),
    "validate_interface_name": _checked(validate_interface_name, "text"),
    "create_result": lambda q: show_result(cni_async.create_result(q["text"], q["data"])),
    "create_result_from_bytes": lambda q: show_result(
        cni_async.create_result_from_bytes(q["data"])
    ),
    "convert": lambda q: show_result(_convert(q)),
    "convert_twice": lambda q: show_result(_convert(q).get_as_version(q["other"])),
    "get_result": _get_result,
    "route_texts": _route_texts,
    "load_args": _load_args,
    "load_args_without_ignore_unknown": _load_bare_args,
    "args_env": _args_env,
    "delegate_env": _delegate_env,
    "exec_plugin": _exec_plugin,
    "exec_with_result": _exec_with_result,
    "error_json": _error_json,
    "quote": lambda q: go_text.quote(q["data"]),
}

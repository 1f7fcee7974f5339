"""Networks, and a `CNIConfig` whose plugins and cache are fakes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import anyio

from cni_async import (
    AttachmentKey,
    CNIConfig,
    NetworkConfig,
    NetworkConfigList,
    PluginError,
    Result,
    RuntimeConf,
    conf_from_bytes,
    conf_list_from_bytes,
)
from cni_async.testing import FakeCache, FakeCall, FakeExec

from .wait import PATIENCE

KEY = AttachmentKey("net", "c1", "eth0")
RT = RuntimeConf("c1", "/run/netns/blue", "eth0")

Operation: TypeAlias = Callable[[CNIConfig, RuntimeConf], Awaitable[object]]


def network(
    *plugins: str | dict[str, Any], name: str = "net", version: str = "1.1.0", **keys: Any
) -> NetworkConfigList:
    """Make a network of plugins; each is a type or a whole configuration."""
    objects = [{"type": plugin} if isinstance(plugin, str) else plugin for plugin in plugins]
    document = {"cniVersion": version, "name": name, "plugins": objects, **keys}
    return conf_list_from_bytes(json.dumps(document).encode())


def single(
    plugin_type: str = "a", *, name: str = "net", version: str = "1.1.0", **keys: Any
) -> NetworkConfig:
    """Make the configuration of a single plugin."""
    document = {"cniVersion": version, "name": name, "type": plugin_type, **keys}
    return conf_from_bytes(json.dumps(document).encode())


def address(number: int, version: str = "1.1.0") -> dict[str, Any]:
    """Make a plugin's result with one address."""
    return {"cniVersion": version, "ips": [{"address": f"10.0.0.{number}/24"}]}


def as_dict(result: Result | None) -> dict[str, Any]:
    """Return a result's JSON as a dictionary."""
    assert result is not None
    wire: dict[str, Any] = json.loads(result.to_json())
    return wire


def failure(msg: str = "boom", **more: Any) -> PluginError:
    """Make the error of a failed plugin."""
    return PluginError(msg, code=100, **more)


class Blocker:
    """An answer that never comes."""

    def __init__(self) -> None:
        self.started = anyio.Event()

    async def __call__(self, call: FakeCall) -> NoReturn:
        self.started.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def cancel(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make a call, and cancel it once it waits for this answer."""

        async def run() -> None:
            await call()

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            with anyio.fail_after(PATIENCE):
                await self.started.wait()
            group.cancel_scope.cancel()


@dataclass(frozen=True)
class Runtime:
    """A `CNIConfig`, and its fake plugins and cache."""

    cni: CNIConfig
    exec: FakeExec
    cache: FakeCache

    @property
    def order(self) -> list[str]:
        """The calls, in order, as in ``["bridge ADD", "tuning ADD"]``."""
        return [f"{call.plugin} {call.command}" for call in self.exec.calls]

    def configs(self, command: str) -> list[dict[str, Any]]:
        """Return the requests of the calls of a command, in order."""
        return [call.config for call in self.exec.calls if call.command == command]

    def only_config(self) -> dict[str, Any]:
        """Return the request of the only call so far."""
        [call] = self.exec.calls
        return call.config

    async def added(self, net: NetworkConfigList | None = None, rt: RuntimeConf = RT) -> None:
        """Add an attachment, and forget its calls."""
        await self.cni.add_network_list(net or network("a"), rt)
        self.exec.calls.clear()


def runtime(
    answers: Mapping[tuple[str, str], Any] | None = None,
    *,
    missing: Collection[str] = (),
    fail_on: Collection[str] = (),
    **options: Any,
) -> Runtime:
    """Make a `CNIConfig` whose plugins and cache are fakes."""
    exec = FakeExec(answers, missing=missing)
    cache = FakeCache(fail_on=fail_on)
    return Runtime(CNIConfig(["/bin1", "/bin2"], exec=exec, cache=cache, **options), exec, cache)


def operations(*types: str, name: str = "net", version: str = "1.1.0") -> dict[str, Operation]:
    """Return all operations on one attachment, by name, for a network of these plugins."""
    net = network(*(types or ("a",)), name=name, version=version)
    one = single((types or ("a",))[0], name=name, version=version)
    return {
        "add_network_list": lambda cni, rt: cni.add_network_list(net, rt),
        "check_network_list": lambda cni, rt: cni.check_network_list(net, rt),
        "del_network_list": lambda cni, rt: cni.del_network_list(net, rt),
        "get_network_list_cached_result": lambda cni, rt: cni.get_network_list_cached_result(
            net, rt
        ),
        "get_network_list_cached_config": lambda cni, rt: cni.get_network_list_cached_config(
            net, rt
        ),
        "add_network": lambda cni, rt: cni.add_network(one, rt),
        "check_network": lambda cni, rt: cni.check_network(one, rt),
        "del_network": lambda cni, rt: cni.del_network(one, rt),
        "get_network_cached_result": lambda cni, rt: cni.get_network_cached_result(one, rt),
        "get_network_cached_config": lambda cni, rt: cni.get_network_cached_config(one, rt),
    }

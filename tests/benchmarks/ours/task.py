"""A measurement's task, and its figures."""

from __future__ import annotations

from typing import Any

import msgspec

from cni_async import CNIConfig, FileCache, RuntimeConf
from cni_async.invoke import Spawn


class Task(msgspec.Struct):
    """The task that `tests/benchmarks/runner.py` sends to both programs.

    Attributes:
        case: the measurement, with the sizes in `sizes`.
        backend: asyncio, trio or uvloop.
        spawn: the way to start plugins.
        plugins: directories with plugins.
        cache: a cache directory, empty or filled as the case needs it.
        cache_more: a cache directory with more records.
        chain, single, six, real: lists of three plugins, of one, of six, and of reference plugins.
        result: a plugin's answer.
        netns: network namespaces for `real`.
        heartbeat: the path of the program that prints heartbeats.
    """

    case: str
    sizes: dict[str, int] = {}
    backend: str = "asyncio"
    spawn: Spawn = "anyio"
    plugins: list[str] = []
    cache: str = ""
    cache_more: str = ""
    chain: str = ""
    single: str = ""
    six: str = ""
    real: str = ""
    result: str = ""
    netns: list[str] = []
    heartbeat: str = ""

    def cni(self, cache: str = "") -> CNIConfig:
        """Return a `CNIConfig` whose cache syncs only if `durable` is set; libcni's never does."""
        durable = bool(self.sizes.get("durable"))
        files = FileCache(cache or self.cache, durable=durable)
        return CNIConfig(self.plugins, cache=files, spawn=self.spawn)


class Row(msgspec.Struct, omit_defaults=True):
    """One measurement; times are in seconds, memory in bytes.

    Attributes:
        value: the measured value.
        cpu: the CPU time of this process alone.
        reference: the value to compare `value` with, if that is not Go's.
    """

    value: float
    cpu: float | None = None
    reference: float | None = None


Rows = dict[str, Row]


def container(number: int, netns: str = "") -> RuntimeConf:
    """Return the runtime configuration of a container, the same on both sides."""
    container_id = f"container-{number:06d}"
    return RuntimeConf(
        container_id,
        netns or f"/var/run/netns/{container_id}",
        "eth0",
        args=(("IgnoreUnknown", "1"), ("K8S_POD_NAME", container_id)),
        capability_args=port_mapping(number),
    )


def port_mapping(number: int) -> dict[str, Any]:
    """Return a container's capability args."""
    port = 20000 + number % 10000
    return {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}

"""A measurement to make, and its figures."""

from __future__ import annotations

from typing import Any

import msgspec

from cni_async import CNIConfig, FileCache, RuntimeConf
from cni_async.invoke import Spawn


class Task(msgspec.Struct):
    """The task that `tests/benchmarks/runner.py` sets both programs.

    Attributes:
        case: what to measure; `sizes` has how much of it.
        backend: asyncio, trio or uvloop.
        spawn: how plugins are started.
        plugins: directories with plugins.
        cache: a cache directory, empty or filled as the case wants it.
        cache_more: one with more records.
        chain, single, six, real: lists of three plugins, one, six, and of the reference plugins.
        result: what a plugin answers.
        netns: network namespaces for `real`.
        heartbeat: the program that beats.
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
        """Return libcni's way of doing things; it does not care for power cuts."""
        durable = bool(self.sizes.get("durable"))
        files = FileCache(cache or self.cache, durable=durable)
        return CNIConfig(self.plugins, cache=files, spawn=self.spawn)


class Row(msgspec.Struct, omit_defaults=True):
    """One measurement; times are in seconds, memory in bytes.

    Attributes:
        value: what was measured.
        cpu: the part of it that this process alone spent on a CPU.
        reference: what `value` is to be compared with, if not with Go's.
    """

    value: float
    cpu: float | None = None
    reference: float | None = None


Rows = dict[str, Row]


def container(number: int, netns: str = "") -> RuntimeConf:
    """Return one of many containers, the same on both sides."""
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

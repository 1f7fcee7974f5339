"""A container runtime that attaches and detaches until `kills` kills it."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import anyio

from cni_async import CNIConfig, CNIError, FileCache, RuntimeConf, conf_list_from_bytes
from tests.support import starts


async def main(order: dict[str, Any]) -> None:
    """Attach and detach all containers at the same time, forever."""
    cni = CNIConfig(
        order["path"],
        cache=FileCache(order["cache"], durable=False),
        rollback=True,
        timeout=30,
        lock_file=order["lock_file"],
    )
    net = conf_list_from_bytes(order["network"].encode())
    random = Random(order["seed"])

    async def work(container: str, netns: str) -> None:
        rt = RuntimeConf(container, netns, "eth0")
        operations: list[Callable[..., Awaitable[object]]] = [
            cni.add_network_list,
            cni.del_network_list,
        ]
        random.shuffle(operations)  # the runtime before may have been killed during either
        while True:
            for operation in operations:
                with suppress(CNIError):
                    await operation(net, rt)
                await anyio.sleep(random.uniform(0, 0.02))

    async with anyio.create_task_group() as group:
        for container, netns in order["containers"].items():
            group.start_soon(work, container, netns)
        print("ready", flush=True)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    starts.inherit()
    anyio.run(main, order, backend=order["backend"])

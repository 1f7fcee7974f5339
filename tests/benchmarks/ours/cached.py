"""Measurements that depend on the number of cached attachments."""

from __future__ import annotations

from cni_async import CNIConfig, conf_list_from_bytes

from .meter import Meter, repeat_async
from .task import Row, Rows, Task, container


async def list_cached(task: Task) -> Rows:
    cni, records, times = task.cni(), task.sizes["records"], task.sizes["times"]
    container_id = container(records // 2).container_id

    async def listed(container_id: str, expected: int) -> None:
        assert len(await cni.get_cached_attachments(container_id)) == expected

    one = await repeat_async(task.sizes["milliseconds"], lambda: listed(container_id, 1))
    await listed("", records)
    meter = Meter()
    for _ in range(times):
        await listed("", records)
    return {"one": one, "all": meter.each(times)}


async def flat(task: Task) -> Rows:
    """Add and delete containers, in turn in a cache with few records and in one with many."""
    net = conf_list_from_bytes(task.single.encode())

    async def pair(cni: CNIConfig) -> None:
        rt = container(-1)
        await cni.add_network_list(net, rt)
        await cni.del_network_list(net, rt)

    caches = task.cni(), task.cni(task.cache_more)
    took = [0.0, 0.0]
    pairs = task.sizes["pairs"]
    for number in range(-1, pairs):
        for which, cni in enumerate(caches):
            meter = Meter()
            await pair(cni)
            if number >= 0:  # the first pair only warms up
                took[which] += meter.each(pairs).value
    few, many = took
    return {"pair": Row(many, reference=few)}

"""Measurements that run chains of plugins."""

from __future__ import annotations

from collections.abc import Callable

from cni_async import GCArgs, GCAttachment, RuntimeConf, conf_list_from_bytes

from .meter import Meter, in_flight, repeat_async
from .task import Rows, Task, container


async def one(task: Task) -> Rows:
    """Add one container after the other, each once."""
    net = conf_list_from_bytes(task.chain.encode())
    cni = task.cni()
    await cni.add_network_list(net, container(-1))
    meter = Meter()
    for number in range(task.sizes["adds"]):
        await cni.add_network_list(net, container(number))
    return {"add": meter.each(task.sizes["adds"])}


async def attach(task: Task) -> Rows:
    return await _add_and_delete(task, task.chain, container)


async def attach_real(task: Task) -> Rows:
    def at(number: int) -> RuntimeConf:
        return container(number, task.netns[number])

    return await _add_and_delete(task, task.real, at)


async def _add_and_delete(task: Task, text: str, at: Callable[[int], RuntimeConf]) -> Rows:
    net = conf_list_from_bytes(text.encode())
    cni, count, at_once = task.cni(), task.sizes["containers"], task.sizes["in_flight"]

    async def add(number: int) -> None:
        await cni.add_network_list(net, at(number))

    async def delete(number: int) -> None:
        await cni.del_network_list(net, at(number))

    await in_flight(1, 1, add)
    await in_flight(1, 1, delete)
    rows: Rows = {}
    for name, do in ("add", add), ("del", delete):
        meter = Meter()
        await in_flight(count, at_once, do)
        rows[name] = meter.each(count)
    return rows


async def gc(task: Task) -> Rows:
    """Collect garbage in a full cache, whose first records are valid and the others stale."""
    net = conf_list_from_bytes(task.chain.encode())
    cni = task.cni()
    await cni.validate_network_list(net)
    valid = [
        GCAttachment(container(number).container_id, "eth0")
        for number in range(task.sizes["valid"])
    ]
    meter = Meter()
    await cni.gc_network_list(net, GCArgs(valid))
    took = meter.each(1)
    assert len(await cni.get_cached_attachments()) == len(valid)
    return {"gc": took}


async def validate(task: Task) -> Rows:
    net = conf_list_from_bytes(task.six.encode())
    cni = task.cni()
    validating = repeat_async(task.sizes["milliseconds"], lambda: cni.validate_network_list(net))
    return {"validate": await validating}

"""Measurements without plugins: configurations, requests and results."""

from __future__ import annotations

from cni_async import conf_list_from_bytes, create_result_from_bytes
from cni_async.operations.request import as_raw, request_config

from .meter import repeat
from .task import Rows, Task, port_mapping


async def parse(task: Task) -> Rows:
    data = task.chain.encode()
    return {"parse": repeat(task.sizes["milliseconds"], lambda: conf_list_from_bytes(data))}


async def request(task: Task) -> Rows:
    net = conf_list_from_bytes(task.chain.encode())
    result = create_result_from_bytes(task.result.encode())
    plugin = net.plugins[1]
    capability_args = port_mapping(0)

    def build() -> bytes:
        return request_config(
            plugin,
            net.name,
            net.cni_version,
            prev_result=as_raw(result),
            capability_args=capability_args,
        )

    assert b'"runtimeConfig"' in build()
    return {"request": repeat(task.sizes["milliseconds"], build)}


async def decode(task: Task) -> Rows:
    data = task.result.encode()

    def convert() -> str:
        return create_result_from_bytes(data).get_as_version("0.4.0").to_json()

    return {"decode": repeat(task.sizes["milliseconds"], convert)}

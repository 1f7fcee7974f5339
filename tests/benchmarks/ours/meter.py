"""Measure the time and the memory of this process."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio

from .task import Row

_BATCHES: Final = 9


class Meter:
    """Measures the time and our own CPU time since its creation."""

    def __init__(self) -> None:
        self._cpu = _cpu()
        self._began = time.perf_counter()

    def each(self, operations: int) -> Row:
        """Return the figures of one of so many operations."""
        took = time.perf_counter() - self._began
        return Row(took / operations, (_cpu() - self._cpu) / operations)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def repeat(milliseconds: int, do: Callable[[], object]) -> Row:
    """Repeat a short call for so many milliseconds, and return the median of some batches."""
    budget = milliseconds / 1000 / (_BATCHES + 1)
    number = 0
    began = time.perf_counter()
    while not number or time.perf_counter() - began < budget:
        do()
        number += 1
    measured: list[Row] = []
    for _ in range(_BATCHES):
        meter = Meter()
        for _ in range(number):
            do()
        measured.append(meter.each(number))
    return _median(measured)


async def repeat_async(milliseconds: int, do: Callable[[], Awaitable[object]]) -> Row:
    """Do the same as `repeat` with a call to await."""
    budget = milliseconds / 1000 / (_BATCHES + 1)
    number = 0
    began = time.perf_counter()
    while not number or time.perf_counter() - began < budget:
        await do()
        number += 1
    measured: list[Row] = []
    for _ in range(_BATCHES):
        meter = Meter()
        for _ in range(number):
            await do()
        measured.append(meter.each(number))
    return _median(measured)


def _median(measured: list[Row]) -> Row:
    return sorted(measured, key=lambda row: row.value)[len(measured) // 2]


async def in_flight(count: int, at_once: int, do: Callable[[int], Awaitable[object]]) -> None:
    """Await a call for each number below `count`, so many at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await do(number)

    async with anyio.create_task_group() as group:
        for _ in range(min(at_once, count)):
            group.start_soon(work)


def status(name: str) -> int:
    """Return a value from /proc/self/status in bytes, or 0 if it is missing."""
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0


def resident() -> int:
    """Return the resident memory of this process in bytes, after a garbage collection."""
    gc.collect()
    return status("VmRSS")

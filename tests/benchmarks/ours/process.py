"""Measurements of the whole process: bare spawns, the event loop, memory and imports."""

from __future__ import annotations

import gc
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio

from cni_async import conf_list_from_bytes

from .meter import Meter, in_flight, repeat, resident
from .task import Row, Rows, Task, container

_BEAT: Final = struct.Struct("<QQ")
_IMPORT: Final = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


async def floor(task: Task) -> Rows:
    """Only start processes, and wait for them."""
    spawn = _spawner(task)
    count, at_once = task.sizes["spawns"], task.sizes["in_flight"]
    for _ in range(5):
        os.waitpid(spawn(), 0)
    meter = Meter()
    for number in range(count):
        if number >= at_once:
            os.waitpid(-1, 0)
        spawn()
    for _ in range(min(at_once, count)):
        os.waitpid(-1, 0)
    return {"spawn": meter.each(count)}


def _spawner(task: Task) -> Callable[[], int]:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    plugin = os.path.join(task.plugins[0], "bridge")
    env = {**os.environ, "CNI_COMMAND": "ADD"}
    files = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    return lambda: os.posix_spawn(plugin, [plugin], env, file_actions=files)


async def stall(task: Task) -> Rows:
    """Measure the longest delay of a heartbeat in the event loop while ADDs run."""
    spawn = _spawner(task)
    bare = repeat(task.sizes["milliseconds"], lambda: os.waitpid(spawn(), 0)).value
    net = conf_list_from_bytes(task.chain.encode())
    cni = task.cni()

    async def add(number: int) -> None:
        await cni.add_network_list(net, container(number))

    at_once = task.sizes["in_flight"]
    # Measure as in a program that has run for a while: the first hundred tasks cost more, and so
    # does the first garbage collection after the imports.
    await in_flight(at_once, at_once, lambda number: add(-1 - number))
    gc.collect()
    listener = _Listener()
    thread = f"{os.getpid()}/task/{threading.get_native_id()}"
    with subprocess.Popen(
        [task.heartbeat, thread], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as heart:
        assert heart.stdin is not None
        assert heart.stdout is not None
        async with anyio.create_task_group() as group:
            group.start_soon(listener.listen, heart.stdout.fileno())
            await anyio.sleep(0.05)
            listener.begin()
            await in_flight(task.sizes["containers"], at_once, add)
            heart.stdin.close()
    return {
        "wall": Row(listener.longest, reference=bare),
        "own": Row(listener.longest_of_ours, reference=bare),
    }


class _Listener:
    """Measures how late the event loop reads the heartbeat.

    Attributes:
        longest: the longest delay, in seconds.
        longest_of_ours: likewise, without the time in which the thread was ready to run and the
            kernel had no CPU for it.
    """

    def __init__(self) -> None:
        self.longest = self.longest_of_ours = 0.0
        try:
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._schedstat = -1

    def begin(self) -> None:
        self.longest = self.longest_of_ours = 0.0

    async def listen(self, beats: int) -> None:
        os.set_blocking(beats, False)
        while True:
            await anyio.wait_readable(beats)
            data = os.read(beats, 1 << 16)
            if not data:
                return
            # Heartbeats come in order, so the first one has waited longest.
            beaten, waited = _BEAT.unpack_from(data)
            late = time.monotonic_ns() - beaten
            # This is rather low: a wait for a CPU that began before the heartbeat counts in full.
            late_of_ours = late - (self._waited() - waited)
            self.longest = max(self.longest, late / 1e9)
            self.longest_of_ours = max(self.longest_of_ours, late_of_ours / 1e9)

    def _waited(self) -> int:
        if self._schedstat < 0:
            return 0
        return int(os.pread(self._schedstat, 128, 0).split()[1])


async def memory(task: Task) -> Rows:
    """Measure this process's memory after few ADD/DEL pairs and after many."""
    net = conf_list_from_bytes(task.single.encode())
    cni = task.cni()

    async def pair(number: int) -> None:
        rt = container(number)
        await cni.add_network_list(net, rt)
        await cni.del_network_list(net, rt)

    few, many, at_once = task.sizes["few"], task.sizes["many"], task.sizes["in_flight"]
    await in_flight(few, at_once, pair)
    before = resident()
    await in_flight(many - few, at_once, pair)
    return {"resident": Row(resident(), reference=before)}


async def imports(task: Task) -> Rows:
    """Measure the import of the package and that of its dependencies, in separate processes."""

    def median(what: str) -> float:
        return sorted(took[what])[len(took[what]) // 2]

    ours, parts = "cni_async", "anyio, msgspec"
    took: dict[str, list[float]] = {ours: [], parts: []}
    for number in range(-1, task.sizes["times"]):
        for what in (ours, parts) if number % 2 else (parts, ours):
            command = [sys.executable, "-c", _IMPORT.format(what)]
            seconds = float(subprocess.check_output(command, cwd=Path(__file__).parents[3]))
            if number >= 0:  # the first import may have to compile
                took[what].append(seconds)
    return {"import": Row(median(ours), reference=median(parts))}

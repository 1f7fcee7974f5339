"""One run of the soak: operations on the worlds, the clean-up, and a search for what is left."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio

from cni_async.invoke import RawExec, Spawn
from cni_async.operations import lockfile, order
from tests.support import starts
from tests.support.scripts import children, open_fds

from .conditions import FROZEN_DISK, Scene, in_force
from .frozen import disk
from .operations import Driver
from .settle import settle
from .tally import Tally
from .world import FakeWorld, RealWorld, World

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
# The share of operations with real plugins, which take a hundred times as long.
REAL_SHARE = 0.1
# How many turns conditions that hide each other take, each of at least `LEAST_TURN` operations.
TURNS = 12
LEAST_TURN = 30
# Seconds until daemons of plugins and idle threads have ended by themselves.
PATIENCE = 20.0


def soak(
    folder: Path,
    *,
    backend: str,
    operations: int,
    seconds: float,
    seed: int,
    plugins: Path | None = None,
    conditions: Sequence[str] = (),
    spawn: Spawn | None = None,
) -> Tally:
    """Run a soak in an event loop of its own, and clean up in another one.

    Args:
        folder: an empty directory.
        backend: one of `BACKENDS`.
        operations: the most operations to run.
        seconds: the longest time to run operations; the clean-up is extra.
        seed: for all random decisions.
        plugins: the directory of the reference plugins, which a part of the operations then uses.
        conditions: some of `CONDITIONS`, all at the same time; those that hide each other take
            turns.
        spawn: the way in which plugins are started; the event loop's usual way by default.
    """
    tally = Tally(backend, seed)
    tally.spawn = spawn or ("posix" if backend == "uvloop" else "anyio")
    name, options = BACKENDS[backend]
    random = Random(seed)

    def in_loop(function: Any, *args: Any) -> None:
        anyio.run(function, *args, backend=name, backend_options=options)

    frozen = FROZEN_DISK in conditions
    with ExitStack() as stack:
        stack.enter_context(starts.in_use(spawn))
        # Before there are worker threads, which would not see the mount.
        caches = stack.enter_context(disk(folder)) if frozen else folder / "caches"
        # The first call opens and starts what the process keeps forever.
        in_loop(_call_once)
        before = _Process()
        worlds: list[World] = [FakeWorld(folder / "fake", caches, random, tally, durable=frozen)]
        stack.callback(worlds[0].close)
        if plugins is not None:
            real = RealWorld(folder / "real", caches, plugins, random, tally, durable=frozen)
            stack.callback(real.close)
            worlds.append(real)
        turn = max(operations // TURNS, LEAST_TURN)
        scene = Scene(worlds, tally, caches, seed, turn, backend)
        in_loop(_run, scene, conditions, random, operations, seconds)
        in_loop(_settle, worlds, tally)
        for kind in ("addresses", "interfaces", "iptables rules", "ledger entries"):
            tally.leaked(kind, ())
        for world in worlds:
            for kind, kept in world.left().items():
                tally.leaked(kind, kept)
            tally.leaked("processes", _after_patience(world.processes))
            records = world.records()
            tally.leaked("records", records - world.foreign)
            tally.leaked("records of other hands that are gone", world.foreign - records)
            tally.leaked("temporary files", world.temporary_files())
    for kind, left in before.changes().items():
        tally.leaked(kind, left)
    tally.seconds = time.monotonic() - tally.started
    return tally


async def _call_once() -> None:
    await RawExec().exec_plugin("/bin/true", b"", None)


async def _run(
    scene: Scene, conditions: Sequence[str], random: Random, operations: int, seconds: float
) -> None:
    real = int(operations * REAL_SHARE) if len(scene.worlds) > 1 else 0
    async with in_force(scene, conditions), anyio.create_task_group() as group:
        for world, count, workers, delay in zip(
            scene.worlds, (operations - real, real), (128, 6), (0.25, 0.6), strict=False
        ):
            driver = Driver(
                world,
                scene.tally,
                random,
                operations=count,
                seconds=seconds,
                longest_delay=delay,
            )
            group.start_soon(driver.run, workers)
    scene.tally.leaked("locks", order._gates())


async def _settle(worlds: Sequence[World], tally: Tally) -> None:
    for world in worlds:
        await settle(world, tally)
    tally.leaked("locks", order._gates())
    tally.leaked("descriptors of lock files", lockfile._OPEN)


class _Process:
    """The resources of this process, to compare with later."""

    def __init__(self) -> None:
        self._fds = _descriptors()
        self._children = children()
        self._threads = _threads()

    def changes(self) -> dict[str, list[str]]:
        """Return, by kind, the new resources that do not go away within `PATIENCE`."""
        gc.collect()
        return {
            "zombies and children": _after_patience(
                lambda: sorted(map(str, children() - self._children))
            ),
            "descriptors": _after_patience(lambda: _more(_descriptors(), self._fds)),
            "threads": _after_patience(lambda: _more(_threads(), self._threads)),
        }


def _descriptors() -> list[str]:
    found: list[str] = []
    for fd in open_fds():
        with suppress(OSError):  # the descriptor of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{fd}").partition("[")[0])
    return found


def _threads() -> list[str]:
    # Trio keeps idle threads for a while, and renames them for each job.
    return [thread.name for thread in threading.enumerate() if not thread.name.startswith("Trio")]


def _more(now: list[str], before: list[str]) -> list[str]:
    rest = list(now)
    for each in before:
        if each in rest:
            rest.remove(each)
    return rest


def _after_patience(look: Callable[[], Iterable[str]]) -> list[str]:
    """Return what is left once nothing is, or after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while (left := list(look())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left

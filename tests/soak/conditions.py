"""The conditions of a node that a runtime has no say in, in force while operations run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread

from .background import background
from .foreign import Hand
from .frozen import frozen_now_and_then
from .tally import Tally
from .world import World

# Seconds that each of the application's threads has something to do for.
BUSY = 20.0
# Seconds between two records of other hands.
FOREIGN_EVERY = 0.03
FROZEN_DISK: Final = "frozen-disk"


@dataclass(frozen=True)
class Scene:
    """What conditions are about.

    Attributes:
        worlds: of one event loop.
        tally: is told how often each condition was felt.
        disk: where the caches are.
        seed: for what happens at random.
    """

    worlds: Sequence[World]
    tally: Tally
    disk: Path
    seed: int


@asynccontextmanager
async def _sigchld_ignored(scene: Scene) -> AsyncGenerator[None]:
    """Ignore SIGCHLD: the kernel reaps all children, and nobody is told of their end."""

    async def ignore() -> None:
        while True:
            # libuv puts a handler in its place whenever a first child is started.
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            scene.tally.conditions["SIGCHLD was ignored"] += 1
            await anyio.sleep(0.05)

    before = signal.getsignal(signal.SIGCHLD)
    async with anyio.create_task_group() as group:
        group.start_soon(ignore)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
    signal.signal(signal.SIGCHLD, before)


@asynccontextmanager
async def _reaper(scene: Scene) -> AsyncGenerator[None]:
    """Reap in a thread whatever ends, as supervisors and PID 1 of a container do."""

    def reap(over: threading.Event) -> None:
        while not over.is_set():
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                over.wait(0.001)
            else:
                scene.tally.conditions["a child was reaped"] += 1

    with background(reap):
        try:
            yield
        finally:
            # It waits for a child, and this one ends after the event is set.
            last = os.posix_spawn("/bin/sleep", ["sleep", "0.1"], {})
    with suppress(ChildProcessError):
        os.waitpid(last, 0)


@asynccontextmanager
async def _busy_threads(scene: Scene) -> AsyncGenerator[None]:
    """Take all the threads of anyio's limiter, as an application's own work may."""
    over = threading.Event()
    limiter = anyio.to_thread.current_default_thread_limiter()

    async def work() -> None:
        # A library that waits for these threads comes to its end when they do.
        while not all(world.over for world in scene.worlds):
            scene.tally.conditions["a thread was busy"] += 1
            await anyio.to_thread.run_sync(over.wait, BUSY, abandon_on_cancel=True)

    async with anyio.create_task_group() as group:
        for _ in range(int(limiter.total_tokens)):
            group.start_soon(work)
        while limiter.available_tokens:
            await anyio.sleep(0.001)
        try:
            yield
        finally:
            over.set()
            group.cancel_scope.cancel()


@asynccontextmanager
async def _foreign_records(scene: Scene) -> AsyncGenerator[None]:
    """Write into the cache with other hands: other programs, older ones, and broken ones."""
    random = Random(scene.seed)
    hands: list[Hand] = []
    for world in scene.worlds:
        wild = [key for key in world.keys if key.container_id in world.wild]
        hand = Hand(world.results, list(world.nets.values()), wild, random)
        world.foreign = hand.unreadable
        hands.append(hand)

    def write(over: threading.Event) -> None:
        while not over.wait(FOREIGN_EVERY):
            scene.tally.conditions[f"a record: {random.choice(hands).write()}"] += 1

    # Not in the event loop: the disk may be frozen.
    with background(write):
        yield


@asynccontextmanager
async def _frozen_disk(scene: Scene) -> AsyncGenerator[None]:
    """Freeze the file system of the cache, as a snapshot does."""
    with frozen_now_and_then(scene.disk, Random(scene.seed), scene.tally):
        yield


# With each of them somebody else may reap a child before its parent does.
REAPING: Final = frozenset({"reaper", "sigchld-ignored"})

# In the order in which they come into force; each ends before the one above it. The reaper waits
# for a child in vain while SIGCHLD is ignored, and other hands for a frozen disk.
CONDITIONS: Final[dict[str, Callable[[Scene], AbstractAsyncContextManager[None]]]] = {
    "foreign-records": _foreign_records,
    FROZEN_DISK: _frozen_disk,
    "busy-threads": _busy_threads,
    "reaper": _reaper,
    "sigchld-ignored": _sigchld_ignored,
}

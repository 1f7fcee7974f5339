"""Conditions that a node imposes on a runtime while its operations run."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import anyio
from anyio.to_thread import current_default_thread_limiter, run_sync

from .background import background
from .foreign import Hand
from .frozen import frozen_now_and_then
from .operations import REPLACING
from .tally import BUSY_THREADS, Tally
from .world import World

# Seconds for which the application's threads are busy, longer than every bound; and the shortest
# and longest time, in seconds, for which they are free afterwards.
BUSY = 20.0
FREE = (5.0, 15.0)
# Seconds between two records by other writers.
FOREIGN_EVERY = 0.03
FROZEN_DISK: Final = "frozen-disk"
FOREIGN_RECORDS: Final = "foreign-records"
REAPER: Final = "reaper"
SIGCHLD_IGNORED: Final = "sigchld-ignored"
NEITHER: Final = "neither reaper nor sigchld-ignored"
# Bytes that hold C's `struct sigaction` wherever Linux runs.
_SIGACTION = 512


@dataclass(frozen=True)
class Scene:
    """The surroundings that conditions act on.

    Attributes:
        worlds: the worlds of one event loop.
        tally: counts how often each condition had an effect.
        disk: the mount point of the disk with the caches.
        seed: for random decisions.
        turn: the number of operations after which conditions that hide each other take turns.
        backend: the event loop.
    """

    worlds: Sequence[World]
    tally: Tally
    disk: Path
    seed: int
    turn: int
    backend: str


class Disposition:
    """The process's handler of SIGCHLD, which Python sets, and libuv without Python's knowledge."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._before = signal.getsignal(signal.SIGCHLD)
        self._others = self._now()

    def ignore(self) -> None:
        """Ignore SIGCHLD, even if libuv has set its handler since the last call."""
        now = self._now()
        # Only the handler, the first field, counts: the kernel leaves parts of the mask arbitrary.
        if ctypes.c_void_p.from_buffer(now).value != signal.SIG_IGN:
            self._others = now
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def restore(self) -> None:
        """Restore the handler that SIGCHLD would have without `ignore`."""
        self.ignore()
        signal.signal(signal.SIGCHLD, self._before)
        self._call(self._others, None)

    def _now(self) -> ctypes.Array[ctypes.c_char]:
        found = ctypes.create_string_buffer(_SIGACTION)
        self._call(None, found)
        return found

    def _call(self, *args: ctypes.Array[ctypes.c_char] | None) -> None:
        if self._libc.sigaction(signal.SIGCHLD, *args):
            raise OSError(ctypes.get_errno(), "sigaction")


@asynccontextmanager
async def _sigchld_ignored(scene: Scene) -> AsyncGenerator[None]:
    """Ignore SIGCHLD, so that the kernel reaps all children and reports no exit status."""
    disposition = Disposition()

    async def ignore() -> None:
        while True:
            # libuv sets its handler whenever it starts a child and has no other.
            disposition.ignore()
            scene.tally.conditions["SIGCHLD was ignored"] += 1
            await anyio.sleep(0.05)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(ignore)
            try:
                with scene.tally.force.holds(SIGCHLD_IGNORED):
                    yield
            finally:
                group.cancel_scope.cancel()
    finally:
        disposition.restore()


@asynccontextmanager
async def _reaper(scene: Scene) -> AsyncGenerator[None]:
    """Reap every child that ends, in a thread, as supervisors and a container's PID 1 do."""
    enough = threading.Event()

    def reap(over: threading.Event) -> None:
        while not enough.is_set():
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                enough.wait(0.001)
            else:
                scene.tally.conditions["a child was reaped"] += 1

    last = 0
    try:
        with background(reap):
            try:
                with scene.tally.force.holds(REAPER):
                    yield
            finally:
                enough.set()
                # The thread may be in waitpid() while all other children live on. This child ends
                # after `enough` is set, so it wakes the thread.
                last = os.posix_spawn("/bin/true", ["true"], {})
    finally:
        with suppress(ChildProcessError):
            os.waitpid(last, 0)


@asynccontextmanager
async def _take_turns(scene: Scene) -> AsyncGenerator[None]:
    """Reap in a thread, ignore SIGCHLD, and do neither, in turns.

    At the same time one would hide the other. Under either the library loses many exit statuses
    and few operations succeed, so there are turns without both.
    """
    tally = scene.tally

    async def take_turns() -> None:
        for name in itertools.cycle((NEITHER, REAPER, SIGCHLD_IGNORED)):
            until = tally.operations + scene.turn
            async with AsyncExitStack() as stack:
                if name == NEITHER:
                    stack.enter_context(tally.force.holds(NEITHER))
                else:
                    await stack.enter_async_context(_condition(scene, name))
                while tally.operations < until:
                    await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(take_turns)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


@asynccontextmanager
async def _spares_uvloop(
    scene: Scene, condition: Callable[[Scene], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[None]:
    """Have a condition in force, and open no plugin for writing meanwhile.

    A child cannot exec a file that is open for writing. If the kernel or another thread then reaps
    that child, libuv aborts the whole process (`err == *pid`).
    """
    busy = [world.busy for world in scene.worlds]
    for world in scene.worlds:
        world.busy = []
    await anyio.sleep(2 * REPLACING)  # until the plugin that is open now is closed
    try:
        async with condition(scene):
            yield
    finally:
        for world, before in zip(scene.worlds, busy, strict=True):
            world.busy = before


@asynccontextmanager
async def _busy_threads(scene: Scene) -> AsyncGenerator[None]:
    """Take all threads of anyio's limiter, as the work of an application may.

    Now and then release them for a while: on trio no plugin would start otherwise.
    """
    limiter = current_default_thread_limiter()
    threads = int(limiter.total_tokens)
    random = Random(scene.seed)
    taken = anyio.Event()
    release = threading.Event()

    def work(begun: list[None]) -> None:
        begun.append(None)
        release.wait(2 * BUSY)

    async def occupy(begun: list[None]) -> None:
        await run_sync(work, begun, abandon_on_cancel=True)

    async def keep_busy() -> None:
        # A library that wrongly waits for these threads must come to an end, too.
        while not all(world.over for world in scene.worlds):
            release.clear()
            begun: list[None] = []
            async with anyio.create_task_group() as workers:
                for _ in range(threads):
                    workers.start_soon(occupy, begun)
                while len(begun) < threads:
                    await anyio.sleep(0.001)
                taken.set()
                scene.tally.conditions["a thread was busy"] += threads
                with scene.tally.force.holds(BUSY_THREADS):
                    await anyio.sleep(BUSY)
                release.set()
            await anyio.sleep(random.uniform(*FREE))

    async with anyio.create_task_group() as group:
        group.start_soon(keep_busy)
        await taken.wait()
        try:
            yield
        finally:
            release.set()
            group.cancel_scope.cancel()


@asynccontextmanager
async def _foreign_records(scene: Scene) -> AsyncGenerator[None]:
    """Write records into the cache as other programs, older programs and broken ones do."""
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

    # In a thread, because the disk may be frozen.
    with background(write), scene.tally.force.holds(FOREIGN_RECORDS):
        yield


@asynccontextmanager
async def _frozen_disk(scene: Scene) -> AsyncGenerator[None]:
    """Freeze the file system of the cache now and then, as a snapshot does."""
    with frozen_now_and_then(scene.disk, Random(scene.seed), scene.tally):
        yield


# In the order in which they come into force; each ends before the one above it. The disk has to be
# frozen no longer when `_foreign_records` ends, because its thread waits for the disk.
CONDITIONS: Final[dict[str, Callable[[Scene], AbstractAsyncContextManager[None]]]] = {
    FOREIGN_RECORDS: _foreign_records,
    FROZEN_DISK: _frozen_disk,
    BUSY_THREADS: _busy_threads,
    REAPER: _reaper,
    SIGCHLD_IGNORED: _sigchld_ignored,
}
# Under each of these the kernel or another thread may reap a child before the event loop does.
# They hide each other: while SIGCHLD is ignored, the thread finds no child to reap.
_REAPING: Final = frozenset({REAPER, SIGCHLD_IGNORED})


@asynccontextmanager
async def in_force(scene: Scene, names: Collection[str]) -> AsyncGenerator[None]:
    """Have conditions in force during a block; those that hide each other take turns."""
    async with AsyncExitStack() as stack:
        for condition in _together(scene, names):
            await stack.enter_async_context(condition)
        yield


def _together(scene: Scene, names: Collection[str]) -> Iterator[AbstractAsyncContextManager[None]]:
    for name in CONDITIONS:
        if name in names and not (name in _REAPING and _REAPING.issubset(names)):
            yield _condition(scene, name)
    if _REAPING.issubset(names):
        yield _take_turns(scene)


def _condition(scene: Scene, name: str) -> AbstractAsyncContextManager[None]:
    condition = CONDITIONS[name]
    by_libuv = scene.backend == "uvloop" and scene.tally.spawn == "anyio"
    spared = by_libuv and name in _REAPING
    return _spares_uvloop(scene, condition) if spared else condition(scene)

"""Order among operations: one at a time for a container, and GC alone on its network.

The CNI specification forbids parallel operations for one container, and ADD and DEL while a
network is garbage collected; all else runs in parallel.

Within an event loop that is kept by `_Gate`, first come, first served; among processes (and event
loops of one process) by a lock file, where one is given.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.lowlevel

from .lockfile import absolute, is_locked, lock


class _Gate:
    """Held by one alone or shared by many; first come, first served."""

    def __init__(self) -> None:
        self._holders = 0
        self._alone = False
        self._queue: deque[tuple[anyio.Event, bool]] = deque()

    @property
    def idle(self) -> bool:
        """Nobody holds it or waits for it."""
        return not self._holders and not self._queue

    async def acquire(self, *, alone: bool) -> None:
        """Wait for one's turn; cancelled, one has never been there."""
        if not self._queue and self._is_open(alone):
            self._enter(alone)
            return
        place = (anyio.Event(), alone)
        self._queue.append(place)
        try:
            await place[0].wait()
        except BaseException:
            if place[0].is_set():  # it was our turn at the same moment
                self.release()
            else:
                self._queue.remove(place)
                self._admit()  # who waited behind us may share with those who are in
            raise

    def release(self) -> None:
        """Let the next in."""
        self._holders -= 1
        self._alone = False
        self._admit()

    def _is_open(self, alone: bool) -> bool:
        return not self._holders or not (alone or self._alone)

    def _enter(self, alone: bool) -> None:
        self._holders += 1
        self._alone = alone

    def _admit(self) -> None:
        while self._queue and self._is_open(self._queue[0][1]):
            turn, alone = self._queue.popleft()
            self._enter(alone)
            turn.set()


# Of the running event loop: its gates that somebody holds or waits for.
_GATES: Final = anyio.lowlevel.RunVar[dict[Hashable, _Gate]]("cni_async.locks")

_QUEUE: Final = anyio.lowlevel.RunVar[anyio.Semaphore]("cni_async.queue")
_IN_A_TURN: Final = 8


class Locks:
    """Keeps the order for all that share an event loop and a cache, or a lock file."""

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        """Say how far the order reaches.

        Args:
            file: also among processes: a file that is made where it is missing, and never
                removed; not in the results directory of the cache, where libcni would read it. A
                relative path means the directory that is the current one now.

        Raises:
            CacheError: the path is relative, and there is no current directory.
        """
        self._file = None if file is None else absolute(os.fspath(file))

    @asynccontextmanager
    async def attachment(
        self, scope: Hashable, network: str, container_id: str
    ) -> AsyncGenerator[None]:
        """Hold the order for an operation on an attachment.

        Args:
            scope: the cache that the attachment is in.
            network: not while it is collected.
            container_id: not while anything else happens to it.

        Raises:
            CacheError: the lock file cannot be used.
        """
        await _queue()
        # Always in this order, or two could wait for each other.
        async with (
            self._hold(scope, "network", network, alone=False),
            self._hold(scope, "container", container_id, alone=True),
        ):
            yield

    @asynccontextmanager
    async def collection(self, scope: Hashable, network: str) -> AsyncGenerator[None]:
        """Hold the order for the garbage collection of a network; see `attachment`."""
        async with self._hold(scope, "network", network, alone=True):
            yield

    @asynccontextmanager
    async def container(self, scope: Hashable, container_id: str) -> AsyncGenerator[None]:
        """Hold the order for a CHECK, or for a DEL within a collection; see `attachment`."""
        await _queue()
        async with self._hold(scope, "container", container_id, alone=True):
            yield

    def is_busy(self, scope: Hashable, container_id: str) -> bool:
        """Tell whether something happens to a container just now, here or in another process."""
        gates = _gates()
        if (scope, "container", container_id) in gates:
            return True
        if self._file is None:
            return False
        place = _place("container", container_id)
        return (self._file, place) in gates or is_locked(self._file, place)

    @asynccontextmanager
    async def _hold(
        self, scope: Hashable, kind: str, name: str, *, alone: bool
    ) -> AsyncGenerator[None]:
        async with _passed((scope, kind, name), alone=alone):
            if self._file is None:
                yield
            else:
                async with _held_in_file(self._file, _place(kind, name), alone=alone):
                    yield


@asynccontextmanager
async def _held_in_file(path: str, place: int, *, alone: bool) -> AsyncGenerator[None]:
    # Another gate: caches of any number may have one lock file, and two names one byte of it.
    async with _passed((path, place), alone=alone):
        # Of those who share it only the first in line looks at the file, or a thousand would do.
        async with _passed((path, place, "door"), alone=True):
            held = await lock(path, place, alone=alone)
        with held:
            yield


@asynccontextmanager
async def _passed(key: Hashable, *, alone: bool) -> AsyncGenerator[None]:
    """Hold the gate of that key."""
    gates = _gates()
    gate = gates.get(key)
    if gate is None:
        gate = gates[key] = _Gate()
    try:
        await gate.acquire(alone=alone)
        try:
            yield
        finally:
            gate.release()
    finally:
        if gate.idle:
            gates.pop(key, None)


async def _queue() -> None:
    """Let no more than a few operations begin in one turn of the event loop.

    What they do before they first wait takes a tenth of a bare spawn, and an application may well
    ask for hundreds of attachments at once.
    """
    try:
        queue = _QUEUE.get()
    except LookupError:
        _QUEUE.set(queue := anyio.Semaphore(_IN_A_TURN, fast_acquire=True))
    async with queue:
        await anyio.lowlevel.checkpoint()


def _gates() -> dict[Hashable, _Gate]:
    try:
        return _GATES.get()
    except LookupError:
        gates: dict[Hashable, _Gate] = {}
        _GATES.set(gates)
        return gates


def _place(kind: str, name: str) -> int:
    """Return a byte of the lock file; an odd one, the byte before it is its queue."""
    text = f"{kind}/{name}".encode("utf-8", "surrogatepass")
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    # 61 bits: past what off_t holds no byte can be locked. The last but one tells the kinds apart:
    # an operation that has its network's byte must not wait for it as its container's.
    return digest >> 3 & ~2 | (kind == "network") << 1 | 1

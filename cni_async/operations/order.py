"""Order among operations: one at a time for a container, and GC alone on its network.

The CNI specification forbids parallel operations for one container, and ADD and DEL on a network
during its garbage collection. All others run in parallel.

Within an event loop, `_Gate` keeps the order, first come, first served. Among processes, and among
event loops of one process, a lock file does, if the caller names one.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel

from cni_async._async import pacing

from .lockfile import absolute, is_locked, lock


class _Gate:
    """A lock, exclusive or shared; first come, first served."""

    def __init__(self) -> None:
        self._holders = 0
        self._alone = False
        self._queue: deque[tuple[anyio.Event, bool]] = deque()

    @property
    def idle(self) -> bool:
        """Whether no operation holds the gate or waits for it."""
        return not self._holders and not self._queue

    async def acquire(self, *, alone: bool) -> None:
        """Wait for the caller's turn. A cancelled call has no effect on the order."""
        if not self._queue and self._is_open(alone):
            self._enter(alone)
            return
        place = (anyio.Event(), alone)
        self._queue.append(place)
        try:
            await place[0].wait()
        except BaseException:
            if place[0].is_set():  # the turn came at the same moment
                self.release()
            else:
                self._queue.remove(place)
                self._admit()  # the next ones may share with the holders
            raise

    def release(self) -> None:
        """Leave, and admit the next in the queue."""
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


# The running event loop's gates that an operation holds or waits for.
_GATES: Final = anyio.lowlevel.RunVar[dict[Hashable, _Gate]]("cni_async.operations.order")


class Locks:
    """Keeps the order for operations that share an event loop and a cache, or a lock file."""

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        """Set the scope of the order.

        Args:
            file: path of the lock file that orders operations among processes; created if missing,
                never removed. It must not be in the results directory of the cache, where libcni
                would read it. A relative path is resolved against the current directory now.

        Raises:
            CacheError: the path is relative, but no current directory exists.
        """
        self._file = None if file is None else absolute(os.fspath(file))

    def attachment(
        self, scope: Hashable, network: str, container_id: str
    ) -> AbstractAsyncContextManager[None]:
        """Hold the order for an operation on an attachment.

        Args:
            scope: the cache that the attachment is in.
            network: name of the network, which must not be collected meanwhile.
            container_id: no other operation may run for this container meanwhile.

        Raises:
            CacheError: the lock file cannot be used.
        """
        # Always in this order, or two operations could wait for each other.
        return _Order(
            self._file,
            _Claim(scope, "network", network, alone=False),
            _Claim(scope, "container", container_id, alone=True),
            begins=True,
        )

    def collection(self, scope: Hashable, network: str) -> AbstractAsyncContextManager[None]:
        """Hold the order for the garbage collection of a network; see `attachment`."""
        return _Order(self._file, _Claim(scope, "network", network, alone=True), begins=False)

    def container(self, scope: Hashable, container_id: str) -> AbstractAsyncContextManager[None]:
        """Hold the order for a CHECK, or for a DEL within a collection; see `attachment`."""
        return _Order(self._file, _Claim(scope, "container", container_id, alone=True), begins=True)

    def is_busy(self, scope: Hashable, container_id: str) -> bool:
        """Return whether an operation runs for a container, here or in another process."""
        gates = _gates()
        if (scope, "container", container_id) in gates:
            return True
        if self._file is None:
            return False
        place = _byte_of("container", container_id)
        return (self._file, place) in gates or is_locked(self._file, place)


class _Claim(NamedTuple):
    """A container or network that an operation holds, alone or shared with others.

    Attributes:
        scope: the cache.
        kind: "network" or "container".
        name: name of the network, or ID of the container.
        alone: whether no other operation may hold it at the same time.
    """

    scope: Hashable
    kind: str
    name: str
    alone: bool


class _Order:
    """A block in which an operation holds its claims, acquired one after the other."""

    def __init__(self, file: str | None, *claims: _Claim, begins: bool) -> None:
        """Set the claims.

        Args:
            file: path of the lock file, if there is one.
            claims: the claims, acquired in this order.
            begins: whether an operation begins; few may begin in one turn of the event loop.
        """
        self._file = file
        self._claims = claims
        self._begins = begins
        self._taken: list[Callable[[], object]] = []

    async def __aenter__(self) -> None:
        if self._begins:
            operations = pacing.of_loop().operations
            await pacing.acquire(operations)
            try:
                await anyio.lowlevel.checkpoint()
            finally:
                operations.release()
        gates = _gates()
        try:
            for claim in self._claims:
                key = (claim.scope, claim.kind, claim.name)
                await self._acquire_gate(gates, key, claim.alone)
                if self._file is not None:
                    place = _byte_of(claim.kind, claim.name)
                    await self._acquire_lock(gates, self._file, place, claim.alone)
        except BaseException:
            self._release_all()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release_all()

    async def _acquire_gate(self, gates: dict[Hashable, _Gate], key: Hashable, alone: bool) -> None:
        """Acquire the gate of a key; `_release_all` releases it."""
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = _Gate()
        try:
            await gate.acquire(alone=alone)
        except BaseException:
            if gate.idle:
                gates.pop(key, None)
            raise
        self._taken.append(partial(_release_gate, gates, key, gate))

    async def _acquire_lock(
        self, gates: dict[Hashable, _Gate], path: str, place: int, alone: bool
    ) -> None:
        # Another gate: several caches may share a lock file, and several names a byte.
        await self._acquire_gate(gates, (path, place), alone)
        # Of a thousand operations that share a byte, only the first in the queue polls the file.
        await self._acquire_gate(gates, (path, place, "door"), True)
        held = await lock(path, place, alone=alone)
        self._taken.pop()()
        self._taken.append(partial(held.__exit__, None, None, None))

    def _release_all(self) -> None:
        try:
            while self._taken:
                self._taken.pop()()
        finally:
            if self._taken:
                self._release_all()


def _release_gate(gates: dict[Hashable, _Gate], key: Hashable, gate: _Gate) -> None:
    gate.release()
    if gate.idle:
        gates.pop(key, None)


def _gates() -> dict[Hashable, _Gate]:
    try:
        return _GATES.get()
    except LookupError:
        gates: dict[Hashable, _Gate] = {}
        _GATES.set(gates)
        return gates


def _byte_of(kind: str, name: str) -> int:
    """Return the offset of a byte of the lock file; odd, as the byte before it is its queue."""
    text = f"{kind}/{name}".encode("utf-8", "surrogatepass")
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    # 61 bits: no byte past the range of off_t can be locked. Bit 1 distinguishes the kinds:
    # an operation that has its network's byte must not wait for it as its container's.
    return digest >> 3 & ~2 | (kind == "network") << 1 | 1

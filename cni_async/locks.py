"""Order among operations: one at a time for a container, and GC alone on its network.

The CNI specification forbids parallel operations for one container, and ADD and DEL while a
network is garbage collected; all else runs in parallel.

Within an event loop that is kept by `_Gate`, and whoever comes first goes first; between processes
(and event loops of one process) by a lock file, where one is given. A lock file holds nothing: each
container and each network is a byte of it, and the kernel drops the locks of a process that dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections import deque
from collections.abc import AsyncGenerator, Generator, Hashable
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import Final

import anyio
import anyio.lowlevel

from .errors import CacheError

# How often another process's lock is tried again: first soon, then less often.
_FIRST_TICK: Final = 0.001
_LAST_TICK: Final = 0.05


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


_Key = tuple[Hashable, str, str]

# Of the running event loop: its gates that somebody holds or waits for.
_GATES: Final = anyio.lowlevel.RunVar[dict[_Key, _Gate]]("cni_async.locks")

_QUEUE: Final = anyio.lowlevel.RunVar[anyio.Semaphore]("cni_async.queue")
_IN_A_TURN: Final = 8


class Locks:
    """Keeps the order for all that share an event loop and a cache, or a lock file."""

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        """Say how far the order reaches.

        Args:
            file: also between processes: a file that is made where it is missing, and never
                removed; not in the results directory of the cache, where libcni would read it.
        """
        self._file = None if file is None else os.fspath(file)

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
            self._hold((scope, "network", network), alone=False),
            self._hold((scope, "container", container_id), alone=True),
        ):
            yield

    @asynccontextmanager
    async def collection(self, scope: Hashable, network: str) -> AsyncGenerator[None]:
        """Hold the order for the garbage collection of a network; see `attachment`."""
        async with self._hold((scope, "network", network), alone=True):
            yield

    @asynccontextmanager
    async def container(self, scope: Hashable, container_id: str) -> AsyncGenerator[None]:
        """Hold the order for a CHECK, or for a DEL within a collection; see `attachment`."""
        await _queue()
        async with self._hold((scope, "container", container_id), alone=True):
            yield

    def is_busy(self, scope: Hashable, container_id: str) -> bool:
        """Tell whether something happens to a container just now, here or in another process."""
        key = (scope, "container", container_id)
        if key in _gates():
            return True
        if self._file is None:
            return False
        with closing(_LockFile(self._file)) as file:
            return file.is_locked(_place(key))

    @asynccontextmanager
    async def _hold(self, key: _Key, *, alone: bool) -> AsyncGenerator[None]:
        gates = _gates()
        gate = gates.get(key)
        if gate is None:
            gate = gates[key] = _Gate()
        try:
            await gate.acquire(alone=alone)
            try:
                if self._file is None:
                    yield
                else:
                    async with _held_in_file(self._file, _place(key), alone=alone):
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


def _gates() -> dict[_Key, _Gate]:
    try:
        return _GATES.get()
    except LookupError:
        gates: dict[_Key, _Gate] = {}
        _GATES.set(gates)
        return gates


@asynccontextmanager
async def _held_in_file(path: str, place: int, *, alone: bool) -> AsyncGenerator[None]:
    with closing(_LockFile(path)) as file:
        # The byte before is the queue of one: without it those who share could follow each other
        # for ever, and a collection would never get its turn.
        await _lock(file, fcntl.F_WRLCK, place - 1)
        await _lock(file, fcntl.F_WRLCK if alone else fcntl.F_RDLCK, place)
        file.unlock(place - 1, 1)
        yield


async def _lock(file: _LockFile, how: int, place: int) -> None:
    tick = _FIRST_TICK
    while not file.try_lock(how, place):
        await anyio.sleep(tick)
        tick = min(2 * tick, _LAST_TICK)


class _LockFile:
    """A lock file, opened.

    Its locks are of the kind that belongs to what was opened: two event loops of one process
    exclude each other, and closing some other descriptor of the file unlocks nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with self._errors():
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _OPEN.add(self)

    def close(self) -> None:
        if self in _OPEN:  # not in a forked child
            # Unlocked even where a child, forked behind Python's back, has the descriptor still.
            with suppress(CacheError):
                self.unlock()
            self.forget()

    def forget(self) -> None:
        """Close the descriptor; whoever has another of the same file keeps its locks."""
        _OPEN.discard(self)
        os.close(self._file)

    def try_lock(self, how: int, place: int) -> bool:
        """Lock a byte unless somebody else has it; tell whether that was so."""
        with self._errors():
            try:
                self._call(fcntl.F_OFD_SETLK, how, place, 1)
            except (BlockingIOError, PermissionError):
                return False
        return True

    def is_locked(self, place: int) -> bool:
        """Tell whether somebody else has a byte; it is not taken, even for a moment."""
        with self._errors():
            return self._call(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place, 1) != fcntl.F_UNLCK

    def unlock(self, place: int = 0, length: int = 0) -> None:
        """Unlock bytes; by default all."""
        with self._errors():
            self._call(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place, length)

    def _call(self, command: int, how: int, place: int, length: int) -> int:
        wish = struct.pack("hhqqi", how, os.SEEK_SET, place, length, 0)  # struct flock
        answer = fcntl.fcntl(self._file, command, wish)
        found: int = struct.unpack_from("h", answer)[0]
        return found

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CacheError(f"cannot lock {self._path}: {reason}", path=self._path) from error


# A forked child has what its parent had opened: it must not hold what that has died holding.
_OPEN: Final = set[_LockFile]()


def _forget_in_child() -> None:
    for file in tuple(_OPEN):
        file.forget()


os.register_at_fork(after_in_child=_forget_in_child)


def _place(key: _Key) -> int:
    """Return a byte of the lock file; an odd one, the byte before it is its queue."""
    _, kind, name = key
    text = f"{kind}/{name}".encode("utf-8", "surrogatepass")
    # 61 bits: past what off_t holds no byte can be locked.
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 3 | 1

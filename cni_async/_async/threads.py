"""Worker threads, which an event loop may be short of, and which a dead disk keeps for ever."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel
import anyio.to_thread

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


async def in_thread(
    function: Callable[[*_Args], _T], *args: *_Args, limiter: anyio.CapacityLimiter | None = None
) -> _T:
    """Call a function in a worker thread.

    If the caller is cancelled, it is left to itself there, or not called if it had not begun.

    Args:
        function: what to call.
        args: its arguments.
        limiter: of threads; by default it waits for no other call. anyio's own limiter is the
            application's, whose functions may have taken all of it.

    Raises:
        OSError: no thread could be started; Python calls that a RuntimeError.
    """
    has_begun = is_over = False

    def call() -> _T:
        nonlocal has_begun
        has_begun = True
        # A thread can be so late that the caller has long gone on to something else.
        if is_over:
            raise InterruptedError
        return function(*args)

    limiter = limiter or anyio.CapacityLimiter(1)
    try:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
    except RuntimeError as error:
        if has_begun:
            raise
        raise no_thread() from error
    finally:
        is_over = True


def no_thread() -> OSError:
    """Return the error of a caller that needs a thread and cannot have one."""
    return OSError(errno.EAGAIN, "cannot start a thread: resource temporarily unavailable")


class PerLoop(Generic[_T]):
    """Something that each event loop has one of, for as long as this object lives."""

    def __init__(self, make: Callable[[], _T]) -> None:
        """Say how it is made."""
        self._make = make

    def get(self) -> _T:
        """Return that of the running event loop."""
        try:
            all_of_loop = _OF_LOOP.get()
        except LookupError:
            _OF_LOOP.set(all_of_loop := WeakKeyDictionary())
        if self not in all_of_loop:
            all_of_loop[self] = self._make()
        found: _T = all_of_loop[self]
        return found


_OF_LOOP: Final = anyio.lowlevel.RunVar[WeakKeyDictionary[PerLoop[Any], Any]]("cni_async.of_loop")


class Visit:
    """One call of a function in a worker thread, as the function itself sees it.

    Attributes:
        threads: the threads that it is one of; None if it runs in the event loop's own.
        since: when it began, by `time.monotonic`.
        given_up: its caller has gone on without it.
        unwanted: what it has done is to be undone; set by a later call for the same thing.
        wake: is called when it is given up; set while it waits for something.
    """

    def __init__(self, threads: Threads | None) -> None:
        """Say where."""
        self.threads = threads
        self.since: float = time.monotonic()
        self.given_up: bool = False
        self.unwanted: bool = False
        self.wake: Callable[[], None] | None = None

    def go_on(self) -> None:
        """Stop here if no caller waits for it any more; to be called before what cannot be undone.

        Raises:
            InterruptedError: so it is.
        """
        if self.given_up:
            raise InterruptedError(errno.EINTR, "given up")

    def give_up(self) -> None:
        """Have it stop as soon as it can."""
        self.given_up = True
        if self.wake is not None:
            self.wake()


# Those that are in a thread. One that is given up stays until the kernel lets go of it.
_RUNNING: Final = set[Visit]()

# A forked child has none of its parent's threads.
os.register_at_fork(after_in_child=_RUNNING.clear)


class Threads:
    """The worker threads of one purpose.

    They are not part of anyio's default limiter, which the application may have used up. When a
    call is given up, anyio's event loops differ: asyncio forgets the thread, so that a disk that
    hangs would collect threads without end; trio counts the thread until it ends, so that no other
    call would get one. Here threads that are stuck are counted apart.
    """

    def __init__(self, *, at_once: int, most_stuck: int) -> None:
        """Say how many.

        Args:
            at_once: calls that are waited for, in each event loop; others wait for their turn.
            most_stuck: calls that were given up and have not come back, in the whole process.
        """
        self._limiter = PerLoop(lambda: anyio.CapacityLimiter(at_once))
        self._most_stuck = most_stuck

    async def visit(self, function: Callable[[Visit], _T]) -> _T:
        """Call a function in a worker thread; given up if the caller is cancelled.

        Raises:
            OSError: no thread could be started, or too many are stuck: EBUSY.
        """
        self._check()
        async with self._limiter.get():
            self._check()
            visit = Visit(self)

            def call() -> _T:
                _RUNNING.add(visit)
                try:
                    return function(visit)
                finally:
                    _RUNNING.discard(visit)

            try:
                return await in_thread(call)
            finally:
                visit.give_up()

    def longest(self) -> float:
        """Return for how many seconds the oldest of the calls has been in its thread."""
        if not _RUNNING:
            return 0.0
        began = [visit.since for visit in tuple(_RUNNING) if visit.threads is self]
        return time.monotonic() - min(began) if began else 0.0

    def _check(self) -> None:
        stuck = [visit for visit in tuple(_RUNNING) if visit.threads is self and visit.given_up]
        if len(stuck) >= self._most_stuck:
            raise OSError(errno.EBUSY, f"{len(stuck)} threads wait for the disk already")

"""Worker threads, which may run out, and which a dead disk keeps for ever."""

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

    If the caller is cancelled, the function runs on in its thread, or is not called at all.

    Args:
        function: called in the thread.
        args: the function's arguments.
        limiter: limits the threads; by default the call waits for no other call. The application's
            functions may fill anyio's default limiter.

    Raises:
        OSError: no thread could be started, which is a RuntimeError in Python.
    """
    has_begun = is_over = False

    def call() -> _T:
        nonlocal has_begun
        has_begun = True
        # The thread may begin only after the caller was cancelled and has gone on.
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
    """Return the error for a thread that cannot be started."""
    return OSError(errno.EAGAIN, "cannot start a thread: resource temporarily unavailable")


class PerLoop(Generic[_T]):
    """A value for each event loop, which lives as long as this object."""

    def __init__(self, make: Callable[[], _T]) -> None:
        """Set the function that makes a value."""
        self._make = make

    def get(self) -> _T:
        """Return the running event loop's value."""
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
        threads: the threads that it is one of; `None` in the event loop's own thread.
        since: when it began, by `time.monotonic`.
        given_up: the caller has gone on without it.
        unwanted: a later call for the same thing sets this, and the function undoes its work.
        wake: called when the caller gives it up; set while the function waits for something.
    """

    def __init__(self, threads: Threads | None) -> None:
        """Set the threads that run the call."""
        self.threads = threads
        self.since: float = time.monotonic()
        self.given_up: bool = False
        self.unwanted: bool = False
        self.wake: Callable[[], None] | None = None

    def go_on(self) -> None:
        """Raise if the caller has given up; call this before a step that cannot be undone.

        Raises:
            InterruptedError: the caller has given up.
        """
        if self.given_up:
            raise InterruptedError(errno.EINTR, "given up")

    def give_up(self) -> None:
        """Make the function stop as soon as it can."""
        self.given_up = True
        if self.wake is not None:
            self.wake()


# The visits in worker threads. A given-up one stays until its function returns.
_RUNNING: Final = set[Visit]()

# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_RUNNING.clear)


class Threads:
    """The worker threads of one purpose.

    They do not use anyio's default limiter, which the application may fill. anyio's limiters treat
    a given-up call in two ways. On asyncio they forget its thread, so that a hanging disk would
    collect threads without end. On trio they count its thread until it ends, so that no other call
    would get one. Here stuck threads are counted separately.
    """

    def __init__(self, *, at_once: int, most_stuck: int) -> None:
        """Set the limits.

        Args:
            at_once: calls at a time in each event loop; further calls wait.
            most_stuck: given-up calls that have not returned, in the whole process.
        """
        self._limiter = PerLoop(lambda: anyio.CapacityLimiter(at_once))
        self._most_stuck = most_stuck

    async def visit(self, function: Callable[[Visit], _T]) -> _T:
        """Call a function in a worker thread; give it up if the caller is cancelled.

        Raises:
            OSError: no thread could be started, or too many are stuck (EBUSY).
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
        """Return for how many seconds the oldest call has been in its thread."""
        if not _RUNNING:
            return 0.0
        began = [visit.since for visit in tuple(_RUNNING) if visit.threads is self]
        return time.monotonic() - min(began) if began else 0.0

    def _check(self) -> None:
        stuck = [visit for visit in tuple(_RUNNING) if visit.threads is self and visit.given_up]
        if len(stuck) >= self._most_stuck:
            raise OSError(errno.EBUSY, f"{len(stuck)} threads wait for the disk already")

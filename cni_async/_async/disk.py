"""Use a disk in the event loop's own thread or in a worker thread, with a deadline.

A worker thread costs more than a local disk takes to read or write a record, and under load the
two threads wait for each other: that was a tenth of an ADD with 16 in flight. But an event loop
that waits for a disk blocks everything else, timeouts included. So the event loop's own thread
uses only a disk that has just been fast.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, Literal, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel

from . import pacing
from .threads import Threads, Visit

_T = TypeVar("_T")

# Seconds; an operation on one record that takes more is slow. A thread may wait for other threads.
_SLOW: Final = 0.005
_SLOW_IN_THREAD: Final = 0.05
# After a slow operation a disk counts as slow for a hundred times as long, which bounds the share
# of its time that an event loop waits. But not for longer than this: the processor may have been
# busy. After a fast operation a disk counts as fast for a second.
_REMEMBERED: Final = 100
_REMEMBERED_AT_MOST: Final = 10.0
_FAST_FOR: Final = 1.0


class _LoopTurn(threading.local):
    """The calls that this thread's event loop has made itself since other tasks last ran."""

    calls: int = 0
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether other tasks have to run before the next call."""
        return self.calls >= pacing.DISK_CALLS or self.seconds >= pacing.DISK_SECONDS

    async def checkpoint(self) -> None:
        """Raise a cancellation of the caller; if the turn is over, let other tasks run."""
        if not self.is_over:
            await anyio.lowlevel.checkpoint_if_cancelled()
            return
        self.calls, self.seconds = 0, 0.0
        await anyio.lowlevel.checkpoint()


_turn: Final = _LoopTurn()


class Later(Enum):
    """The answer of `Disk.at_once` to a call that needs a worker thread."""

    LATER = "later"


class BusyError(Exception):
    """The call may block, and so must not run in the event loop's own thread."""


class Disk:
    """The disk under one path, and how fast it has been; shared by all that use the path."""

    def __init__(self) -> None:
        """Begin without knowledge of the disk's speed."""
        self._threads = Threads(at_once=pacing.DISK_THREADS, most_stuck=pacing.STUCK_THREADS)
        self._fast_until = 0.0
        self._slow_until = 0.0

    async def ask(
        self, function: Callable[[Visit], _T], *, within: float, waits: bool = False
    ) -> _T:
        """Call a function that uses the disk, and return its result.

        A cancellation takes effect before the call, or gives it up in its worker thread.

        Args:
            function: called in a worker thread unless the disk is known to be fast. In the event
                loop's own thread it may raise `BusyError`, which repeats it in a worker thread.
            within: seconds to wait for a worker thread's answer.
            waits: the function takes long even on a fast disk.

        Raises:
            TimeoutError: the disk did not answer in time.
            OSError: no thread can be started, or too many are stuck.
        """
        if not waits and self._is_fast():
            await _turn.checkpoint()
            answer = self._at_once(function)
            if answer is not Later.LATER:
                return answer

        def call(visit: Visit) -> _T:
            return function(visit) if waits else self._timed(function, visit, _SLOW_IN_THREAD)

        try:
            with anyio.fail_after(within):
                return await self._threads.visit(call)
        except TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer in {within:g} s") from None

    def at_once(self, function: Callable[[Visit], _T]) -> _T | Literal[Later.LATER]:
        """Call a function in this thread if the disk is known to be fast and the turn not over."""
        return Later.LATER if _turn.is_over else self._at_once(function)

    def _at_once(self, function: Callable[[Visit], _T]) -> _T | Literal[Later.LATER]:
        if self._is_fast():  # another task may have found it slow meanwhile
            try:
                return self._timed(function, Visit(None), _SLOW)
            except BusyError:
                pass
        return Later.LATER

    def _is_fast(self) -> bool:
        return time.monotonic() < self._fast_until and self._threads.longest() < _SLOW_IN_THREAD

    def _timed(self, function: Callable[[Visit], _T], visit: Visit, slow: float) -> _T:
        begun = time.monotonic()
        try:
            return function(visit)
        finally:
            now = time.monotonic()
            if visit.threads is None:
                _turn.calls += 1
                _turn.seconds += now - begun
            if (took := now - begun) > slow:
                self._fast_until = 0.0
                self._slow_until = now + min(_REMEMBERED * took, _REMEMBERED_AT_MOST)
            elif now >= self._slow_until:
                self._fast_until = now + _FAST_FOR


_DISKS: Final = WeakValueDictionary[str, Disk]()


def disk_of(path: str) -> Disk:
    """Return the `Disk` of a path, without access to the path."""
    return _DISKS.setdefault(path, Disk())

"""How a file system is asked: at once, or in a thread; and for how long.

A thread's visit costs more than a local disk takes to read or write a record, and under load the
two wait for each other: of an ADD with 16 in flight it was a tenth. But an event loop that waits
for a disk keeps everything else waiting, timeouts included. So the event loop's own thread asks
only a disk that has just been fast.
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

# Seconds that no operation on one record takes. A thread may have to wait for other threads, too.
_SLOW: Final = 0.005
_SLOW_IN_THREAD: Final = 0.05
# One that took more is remembered for a hundred times as long, which bounds the share of its time
# that an event loop waits: it may have been the processor, which others had. One that took less is
# remembered for a second.
_REMEMBERED: Final = 100
_REMEMBERED_AT_MOST: Final = 10.0
_FAST_FOR: Final = 1.0


class _LoopTurn(threading.local):
    """The calls that this thread's event loop has made itself since other tasks had their turn."""

    calls: int = 0
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others have their turn."""
        return self.calls >= pacing.DISK_CALLS or self.seconds >= pacing.DISK_SECONDS

    async def checkpoint(self) -> None:
        """Be cancelled if the caller is; now and then let others have their turn."""
        if not self.is_over:
            await anyio.lowlevel.checkpoint_if_cancelled()
            return
        self.calls, self.seconds = 0, 0.0
        await anyio.lowlevel.checkpoint()


_turn: Final = _LoopTurn()


class Later(Enum):
    """The answer of `Disk.at_once` where the disk has to be asked in a thread."""

    LATER = "later"


class BusyError(Exception):
    """The call would wait for a thread, for which an event loop must not wait."""


class Disk:
    """The speed of the disk under one path, shared by all that use it."""

    def __init__(self) -> None:
        """Know nothing."""
        self._threads = Threads(at_once=pacing.DISK_THREADS, most_stuck=pacing.STUCK_THREADS)
        self._fast_until = 0.0
        self._slow_until = 0.0

    async def ask(
        self, function: Callable[[Visit], _T], *, within: float, waits: bool = False
    ) -> _T:
        """Call a function that asks the disk.

        A cancellation comes before the function is called, or gives it up in its thread.

        Args:
            function: is called in a thread if the disk is not known to be fast. It may raise
                `BusyError` where it is not in one.
            within: seconds after which the caller goes on without an answer.
            waits: it takes long even on a fast disk.

        Raises:
            TimeoutError: the disk does not answer.
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
        """Call a function in this thread, if the disk is known to be fast and it is our turn."""
        return Later.LATER if _turn.is_over else self._at_once(function)

    def _at_once(self, function: Callable[[Visit], _T]) -> _T | Literal[Later.LATER]:
        if self._is_fast():  # others may have found it slow meanwhile
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
    """Return what is known of the disk under a path; never asks it."""
    return _DISKS.setdefault(path, Disk())

"""How the disk below a cache is asked: at once, or in a thread; and for how long.

A thread's visit costs more than a local disk takes to read or write a record, and under load the
two wait for each other: of an ADD with 16 in flight it was a tenth. But an event loop that waits
for a disk keeps everything else waiting, timeouts included. So the event loop's own thread asks
only a disk that has just been fast.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel

from cni_async._threads import Threads, Visit
from cni_async.errors import CacheError

from .turns import BusyError

_T = TypeVar("_T")

# Seconds after which a caller goes on without an answer.
_WAIT: Final = 10.0
# Seconds that no operation on one record takes. A thread may have to wait for other threads, too.
_SLOW: Final = 0.005
_SLOW_IN_THREAD: Final = 0.05
# One that took more is remembered for a hundred times as long, which bounds the share of its time
# that an event loop waits: it may have been the processor, which others had. One that took less is
# remembered for a second.
_REMEMBERED: Final = 100
_REMEMBERED_AT_MOST: Final = 10.0
_FAST_FOR: Final = 1.0
# Seconds, and calls, in which an event loop's own thread asks before others have their turn.
_TURN: Final = 0.001
_MOST_IN_TURN: Final = 50
_AT_ONCE: Final = 16
_MOST_STUCK: Final = 16


class _Turn(threading.local):
    """What this thread's event loop has asked itself since others had their turn."""

    calls: int = 0
    seconds: float = 0.0

    async def checkpoint(self) -> None:
        """Be cancelled if the caller is; now and then let others have their turn.

        A turn of the event loop for each call would cost more than the call.
        """
        if self.calls < _MOST_IN_TURN and self.seconds < _TURN:
            await anyio.lowlevel.checkpoint_if_cancelled()
            return
        self.calls, self.seconds = 0, 0.0
        await anyio.lowlevel.checkpoint()


_turn: Final = _Turn()


class Disk:
    """What is known of the disk under one path, by all caches that use it."""

    def __init__(self) -> None:
        """Know nothing."""
        self._threads = Threads(at_once=_AT_ONCE, most_stuck=_MOST_STUCK)
        self._fast_until = 0.0
        self._slow_until = 0.0

    async def ask(
        self,
        path: str,
        function: Callable[[Visit], _T],
        *,
        waits: bool = False,
    ) -> _T:
        """Call a function that asks the disk.

        A cancellation comes before the function is called, or gives it up in its thread.

        Args:
            path: what it is about, for errors.
            function: is called in a thread if the disk is not known to be fast.
            waits: it takes long even on a fast disk.

        Raises:
            CacheError: the disk does not answer, or there is no thread.
        """
        if not waits and self._is_fast():
            await _turn.checkpoint()
            # Others may have found it slow meanwhile.
            if self._is_fast():
                try:
                    return self._timed(function, Visit(None), _SLOW)
                except BusyError:
                    pass

        def call(visit: Visit) -> _T:
            return function(visit) if waits else self._timed(function, visit, _SLOW_IN_THREAD)

        try:
            with anyio.fail_after(_WAIT):
                return await self._threads.visit(call)
        except TimeoutError:
            raise CacheError(f"{path}: no answer in {_WAIT:g} s", path=path) from None
        except OSError as error:
            raise CacheError(f"{path}: {error.strerror}", path=path) from error

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

"""Start processes on uvloop, where only one thread at a time can start one.

A second thread gets an error, and uvloop leaks the three file descriptors that it has opened.
"""

import os
import threading
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, Final, TypeVar

from cni_async._async.shielded import on_uvloop

_T = TypeVar("_T")

RACING: Final = "uvloop starts processes in one thread at a time; another one did just then"

_lock = threading.Lock()


def _renew_lock() -> None:
    # The thread that holds it in the parent does not exist in the forked process.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


async def one_at_a_time(starting: Coroutine[Any, Any, _T]) -> _T:
    """Await a coroutine that starts a process; on uvloop, in one thread at a time.

    A thread blocks while another one starts a process. That one mostly holds the GIL anyway.
    """
    if on_uvloop():
        return await _step_by_step(starting)
    return await starting


@coroutine
def _step_by_step(starting: Coroutine[Any, Any, _T]) -> Generator[Any, Any, _T]:
    steps = starting.__await__()
    # uvloop starts the process within one of these steps.
    step: Callable[[], Any] = partial(next, steps)
    while True:
        try:
            with _lock:
                awaited = step()
        except StopIteration as end:
            result: _T = end.value
            return result
        try:
            step = partial(steps.send, (yield awaited))
        except BaseException as error:
            step = partial(steps.throw, error)

"""uvloop can start a process in one thread at a time only; a second one is an error there.

Such an error costs three file descriptors, too, which uvloop has opened and forgets.
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
    # The thread that holds it in the parent does not exist in the child, and never releases it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


async def one_at_a_time(starting: Coroutine[Any, Any, _T]) -> _T:
    """Await what starts a process; on uvloop no two threads do that at the same moment.

    A thread waits for as long as another one takes to start a process, for which it mostly needs
    Python's own lock.
    """
    if on_uvloop():
        return await _step_by_step(starting)
    return await starting


@coroutine
def _step_by_step(starting: Coroutine[Any, Any, _T]) -> Generator[Any, Any, _T]:
    steps = starting.__await__()
    # It is within one of them that uvloop starts the process.
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

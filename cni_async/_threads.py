"""Worker threads, which an event loop may be short of."""

import errno
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
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
        limiter: of threads; anyio's own by default.

    Raises:
        OSError: no thread could be started; Python calls that a RuntimeError.
    """
    has_begun = is_over = False

    def call() -> _T:
        nonlocal has_begun
        has_begun = True
        # A thread can be so late that who was cancelled has long done something else.
        if is_over:
            raise InterruptedError
        return function(*args)

    try:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
    except RuntimeError as error:
        if has_begun:
            raise
        raise no_thread() from error
    finally:
        is_over = True


def no_thread() -> OSError:
    """Return the error of whoever needs a thread and cannot have one."""
    return OSError(errno.EAGAIN, "cannot start a thread: resource temporarily unavailable")

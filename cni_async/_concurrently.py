"""Do things at once whose order does not matter, or to the end whatever happens meanwhile."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import anyio

from .errors import CNIError

_T = TypeVar("_T")

_EAGER: Final = sys.version_info >= (3, 12)

# Plugins at a time: they mostly wait for the kernel and for each other's locks.
AT_ONCE: Final = 8


async def run_all(
    calls: Sequence[Callable[[], Awaitable[_T]]], *, limit: int
) -> list[_T | CNIError]:
    """Await calls, some at a time, and return what each gave: its value or its `CNIError`.

    Args:
        calls: what to await, begun in this order.
        limit: how many at a time.

    Raises:
        Exception: the first that is no `CNIError`, alone and not in a group; the others are
            cancelled.
    """
    outcomes: dict[int, _T | CNIError] = {}
    failures: list[Exception] = []
    pending = enumerate(calls)

    async def work() -> None:
        for index, call in pending:
            try:
                outcomes[index] = await call()
            except CNIError as error:
                outcomes[index] = error
            except Exception as error:
                failures.append(error)
                group.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(min(limit, len(calls))):
            group.start_soon(work)
    if failures:
        raise failures[0]
    return [outcomes[index] for index in range(len(calls))]


async def uncut(
    call: Callable[[], Awaitable[_T]], *, begun: Callable[[], None] | None = None
) -> _T:
    """Await a call that no cancellation cuts short; it is acted upon afterwards.

    The call has to be bounded in time by itself.

    Args:
        call: what to await.
        begun: is called in the turn of the event loop after the one in which the call has come
            to wait for something, if that can be known, and once it has ended if not.

    Raises:
        BaseException: what the call raises; the cause of the cancellation if there is one, too.
    """
    if _in_asyncio_task():
        return await _in_own_task(call, begun)
    result: list[_T] = []
    try:
        with anyio.CancelScope(shield=True):
            result.append(await call())
    finally:
        if begun is not None:
            begun()
    return result[0]


async def _in_own_task(call: Callable[[], Awaitable[_T]], begun: Callable[[], None] | None) -> _T:
    """Do `uncut` on asyncio, where task.cancel() cuts through anyio's shield.

    It only reaches the waiting for another task. A task group would do too, but every plugin that
    is started waits here, and of 0.35 ms of our own time for one the group took 0.06.
    """

    async def run() -> _T:
        return await call()

    task = _started(run())
    if begun is not None and _EAGER:
        task.get_loop().call_soon(begun)
    interruption: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                interruption = error
    if begun is not None and not _EAGER:
        begun()
    if interruption is None:
        return task.result()
    raise interruption from None if task.cancelled() else task.exception()


def _started(coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):  # at once, not in the event loop's next turn
        return asyncio.Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)


def _in_asyncio_task() -> bool:
    """Tell whether this is an asyncio task; trio may be a guest in asyncio's event loop."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def to_the_end(call: Callable[[], Awaitable[None]], *, within: float | None = None) -> None:
    """Await a call that a cancellation must not cut short; it is acted upon afterwards.

    Args:
        call: what to await.
        within: seconds after which it is cut short all the same, if any.

    Raises:
        TimeoutError: it was.
        Exception: what the call raises; the cause of the cancellation if there is one, too.
    """

    async def bounded() -> None:
        with anyio.fail_after(within):
            await call()

    await uncut(bounded)

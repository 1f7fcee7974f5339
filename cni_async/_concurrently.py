"""Do things at once whose order does not matter, or to the end whatever happens meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import anyio

from ._uncut import in_asyncio_task
from .errors import CNIError

_T = TypeVar("_T")


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

    with anyio.CancelScope(shield=True):
        if in_asyncio_task():
            await _in_own_task(bounded())
        else:
            await bounded()


async def _in_own_task(coroutine: Coroutine[Any, Any, None]) -> None:
    # On asyncio task.cancel() cuts through anyio's shield; here it only reaches the waiting for
    # another task.
    task = asyncio.get_running_loop().create_task(coroutine)
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is None:
        return task.result()
    raise interruption from None if task.cancelled() else task.exception()

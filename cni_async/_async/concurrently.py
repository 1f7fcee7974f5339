"""Do things at once whose order does not matter, or to the end whatever happens meanwhile."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from cni_async.errors import CNIError

from .shielded import shielded

_T = TypeVar("_T")


async def run_all(
    calls: Sequence[Callable[[], Awaitable[_T]]], *, limit: int
) -> list[_T | CNIError]:
    """Await calls, some at a time, and return for each its value or its `CNIError`.

    Args:
        calls: what to await, begun in this order.
        limit: how many at a time.

    Raises:
        Exception: the first that is not a `CNIError`, alone and not in a group; the others are
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


async def run_to_completion(
    call: Callable[[], Awaitable[None]], *, within: float | None = None
) -> None:
    """Await a call that a cancellation must not cut short; it is acted upon afterwards.

    Args:
        call: what to await, in the caller's task.
        within: seconds after which it is cut short all the same, if any.

    Raises:
        TimeoutError: it was.
        Exception: what the call raises; the cause of the cancellation if there is one, too.
    """

    async def bounded() -> None:
        with anyio.fail_after(within):
            await call()

    await shielded(bounded())

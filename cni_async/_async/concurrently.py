"""Await calls concurrently, or to their end despite a cancellation."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from cni_async.errors import CNIError

from .shielded import shielded

_T = TypeVar("_T")


async def run_all(
    calls: Sequence[Callable[[], Awaitable[_T]]], *, limit: int
) -> list[_T | CNIError]:
    """Await calls, some at a time, and return each one's value or `CNIError`, in order.

    Args:
        calls: the calls, which begin in this order.
        limit: how many calls run at a time.

    Raises:
        Exception: a call raised an error that is not a `CNIError`. The first one is raised, not
            in a group, and the other calls are cancelled.
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
    """Await a call to its end, and only then raise a cancellation of the caller.

    Args:
        call: runs in the caller's task.
        within: seconds after which the call is cut short; `None` means no limit.

    Raises:
        TimeoutError: the call took longer than `within`.
        Exception: the call raised it. It is the cause of the cancellation's error if there is one.
    """

    async def bounded() -> None:
        with anyio.fail_after(within):
            await call()

    await shielded(bounded())

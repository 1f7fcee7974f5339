"""Await calls concurrently, or to their end despite a cancellation."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from cni_async.errors import CNIError

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

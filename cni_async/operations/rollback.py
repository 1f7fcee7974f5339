"""Attachments that do not outlive their use: rolled back, left, or found again and deleted.

What is on the way out runs whether or not the caller is cancelled, and only so long. Its failure
never hides what came first: that error has it as a note and as `rollback_error`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from cni_async._async.concurrently import run_to_completion
from cni_async.errors import CacheWriteError, CNIError, PluginTimeoutError
from cni_async.types import Result

from .chain import Chains, Progress
from .operation import Operation

_log = logging.getLogger(__name__)


async def add_or_undo(chains: Chains, op: Operation, *, within: float) -> Result:
    """Attach a container, or take back what there is of it.

    Args:
        chains: runs the plugins.
        op: the ADD.
        within: seconds for the DEL.
    """
    progress = Progress()
    try:
        return await chains.add(op, progress)
    except GeneratorExit:
        raise  # nothing can be awaited any more; `recover` finds the record
    except BaseException as failure:
        # A plugin that was killed may have done all of its work.
        undone = await _clean_up(
            lambda: chains.undo(op, progress), within, failure, f"rollback of {_name(op)}"
        )
        if undone and progress.key is not None and isinstance(failure, CacheWriteError):
            failure.result = None  # nothing is attached any more
        raise


@asynccontextmanager
async def attached(
    add: Callable[[], Awaitable[Result]],
    delete: Callable[[], Awaitable[None]],
    op: Operation,
    *,
    within: float,
) -> AsyncGenerator[Result]:
    """Attach a container for a block.

    Args:
        add: attaches it, or takes back what there is of it.
        delete: detaches it.
        op: which attachment.
        within: seconds for the DEL, waiting for its turn included.
    """
    result = await add()
    try:
        yield result
    except GeneratorExit:
        raise  # nothing can be awaited any more
    except BaseException as failure:
        await _clean_up(delete, within, failure, f"DEL of {_name(op)}")
        raise
    await _bounded(delete, within, f"DEL of {_name(op)}")


async def _clean_up(
    call: Callable[[], Awaitable[None]], within: float, failure: BaseException, what: str
) -> bool:
    """Await a call after a failure; tell whether it succeeded."""
    try:
        await _bounded(call, within, what)
    except Exception as error:
        _attach_error(error, failure, what)
        return False
    except BaseException as interruption:
        # Cancelled meanwhile, perhaps for the second time: that is what is raised.
        if isinstance(interruption.__cause__, Exception):
            _attach_error(interruption.__cause__, failure, what)
        raise
    return True


def _attach_error(error: Exception, failure: BaseException, what: str) -> None:
    """Keep a second error with the first."""
    _log.warning("%s failed: %s", what, error)
    failure.add_note(f"{what} failed: {error}")
    if isinstance(failure, CNIError):
        failure.rollback_error = error


async def _bounded(call: Callable[[], Awaitable[None]], within: float, what: str) -> None:
    async def in_time() -> None:
        with anyio.move_on_after(within):
            return await call()
        raise PluginTimeoutError(
            f"{what} was not done in {within:g} s", command="DEL", retryable=True
        )

    await run_to_completion(in_time)


def _name(op: Operation) -> str:
    return f"{op.rt.container_id} {op.rt.ifname}"

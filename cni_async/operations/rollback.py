"""Undo an ADD that failed, and delete an attachment after a block.

The cleanup runs even if the caller is cancelled, within a time limit. Its failure never hides the
first error, which carries it as a note and as `rollback_error`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from cni_async._async.shielded import shielded
from cni_async.errors import CacheWriteError, CNIError, PluginTimeoutError
from cni_async.types import Result

from .chain import Chains, Progress
from .operation import Operation

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


async def add_or_undo(chains: Chains, op: Operation, *, within: float) -> Result:
    """Attach a container; if that fails, undo the attachment.

    Args:
        chains: runs the plugins.
        op: the ADD.
        within: seconds for the DEL.
    """
    progress = Progress()
    try:
        return await chains.add(op, progress)
    except GeneratorExit:
        raise  # nothing can be awaited now; `recover` finds the record
    except BaseException as failure:
        # A killed plugin may have done all of its work.
        undone = await clean_up(
            lambda: chains.undo(op, progress), within, failure, f"rollback of {name_of(op)}"
        )
        if undone and progress.key is not None and isinstance(failure, CacheWriteError):
            failure.result = None  # nothing is attached any more
        raise


@asynccontextmanager
async def attached(
    add: Callable[[], Awaitable[_T]],
    delete: Callable[[], Awaitable[None]],
    name: str,
    *,
    within: float,
) -> AsyncGenerator[_T]:
    """Attach a container for a block.

    Args:
        add: attaches the container, or undoes the attachment.
        delete: detaches the container.
        name: what is attached, for errors.
        within: seconds for the DEL, waiting for its turn included.
    """
    result = await add()
    try:
        yield result
    except GeneratorExit:
        raise  # nothing can be awaited now
    except BaseException as failure:
        await clean_up(delete, within, failure, f"DEL of {name}")
        raise
    await _bounded(delete, within, f"DEL of {name}")


async def clean_up(
    call: Callable[[], Awaitable[None]], within: float, failure: BaseException, what: str
) -> bool:
    """Await a call after a failure; return whether it succeeded."""
    try:
        await _bounded(call, within, what)
    except Exception as error:
        _attach_error(error, failure, what)
        return False
    except BaseException as interruption:
        # The caller was cancelled, perhaps for the second time: raise the cancellation.
        if isinstance(interruption.__cause__, Exception):
            _attach_error(interruption.__cause__, failure, what)
        raise
    return True


def _attach_error(error: Exception, failure: BaseException, what: str) -> None:
    """Add a second error to the first as a note."""
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

    await shielded(in_time())


def name_of(op: Operation) -> str:
    """Return the name of an operation's attachment in messages."""
    return f"{op.rt.container_id} {op.rt.ifname}"

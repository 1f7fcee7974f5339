"""Start a process with anyio, so that not even the end of an asyncio event loop loses it."""

import asyncio
from collections.abc import Coroutine, Generator, Mapping
from functools import partial
from typing import Any

import anyio
import anyio.abc

from cni_async._uncut import in_asyncio_task


async def open_process(
    path: str, environ: Mapping[str, str] | None, stdin: int, stdout: int, stderr: int
) -> anyio.abc.Process:
    """Start an executable, without arguments, in a session of its own.

    Args:
        path: the executable.
        environ: its environment; None for this process's own.
        stdin, stdout, stderr: its file descriptors.

    Raises:
        OSError, ValueError: it could not be started.
    """
    start = anyio.open_process(
        [path],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=None if environ is None else dict(environ),  # uvloop takes no other mapping
        start_new_session=True,
    )
    return await (_Start(start) if in_asyncio_task() else start)


class _Start:
    """Awaits the start of a process on asyncio.

    asyncio starts the process at once, and makes a task that tells, a turn later, that it is
    started. `asyncio.run()` cancels all tasks when it ends. If it ends in that turn, the task is
    cancelled before it has done anything, and the start would wait for it for ever. So this task
    is made one that cannot be cancelled; it needs no more than that one turn.
    """

    def __init__(self, start: Coroutine[Any, Any, anyio.abc.Process]) -> None:
        self._start = start

    def __await__(self) -> Generator[Any, Any, anyio.abc.Process]:
        loop = asyncio.get_running_loop()
        step = partial(self._start.send, None)
        try:
            while True:
                factory = loop.get_task_factory()
                loop.set_task_factory(_make_uncancellable)
                try:
                    awaited = step()
                finally:
                    loop.set_task_factory(factory)
                try:
                    yield awaited
                except BaseException as error:
                    step = partial(self._start.throw, error)
                else:
                    step = partial(self._start.send, None)
        except StopIteration as end:
            process: anyio.abc.Process = end.value
            return process


class _Uncancellable(asyncio.Task[Any]):
    """A task that ignores requests to cancel it."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Do nothing."""
        return False


def _make_uncancellable(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> "asyncio.Task[Any]":
    return _Uncancellable(coroutine, loop=loop, **options)

"""Start a process with anyio, so that not even the end of an asyncio event loop loses it."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVarTuple

import anyio
import anyio.abc

from cni_async._uncut import in_asyncio_task

_Ts = TypeVarTuple("_Ts")


async def open_process(
    path: str, environ: Mapping[str, str] | None, stdin: int, stdout: int, stderr: int
) -> tuple[anyio.abc.Process, int | None]:
    """Start an executable, without arguments, in a session of its own.

    Args:
        path: the executable.
        environ: its environment; None for this process's own.
        stdin, stdout, stderr: its file descriptors.

    Returns:
        the process, and a pidfd of it where it was necessary to open one before this returns.

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
    if not in_asyncio_task():
        return await start, None
    if sys.version_info >= (3, 12):
        return await _Start(start), None
    pidfds = _Pidfds()
    try:
        return await _Start(start, pidfds.around_step), pidfds.take()
    finally:
        pidfds.close()


class _Start:
    """Awaits the start of a process on asyncio, which is over in the turn in which it happens.

    asyncio starts the process at once, and makes a task that tells, a turn later, that it is
    started. If the event loop ends in that turn, `asyncio.run()` cancels this task before it has
    done anything, and the start would wait for it for ever. And in a turn a process may have ended
    and been reaped, so that its status is lost to everybody else. So this task's work is done
    instead of putting it off; with file descriptors for pipes it does not wait for anything.
    """

    def __init__(
        self,
        start: Coroutine[Any, Any, anyio.abc.Process],
        around_step: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Say what to await.

        Args:
            start: of the process.
            around_step: a context manager for each of its steps.
        """
        self._start = start
        self._around_step = around_step

    def __await__(self) -> Generator[Any, Any, anyio.abc.Process]:
        loop = asyncio.get_running_loop()
        step = partial(self._start.send, None)
        try:
            while True:
                factory = loop.get_task_factory()
                loop.set_task_factory(_do_at_once)
                try:
                    with self._around_step():
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


def _do_at_once(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> "asyncio.Task[Any]":
    """Make a task of a coroutine after its first step, which is mostly its only one."""
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        coroutine = _nothing()
    else:
        coroutine = _rest(coroutine, awaited)
    return asyncio.Task(coroutine, loop=loop, **options)


async def _nothing() -> None:
    pass


async def _rest(
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], awaited: Any
) -> Any:
    return await _Rest(coroutine, awaited)


class _Rest:
    """Awaits a coroutine that has come to wait for something already."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], awaited: Any
    ) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        try:
            while True:
                try:
                    yield awaited
                except BaseException as error:
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(None)
        except StopIteration as end:
            return end.value


if sys.version_info < (3, 12):

    class _Pidfds:
        """Opens a pidfd of a child before asyncio reaps it.

        Python 3.11 has a thread for each child that reaps it at once. Without a pidfd nobody could
        tell then a child that exits with 255 from one whose status asyncio could not get.
        """

        def __init__(self) -> None:
            self._pidfd: int | None = None

        @contextmanager
        def around_step(self) -> Generator[None]:
            """Have asyncio tell of the children that it starts during a block."""
            # Deprecated only in later Pythons.
            policy: Any = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated]
            real: asyncio.AbstractChildWatcher = policy.get_child_watcher()
            policy.set_child_watcher(_Watcher(real, self._open))
            try:
                yield
            finally:
                policy.set_child_watcher(real)

        def take(self) -> int | None:
            """Return the pidfd, which is the caller's from now on."""
            pidfd, self._pidfd = self._pidfd, None
            return pidfd

        def close(self) -> None:
            """Close the pidfd, unless it was taken."""
            if self._pidfd is not None:
                os.close(self._pidfd)

        def _open(self, pid: int) -> None:
            with suppress(AttributeError, OSError):
                self._pidfd = os.pidfd_open(pid)

    class _Watcher(asyncio.AbstractChildWatcher):
        """A child watcher that tells of each child before the real one gets it."""

        def __init__(
            self, real: asyncio.AbstractChildWatcher, begun: Callable[[int], None]
        ) -> None:
            self._real = real
            self._begun = begun

        def add_child_handler(
            self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts
        ) -> None:
            self._begun(pid)
            self._real.add_child_handler(pid, callback, *args)

        def remove_child_handler(self, pid: int) -> bool:
            return self._real.remove_child_handler(pid)

        def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            self._real.attach_loop(loop)

        def close(self) -> None:
            self._real.close()

        def is_active(self) -> bool:
            return self._real.is_active()

        def __enter__(self) -> "_Watcher":
            self._real.__enter__()
            return self

        def __exit__(self, *exception: Any) -> None:
            self._real.__exit__(*exception)

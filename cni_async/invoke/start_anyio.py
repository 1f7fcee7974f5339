"""Start a process with anyio, so that not even the end of an asyncio event loop loses it.

This module and `spawning` know how each event loop starts a process.
"""

import asyncio
import asyncio.subprocess
import errno
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from traceback import walk_tb
from typing import Any, Final, Protocol, runtime_checkable

import anyio
import anyio.abc

from cni_async._async.shielded import in_asyncio_task, on_uvloop, shielded
from cni_async._async.threads import no_thread

from .pipes import Pipes
from .spawning import RACING, one_at_a_time
from .start import Started

# asyncio reports this for a child whose status it could not get. A plugin can exit with it, too.
_LOST_TO_ASYNCIO: Final = 255


async def start(
    path: str,
    environ: Mapping[str, str] | None,
    pipes: Pipes,
    *,
    started: Callable[[Started], None],
    begun: Callable[[], None],
) -> None:
    """Start an executable; see `Start`."""
    _refuse_what_uvloop_would_not(path, environ or {})
    starting = _start(path, environ, pipes, started)
    try:
        if in_asyncio_task():
            await shielded(starting, begun=begun)
        else:
            # trio first waits until one of the application's worker threads is free; nothing has
            # begun until then. From then on it ignores a cancellation.
            await starting
            begun()
    except ProcessLookupError:
        # execve does not fail like that. asyncio opens a pidfd of the child at once, which fails
        # if something else has reaped the child.
        pass


async def _start(
    path: str, environ: Mapping[str, str] | None, pipes: Pipes, started: Callable[[Started], None]
) -> None:
    try:
        process = await one_at_a_time(_open_process(path, environ, pipes))
    except BaseException as error:
        half = half_started(error)
        if isinstance(error, ProcessLookupError):
            if half is not None:
                half.close()
        elif half is not None:
            started(half)
        if isinstance(error, RuntimeError):
            # trio starts processes in threads, and asyncio before Python 3.12 waits in one.
            if "start new thread" in str(error):
                raise no_thread() from error
            if "Racing with another loop" in str(error):  # one of the application's
                busy = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                busy.add_note(RACING)
                raise busy from error
        raise
    started(_Opened(process))


async def _open_process(
    path: str, environ: Mapping[str, str] | None, pipes: Pipes
) -> anyio.abc.Process:
    start = anyio.open_process(
        [path],
        stdin=pipes.stdin,
        stdout=pipes.stdout,
        stderr=pipes.stderr,
        env=None if environ is None else dict(environ),  # uvloop takes no other mapping
        start_new_session=True,
    )
    return await (_Start(start) if in_asyncio_task() else start)


def _refuse_what_uvloop_would_not(path: str, environ: Mapping[str, str]) -> None:
    """Raise the error of `subprocess` or the kernel where uvloop would run something else."""
    if not on_uvloop():
        return
    # uvloop cuts strings off at a NUL.
    if "\0" in path:
        raise ValueError("embedded null byte")
    for key, value in environ.items():
        if "\0" in key or "\0" in value:
            raise ValueError("environment variable contains NUL")
        if "=" in key:
            raise ValueError("illegal environment variable name")
    # uvloop runs /bin/sh on a file that the kernel cannot execute; a truncated or empty plugin may
    # then "succeed".
    if os.path.isfile(path) and os.access(path, os.R_OK | os.X_OK):
        with open(path, "rb") as file:
            if not file.read(4).startswith((b"#!", b"\x7fELF")):
                raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), path)


class _FromLoop:
    """The event loop's view of a process that it has started."""

    def __init__(self, pid: int) -> None:
        self.pid: int = pid

    def may_report(self, *, gone: bool) -> bool:
        # libuv reaps in this thread, and notifies uvloop at once. It skips a child that something
        # else has reaped.
        return not (gone and on_uvloop())

    def is_trustworthy(self, returncode: int) -> bool:
        # subprocess, which trio uses, reports a lost status as 0, and reaps only when asked.
        return in_asyncio_task() and (returncode != _LOST_TO_ASYNCIO or on_uvloop())


class _Opened(_FromLoop):
    """A process that anyio has opened."""

    def __init__(self, process: anyio.abc.Process) -> None:
        super().__init__(process.pid)
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def close(self) -> None:
        pass


@runtime_checkable
class _Transport(Protocol):
    """asyncio's handle of a process: `asyncio.SubprocessTransport`, and uvloop's own."""

    def get_pid(self) -> int | None: ...

    def get_returncode(self) -> int | None: ...

    def get_extra_info(self, name: str, default: None = None) -> Any: ...

    def close(self) -> None: ...


class HalfStarted(_FromLoop):
    """A process that exists although its start failed.

    asyncio starts the process, and then opens a pidfd or, before Python 3.12, starts a thread. If
    that fails, asyncio raises an error and forgets the process, which nothing reaps then.

    Attributes:
        pid: its process ID.
    """

    def __init__(
        self, pid: int, poll: Callable[[], int | None], close: Callable[[], object] | None = None
    ) -> None:
        """Take charge of the process."""
        super().__init__(pid)
        self._poll = poll
        self._close = close

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negated signal number; reading it may reap the process."""
        return self._poll()

    def close(self) -> None:
        """Close the event loop's handle; asyncio kills a process that is not reaped yet."""
        if self._close is not None:
            self._close()


def half_started(error: BaseException) -> HalfStarted | None:
    """Return the process that a failed start has left; `None` if there is none.

    The error does not name the process. But the functions in its traceback have the process in a
    local variable: asyncio's transport, or with older releases of anyio
    `asyncio.subprocess.Process`. On uvloop nothing can fail once the process exists, and trio goes
    on without a pidfd.
    """
    for frame, _ in walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, type):
                continue  # the class of a transport is a local variable, too
            if isinstance(value, asyncio.subprocess.Process):
                return HalfStarted(value.pid, partial(getattr, value, "returncode"))
            if isinstance(value, _Transport) and (pid := value.get_pid()) is not None:
                # asyncio's does not by itself reap a process that it cannot watch; uvloop's does.
                popen: Any = value.get_extra_info("subprocess")
                return HalfStarted(pid, getattr(popen, "poll", value.get_returncode), value.close)
    return None


class _Start:
    """Awaits the start of a process on asyncio, and completes it in the same turn.

    asyncio starts the process at once, and makes a task that reports the start a turn later. If the
    event loop ends in that turn, `asyncio.run()` cancels this task before it runs, and the start
    would wait for it for ever. In that turn the process may also exit and be reaped, and its status
    is lost. So `_do_at_once` runs the task's first step immediately; as the pipes are file
    descriptors, that step waits for nothing.
    """

    def __init__(self, start: Coroutine[Any, Any, anyio.abc.Process]) -> None:
        self._start = start

    def __await__(self) -> Generator[Any, Any, anyio.abc.Process]:
        loop = asyncio.get_running_loop()
        step = partial(self._start.send, None)
        try:
            while True:
                factory = loop.get_task_factory()
                loop.set_task_factory(_do_at_once)
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


def _do_at_once(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> "asyncio.Task[Any]":
    """Run a coroutine's first step, mostly the only one, and return a task for the rest."""
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
    """Awaits a coroutine that already waits for something."""

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

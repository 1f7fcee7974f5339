"""Start a process with `os.posix_spawn`, on every event loop alike; `child` reaps it.

The kernel suspends the calling thread until the child executes the plugin (vfork). Nothing copies
this process's memory, and a cancellation cannot arrive during the start.
"""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final

import anyio.lowlevel

from .pipes import Pipes
from .start import Started

# Since Python 3.13, with a C library that has it. Without it the child has, as with Go, what is not
# close-on-exec: all that Python opens is.
_CLOSEFROM: Final[int | None] = getattr(os, "POSIX_SPAWN_CLOSEFROM", None)
# Python ignores SIGPIPE and SIGXFSZ, and the application may ignore more.
_SIGNALS: Final = tuple(map(int, signal.valid_signals()))
_TOO_MUCH_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


@cache
def is_available() -> bool:
    """Tell whether this system has pidfds, and this Python can start a session with posix_spawn."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        # With too few descriptors it is not known, and nearly every Linux has pidfds.
        if isinstance(error, AttributeError) or error.errno not in _TOO_MUCH_OPEN:
            return False
    try:
        os.posix_spawn("/", ["/"], {}, setsid=True)
    except NotImplementedError:  # built with the headers of an old C library
        return False
    except OSError:
        pass  # a directory is not executed
    return True


async def start(
    path: str,
    environ: Mapping[str, str] | None,
    pipes: Pipes,
    *,
    started: Callable[[Started], None],
    begun: Callable[[], None],
) -> None:
    """Start an executable; see `Start`."""
    _spawn(path, dict(os.environ) if environ is None else environ, pipes, started)
    # A start holds up the event loop, so the next ones wait for a later turn. If the caller is
    # cancelled here, it knows the process and ends it.
    try:
        await anyio.lowlevel.checkpoint()
    finally:
        begun()


class _Unwatched:
    """A process that the event loop knows nothing of."""

    returncode = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def may_report(self, *, gone: bool) -> bool:
        return False

    def is_trustworthy(self, returncode: int) -> bool:
        return False

    def close(self) -> None:
        pass


def _spawn(
    path: str, environ: Mapping[str, str], pipes: Pipes, started: Callable[[Started], None]
) -> None:
    if "\0" in path:
        raise ValueError("embedded null byte")  # in subprocess's words
    pids: list[int] = []
    failure: OSError | None = None
    spare: list[int] = []
    try:
        spawn = partial(
            os.posix_spawn,
            file_actions=_file_actions(pipes, spare),
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
        for executable in _executables(path, environ):
            try:
                try:
                    # One call of C: nothing can raise KeyboardInterrupt between the moment in which
                    # there is a process and that in which its number is kept.
                    pids.extend(map(spawn, (executable,), ((path or executable,),), (environ,)))
                except OSError as error:
                    if pids:
                        raise  # by the handler of a signal: there is a process
                    if failure is None or failure.errno in _NOT_THERE:
                        failure = error
                    continue
                started(_Unwatched(pids[0]))
                return
            except BaseException:
                if pids:
                    # The call above may not have happened, or only in part.
                    started(_Unwatched(pids[0]))
                raise
    finally:
        for end in spare:
            os.close(end)
    raise failure or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _file_actions(pipes: Pipes, spare: list[int]) -> list[tuple[Any, ...]]:
    """Say what becomes stdin, stdout and stderr; further descriptors for that go into `spare`."""
    actions: list[tuple[Any, ...]] = []
    for number, end in enumerate((pipes.stdin, pipes.stdout, pipes.stderr)):
        source = end
        # This process has closed its own stdin, stdout or stderr. An end on a smaller number is
        # overwritten by now, and what is on the same one may be close-on-exec (glibc before 2.29).
        if end <= number:
            source = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3)
            spare.append(source)
        actions.append((os.POSIX_SPAWN_DUP2, source, number))
    if _CLOSEFROM is not None:
        actions.append((_CLOSEFROM, 3))
    return actions


def _executables(path: str, environ: Mapping[str, str]) -> list[str]:
    """Return what to try to execute: a bare name is looked for in PATH, as subprocess does."""
    if os.path.dirname(path):
        return [path]
    return [os.path.join(folder, path) for folder in os.get_exec_path(environ)]

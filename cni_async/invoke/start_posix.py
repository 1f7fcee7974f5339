"""Start a process with `os.posix_spawn`, alike on every event loop; `child` reaps it.

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

# Python has this since 3.13, if the C library does. Without it the child inherits, as with Go, what
# is not close-on-exec; everything that Python opens is.
_CLOSEFROM: Final[int | None] = getattr(os, "POSIX_SPAWN_CLOSEFROM", None)
# Python ignores SIGPIPE and SIGXFSZ, and the application may ignore more.
_SIGNALS: Final = tuple(map(int, signal.valid_signals()))
_TOO_MUCH_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE})
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


@cache
def is_available() -> bool:
    """Return whether the system has pidfds, and Python's posix_spawn can start a session."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        # Without a free descriptor this is unknown, and nearly every Linux has pidfds.
        if isinstance(error, AttributeError) or error.errno not in _TOO_MUCH_OPEN:
            return False
    try:
        os.posix_spawn("/", ["/"], {}, setsid=True)
    except NotImplementedError:  # Python was built with the headers of an old C library
        return False
    except OSError:
        pass  # the kernel does not execute a directory
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
    # A start blocks the event loop, so the next one waits for a later turn. A caller that is
    # cancelled here knows the process and ends it.
    try:
        await anyio.lowlevel.checkpoint()
    finally:
        begun()


class _Unwatched:
    """A process that the event loop does not know."""

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
                    # One call of C: no KeyboardInterrupt can come between the start of the process
                    # and the storing of its number.
                    pids.extend(map(spawn, (executable,), ((path or executable,),), (environ,)))
                except OSError as error:
                    if pids:
                        raise  # a signal handler raised it: the process exists
                    if failure is None or failure.errno in _NOT_THERE:
                        failure = error
                    continue
                started(_Unwatched(pids[0]))
                return
            except BaseException:
                if pids:
                    # The call of `started` above may not have happened, or only in part.
                    started(_Unwatched(pids[0]))
                raise
    finally:
        for end in spare:
            os.close(end)
    raise failure or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _file_actions(pipes: Pipes, spare: list[int]) -> list[tuple[Any, ...]]:
    """Return actions that set stdin, stdout and stderr; add descriptors to close to `spare`."""
    actions: list[tuple[Any, ...]] = []
    for number, end in enumerate((pipes.stdin, pipes.stdout, pipes.stderr)):
        source = end
        # This process has closed its own stdin, stdout or stderr. An earlier action overwrites an
        # end with a smaller number; one with the same may stay close-on-exec (glibc before 2.29).
        if end <= number:
            source = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3)
            spare.append(source)
        actions.append((os.POSIX_SPAWN_DUP2, source, number))
    if _CLOSEFROM is not None:
        actions.append((_CLOSEFROM, 3))
    return actions


def _executables(path: str, environ: Mapping[str, str]) -> list[str]:
    """Return the files to try: for a bare name those in PATH, as subprocess does."""
    if os.path.dirname(path):
        return [path]
    return [os.path.join(folder, path) for folder in os.get_exec_path(environ)]

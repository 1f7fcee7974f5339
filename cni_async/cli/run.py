"""Run a command on an event loop, end it at a signal, and print its outcome."""

import errno
import logging
import os
import select
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import NoReturn, TextIO, TypeAlias, cast

import anyio
import anyio.abc
import click

from cni_async import CNIError, ValidationError

from .answer import Answer, Shown
from .text import visible, visible_json

Left: TypeAlias = Callable[[Exception | None], Awaitable[str]]
"""Returns, in lines, what is left of work that failed; `None` is an interruption."""


class PluginStderr:
    """Collects plugins' stderr, so that the command's own line can be printed before it."""

    def __init__(self) -> None:
        self.data: bytearray = bytearray()

    def write(self, data: bytes) -> None:
        """Take one plugin's stderr."""
        self.data += data


class StoppedError(Exception):
    """A signal has ended the command's work."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def run(
    work: Callable[[], Awaitable[Answer]],
    stderr: PluginStderr,
    backend: str,
    *,
    json: bool,
    left: Left | None = None,
    waiting: str = "",
) -> None:
    """Do a command's work and print its answer; if that fails, print the reason and exit.

    Args:
        work: returns the answer.
        stderr: collects the plugins' stderr meanwhile.
        backend: the event loop to run on.
        json: print JSON on a terminal, too.
        left: called after a failure; returns a text on what is left of the work.
        waiting: the line to print at a second signal.
    """
    progress = _Progress()
    try:
        with _log_to_stderr():
            anyio.run(_unless_stopped, work, left, waiting, progress, backend=backend)
        answer = _outcome(progress)
        _write(bytes(stderr.data))
        _print(answer, json=json)
    except StoppedError as stopped:
        reason = f"interrupted ({stopped.number.name})"
        _exit(reason, stderr, 128 + stopped.number, progress)
    except KeyboardInterrupt:  # just before or just after the work
        _exit("interrupted (SIGINT)", stderr, 128 + signal.SIGINT, progress)
    except ValidationError as error:
        _exit("\n".join(map(str, error.errors)), stderr, 1, progress)
    except CNIError as error:
        # A failed rollback is a note, too, but the log has reported it already.
        notes: list[str] = [] if error.rollback_error else getattr(error, "__notes__", [])
        _exit("\n".join([str(error), *notes]), stderr, 1, progress)
    except OSError as error:
        reason = error.strerror or str(error)
        reason = f"{error.filename}: {reason}" if error.filename else reason
        if error.errno == errno.EPIPE:
            reason = ""  # the reader of the answer has closed the pipe
        _exit(reason, stderr, 1, progress)


def warn(error: OSError) -> None:
    """Report on stderr a problem that is not a failure."""
    _say(f"{error.filename}: {error.strerror}")


class _Progress:
    """How far the work has come.

    Attributes:
        outcome: the answer, or the error of the work; `None` if a signal stopped it.
        stopped: the signals that have come.
        left: what is left of work that failed.
    """

    def __init__(self) -> None:
        self.outcome: Answer | Exception | None = None
        self.stopped: list[signal.Signals] = []
        self.left: str = ""


def _outcome(progress: _Progress) -> Answer:
    if progress.outcome is None:
        raise StoppedError(progress.stopped[0])
    if isinstance(progress.outcome, Exception):
        raise progress.outcome
    return progress.outcome


def _exit(reason: str, stderr: PluginStderr, code: int, progress: _Progress) -> NoReturn:
    """Print the reason as cnitool does, then plugins' stderr, indented, then what is left; exit."""
    if reason:
        _say(reason)
    answered = isinstance(progress.outcome, Answer)
    # If the answer could not be printed, the plugins' stderr was printed before it.
    for line in [] if answered else stderr.data.decode("utf-8", "replace").splitlines():
        _say(f"  {line}")
    left = progress.outcome.done if isinstance(progress.outcome, Answer) else progress.left
    if left:
        _say(left)
    if "no paths provided" in reason:
        _say("no plugin directories: set CNI_PATH or --cni-path")
    sys.exit(code)


async def _unless_stopped(
    work: Callable[[], Awaitable[Answer]], left: Left | None, waiting: str, progress: _Progress
) -> None:
    """Do the work; a signal cancels it, so that its plugin ends before this process."""
    scope = anyio.CancelScope()
    # nohup and shells without job control start commands that ignore these two; leave that so.
    ours = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, *ours) as signals:
            task_status.started()
            # Until the end: a further signal must not cut the ending of a plugin short.
            async for number in signals:
                progress.stopped.append(number)
                if scope.cancel_called and _has_room():
                    _say(waiting)
                scope.cancel()

    async with anyio.create_task_group() as group:
        await group.start(watch)
        with scope:
            try:
                progress.outcome = await work()
            except Exception as error:
                progress.outcome = error  # kept, as the group would wrap it
        if left is not None and not isinstance(progress.outcome, Answer):
            progress.left = await left(progress.outcome)
        group.cancel_scope.cancel()


def _has_room() -> bool:
    """Return whether stderr takes a line at once: the event loop must not wait for a reader."""
    try:
        return bool(select.select([], [2], [], 0)[1])
    except OSError:
        return False  # stderr is closed


@contextmanager
def _log_to_stderr() -> Generator[None]:
    """Print the library's warnings during a block."""
    logger = logging.getLogger("cni_async")
    handler = _LogHandler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        _say(self.format(record))


def _say(text: str) -> None:
    """Print lines on stderr."""
    _write(text + "\n")


def _write(text: str | bytes) -> None:
    """Print text on stderr, with escapes for what a terminal would obey.

    If stderr cannot be written, the text is lost, and only the exit code remains.
    """
    stderr = cast("TextIO | None", sys.stderr)  # None if the descriptor is closed
    try:
        if stderr is not None and stderr.isatty():
            if isinstance(text, bytes):
                text = text.decode("utf-8", "surrogateescape")
            text = visible(text, keep="\n\t")
        click.echo(text, nl=False, err=True, color=True)  # color: click removes nothing
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _print(answer: Answer, *, json: bool) -> None:
    stdout = cast("TextIO | None", sys.stdout)  # None if the descriptor is closed
    terminal = stdout is not None and stdout.isatty()
    try:
        if terminal and not json:
            _show(answer.shown)
            return
        text = answer.json
        if terminal and text:
            text = visible_json(text.rstrip("\n") + "\n")
        # JSON is UTF-8, whatever the locale is.
        click.echo(text.encode(), nl=False)
    except OSError:
        # Python would try to write it again at its exit, and print an error of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _show(shown: Shown) -> None:
    if isinstance(shown, str):
        click.echo(visible(shown, keep="\n"))
        return
    # This import takes a third of the command's start time, and scripts do not need it.
    from .render import show

    show(shown)

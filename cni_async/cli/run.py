"""Run a command: its event loop, the signals that end it, and what becomes of its outcome."""

import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TextIO, TypeAlias, cast

import anyio
import anyio.abc
import click
import msgspec

from cni_async import CNIError, NetworkAttachment, Result, ValidationError


class Added(msgspec.Struct, frozen=True):
    """What an ADD gave."""

    network: str
    result: Result


Shown: TypeAlias = str | Added | list[NetworkAttachment]


class Answer(msgspec.Struct, frozen=True):
    """What a command prints.

    Attributes:
        json: for programs; may be nothing.
        shown: for people.
    """

    json: str
    shown: Shown


class PluginStderr:
    """Collects what plugins write to stderr, so that our own line can go before it."""

    def __init__(self) -> None:
        self.data: bytearray = bytearray()

    def write(self, data: bytes) -> None:
        """Take what one plugin wrote."""
        self.data += data


class Stopped(Exception):
    """A signal has ended the command's work."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def run(
    work: Callable[[], Awaitable[Answer]], stderr: PluginStderr, backend: str, *, json: bool
) -> None:
    """Do a command's work and print its answer; if that fails, say why and exit.

    Args:
        work: gives the answer.
        stderr: what plugins write meanwhile.
        backend: the event loop to run on.
        json: print JSON in any case.
    """
    try:
        answer = anyio.run(_unless_stopped, work, backend=backend)
        click.echo(bytes(stderr.data), nl=False, err=True)
        _print(answer, json=json)
    except Stopped as stopped:
        _exit(f"interrupted ({stopped.number.name})", stderr, 128 + stopped.number)
    except KeyboardInterrupt:  # in the moments before and after the work
        _exit("interrupted (SIGINT)", stderr, 128 + signal.SIGINT)
    except ValidationError as error:
        _exit("\n".join(map(str, error.errors)), stderr, 1)
    except CNIError as error:
        notes: list[str] = getattr(error, "__notes__", [])
        _exit("\n".join([str(error), *notes]), stderr, 1)
    except OSError as error:
        if error.errno == errno.EPIPE:
            sys.exit(1)  # whoever read the answer has had enough of it
        reason = error.strerror or str(error)
        _exit(f"{error.filename}: {reason}" if error.filename else reason, stderr, 1)


def _exit(text: str, stderr: PluginStderr, code: int) -> NoReturn:
    """Print the reason as cnitool does, then what plugins wrote, indented."""
    click.echo(text, err=True)
    for line in stderr.data.decode("utf-8", "replace").splitlines():
        click.echo(f"  {line}", err=True)
    sys.exit(code)


async def _unless_stopped(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do the work; a signal cancels it, so that the plugin it runs is ended before us."""
    scope = anyio.CancelScope()
    stopped: list[signal.Signals] = []
    # nohup and shells without job control have us ignore these two; that is to stay so.
    ours = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, *ours) as signals:
            task_status.started()
            # To the end: one more signal must not cut the ending of a plugin short.
            async for number in signals:
                stopped.append(number)
                scope.cancel()

    outcome: Answer | Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(watch)
        with scope:
            try:
                outcome = await work()
            except Exception as error:
                outcome = error  # kept, as the group would wrap it
        group.cancel_scope.cancel()
    if outcome is None:
        raise Stopped(stopped[0])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _print(answer: Answer, *, json: bool) -> None:
    stdout = cast("TextIO | None", sys.stdout)  # None if the descriptor is closed
    terminal = stdout is not None and stdout.isatty()
    try:
        if terminal and not json:
            _show(answer.shown)
            return
        text = answer.json
        if terminal and text:
            text = text.rstrip("\n") + "\n"
        # JSON is UTF-8, whatever the locale is.
        click.echo(text.encode(), nl=False)
    except OSError:
        # Python would try once more on its way out, and complain in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _show(shown: Shown) -> None:
    if isinstance(shown, str):
        click.echo(shown)
        return
    # A third of the time that the command takes to start, which scripts need not spend.
    from .render import show

    show(shown)

"""Waiting for what other processes and threads do, reading what they write, and measuring.

They run when the machine lets them: nothing is true after a fixed time, a file may be read in the
middle of being written, and a program that a busy machine does not run takes longer.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Final, TypeVar

import anyio

T = TypeVar("T")

# Seconds after which something does not happen any more. Only what is broken takes them.
PATIENCE: Final = 30.0
# Time limits, in seconds, to hit a plugin that has begun its work. A busy machine may take longer
# than the first one to start it, and then the next is tried.
LIMITS: Final = (0.5, 3.0, 15.0)
# Seconds that an idle machine may add to what takes a time, and that a busy one may.
SLACK: Final = 1.0
BUSY_SLACK: Final = 15.0


async def eventually(
    look: Callable[[], T],
    until: Callable[[T], object] = bool,
    *,
    within: float = PATIENCE,
    every: float = 0.005,
) -> T:
    """Call `look` until `until` accepts its value, and return that value.

    Args:
        look: the function to call; it blocks the event loop.
        until: returns whether a value is accepted; by default any true value is.
        within: seconds until it gives up.
        every: seconds between two looks.

    Raises:
        AssertionError: no value was accepted in time; the message has the last one.
    """
    deadline = monotonic() + within
    while not until(seen := look()):
        _see_to(deadline, within, seen)
        await anyio.sleep(every)
    return seen


def eventually_blocking(
    look: Callable[[], T], until: Callable[[T], object] = bool, *, within: float = PATIENCE
) -> T:
    """Do the same without an event loop, or while it must stand still."""
    deadline = monotonic() + within
    while not until(seen := look()):
        _see_to(deadline, within, seen)
        sleep(0.005)
    return seen


def _see_to(deadline: float, within: float, seen: object) -> None:
    assert monotonic() < deadline, f"not in {within:g} s; last seen: {seen!r}"


# -- files


def note(path: Path, value: str = "$$") -> str:
    """Return a shell command that adds a line to a file, for `lines` to read.

    The shell opens the file to append and writes the line with one system call, so that several
    writers neither cut nor mix each other's lines.

    Args:
        path: of the file.
        value: what the shell puts between double quotes; its process ID by default.
    """
    return f'echo "{value}" >>{shlex.quote(str(path))}'


def lines(path: Path) -> list[str]:
    """Return the whole lines that a file has so far: none if it is not there.

    Text after the last end of a line may be incomplete, and is left out.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data.decode().split("\n")[:-1]


# -- time


class Stopwatch:
    """Measures, from its making on, against bounds that a busy machine does not break.

    A bound that has to hold on an idle machine is widened by the time in which something on this
    machine waited for a processor or the disk, up to `BUSY_SLACK`.
    """

    def __init__(self) -> None:
        self._began = monotonic()
        self._stalled = _stalled()
        self._stopped: tuple[float, float | None] | None = None

    def stop(self) -> None:
        """Let what comes from here on not count."""
        self._stopped = monotonic(), _stalled()

    @property
    def seconds(self) -> float:
        """The time that it has measured."""
        now, _ = self._stopped or (monotonic(), None)
        return now - self._began

    def within(self, bound: float) -> bool:
        """Return whether the time is within a bound, plus what a busy machine may add."""
        _, stalled = self._stopped or (0.0, _stalled())
        before = self._stalled
        busy = BUSY_SLACK if stalled is None or before is None else stalled - before
        return self.seconds < bound + SLACK + min(busy, BUSY_SLACK)


def processor_seconds(call: Callable[[], object]) -> float:
    """Return the time of a processor that a call takes: the least of three.

    A processor that another program or another virtual machine shares does less in a second, and
    machines differ: compare with another call, or leave much room.
    """
    took: list[float] = []
    for _ in range(3):
        before = process_time()
        call()
        took.append(process_time() - before)
    return min(took)


def _stalled() -> float | None:
    """Return the seconds, since boot, in which something waited for the machine.

    That is for a processor or the disk, and for a processor of the host's where this machine is
    virtual. `None` where the kernel does not report it.
    """
    stalled = 0.0
    try:
        for kind in ("cpu", "io"):
            some = Path(f"/proc/pressure/{kind}").read_text().splitlines()[0]
            stalled += int(some.rpartition("=")[2]) / 1e6
        cpu = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    return stalled + int(cpu[8]) / os.sysconf("SC_CLK_TCK")

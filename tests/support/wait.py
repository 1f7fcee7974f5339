"""Wait for other processes and threads, read their files, and measure time.

The machine decides when they run. So nothing is certain after a fixed time, a file that is read may
be half written, and on a busy machine a program takes longer.
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

# Seconds after which a test gives up. Only broken code takes that long.
PATIENCE: Final = 30.0
# Time limits, in seconds, that have to hit a plugin after it has begun its work. A busy machine may
# not start the plugin within the first one; the test then tries the next.
LIMITS: Final = (0.5, 3.0, 15.0)
# Seconds that an idle machine may add to a duration, and that a busy one may add at most.
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
        until: returns whether a value is accepted; by default every true value is.
        within: seconds until the test gives up.
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
    """Do the same as `eventually` without an event loop, or while the loop is blocked."""
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
        path: the file.
        value: the line, between double quotes; by default the shell's process ID.
    """
    return f'echo "{value}" >>{shlex.quote(str(path))}'


def lines(path: Path) -> list[str]:
    """Return the whole lines that a file has so far; none if it does not exist.

    The text after the last newline may be incomplete, and does not count.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data.decode().split("\n")[:-1]


# -- time


class Stopwatch:
    """Measures time since its creation against bounds that hold on a busy machine, too.

    A bound is one for an idle machine. It is extended by the time in which tasks on this machine
    waited for a processor or the disk, up to `BUSY_SLACK`.
    """

    def __init__(self) -> None:
        self._began = monotonic()
        self._stalled = _stalled()
        self._stopped: tuple[float, float | None] | None = None

    def stop(self) -> None:
        """Stop the measurement."""
        self._stopped = monotonic(), _stalled()

    @property
    def seconds(self) -> float:
        """The measured time, in seconds."""
        now, _ = self._stopped or (monotonic(), None)
        return now - self._began

    def within(self, bound: float) -> bool:
        """Return whether the time is within a bound in seconds, extended on a busy machine."""
        _, stalled = self._stopped or (0.0, _stalled())
        before = self._stalled
        busy = BUSY_SLACK if stalled is None or before is None else stalled - before
        return self.seconds < bound + SLACK + min(busy, BUSY_SLACK)


def processor_seconds(call: Callable[[], object]) -> float:
    """Make a call three times, and return the least processor time of one, in seconds.

    A processor does less in a second if another program or virtual machine shares it, and machines
    differ. So compare the time with that of another call, or with a generous bound.
    """
    took: list[float] = []
    for _ in range(3):
        before = process_time()
        call()
        took.append(process_time() - before)
    return min(took)


def _stalled() -> float | None:
    """Return the seconds since boot in which tasks waited for a processor or the disk.

    On a virtual machine that includes waits for a processor of the host. Return `None` if the
    kernel does not report the time.
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

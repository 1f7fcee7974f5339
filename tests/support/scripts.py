"""Plugins of a few lines, for behaviour that the recording plugin does not have."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import textwrap
from pathlib import Path

from cni_async.invoke import Spawn, process

from .wait import PATIENCE, eventually, eventually_blocking, lines, note


class Scripts:
    """A directory of executables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sh(self, body: str, name: str = "plugin") -> str:
        """Write a shell script, and return its path."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(body)}\n")
        path.chmod(0o755)
        return str(path)

    def python(self, body: str, name: str = "plugin") -> str:
        """Write a script for this Python without site-packages, and return its path."""
        source = self.folder / f"{name}.py"
        source.write_text(textwrap.dedent(body))
        # The kernel accepts neither long paths nor spaces in a script's first line.
        return self.sh(shlex.join(["exec", sys.executable, "-IS", str(source)]), name)

    def note(self, name: str, value: str = "$$") -> str:
        """Return a shell command that adds a line to a file in this directory.

        Args:
            name: the file's name.
            value: the line, between double quotes; by default the shell's process ID.
        """
        return note(self.folder / name, value)

    def read(self, name: str) -> str:
        """Return the content of a file that a script wrote before it ended."""
        return (self.folder / name).read_text()

    def lines(self, name: str) -> list[str]:
        """Return the whole lines that scripts have written to a file so far."""
        return lines(self.folder / name)

    def number(self, name: str) -> int:
        """Wait until a script has written a number to a file, and return the last one.

        Most of these numbers are process IDs. The wait blocks the event loop.
        """
        return int(eventually_blocking(lambda: self.lines(name))[-1])

    async def numbers(self, name: str, count: int = 1) -> list[int]:
        """Wait until scripts have written at least so many numbers to a file, and return all."""
        found = await eventually(lambda: self.lines(name), lambda found: len(found) >= count)
        return [int(line) for line in found]


def open_fds() -> set[int]:
    """Return the open file descriptors of this process."""
    fds = {int(fd) for fd in os.listdir("/proc/self/fd")}
    return {fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")}


def wait_for_fds(count: int, timeout: float = PATIENCE) -> bool:
    """Wait until exactly so many descriptors are open: an abandoned thread may still have some.

    Raises:
        AssertionError: the number is another one in the end. So the result is never False.
    """
    eventually_blocking(lambda: len(open_fds()), lambda number: number == count, within=timeout)
    return True


def has_children() -> bool:
    """Return whether this process has children, zombies included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> set[int]:
    """Return the children of this process, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state_and_parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(state_and_parent[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def skip_on(loop: str, reason: str, spawn: Spawn | None = None) -> None:
    """Skip a test on an event loop that cannot do what the test needs.

    Args:
        loop: "asyncio", "uvloop" or "trio".
        reason: the reason in the test's report.
        spawn: skip only with this way to start plugins; by default with each.
    """
    try:
        running = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    except RuntimeError:
        running = "trio"
    if running == loop and spawn in {None, process._usual_spawn()}:
        import pytest  # here, because programs without pytest import this module, too

        pytest.skip(reason)

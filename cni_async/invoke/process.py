"""Run one process to its end, or end it: the only module that starts and stops children.

What it promises, whatever the child does:

- nothing outlives a cancelled or timed out call: SIGTERM to the child's whole process group, a
  grace period, SIGKILL to the group, and the child is reaped;
- nothing waits for ever: a child that even SIGKILL does not end (uninterruptible sleep) is given
  up after `_KILL_WAIT` seconds, and whoever called is told;
- no child is lost: it is started in one go, so no cancellation can come in between.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from .pipes import OutputLimit, Pipes

_log = logging.getLogger(__name__)

# How often a child that has not exited yet is looked after: first soon, then ever less often,
# and at once again while data moves (see pipes.py: nearly no child needs it at all).
_FIRST_TICK: Final = 0.01
_LAST_TICK: Final = 0.1
_BUSY_TICK: Final = 0.001
# How often a process group is asked whether anybody is left in it.
_GROUP_TICK: Final = 0.01
# SIGKILL takes effect in far less, unless the child sleeps uninterruptibly in the kernel.
_KILL_WAIT: Final = 0.5
# Exit code 255, as asyncio has it.
_UNKNOWN_STATUS: Final = 255 << 8
# How often task.cancel() may disturb the wait for that.
_KILLS: Final = 5


class Outcome(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        returncode: its exit code, or the signal's number negated.
        stdout, stderr: what it printed until it exited.
        timed_out: it was ended because its time was up.
        flooded: it was ended because it printed too much.
        survived: not even SIGKILL ended it in time; `returncode` is meaningless then.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    flooded: bool = False
    survived: bool = False


async def run_process(
    path: str,
    stdin_data: bytes,
    environ: Mapping[str, str] | None,
    *,
    timeout: float | None,
    grace: float,
    max_output: int,
) -> Outcome:
    """Run an executable, without arguments and without a shell, to its end.

    Args:
        path: the executable.
        stdin_data: what it finds on stdin.
        environ: its environment; None for this process's own.
        timeout: seconds after which it is ended.
        grace: seconds between SIGTERM and SIGKILL.
        max_output: bytes it may print on stdout, and on stderr, before it is ended.

    Raises:
        OSError, ValueError: it could not be started.
    """
    # Not only if cancelled: asyncio.timeout(0) and the like want to act before anything starts.
    await anyio.lowlevel.checkpoint()
    with (
        closing(Pipes(stdin_data, max_output)) as pipes,
        closing(_Child(path, environ, pipes)) as child,
    ):
        timed_out = flooded = survived = False
        try:
            with anyio.move_on_after(timeout):
                await _look_after(child, pipes)
            if child.has_exited():  # perhaps just in time
                pipes.drain()
            else:
                timed_out = True
        except OutputLimit:
            flooded = True
        except BaseException:
            await _terminate(child, pipes, grace)
            raise
        if child.returncode is None:
            survived = not await _terminate(child, pipes, grace)
        return Outcome(
            child.returncode or 0,
            pipes.stdout_data,
            pipes.stderr_data,
            timed_out,
            flooded,
            survived,
        )


class _Child:
    """A child in a session of its own, which makes it a process group, without a terminal.

    `anyio.open_process` would do, were it not for two backends. A child of uvloop inherits file
    descriptors, goes to /bin/sh if the kernel cannot execute it, has its environment cut off at a
    NUL, and leaks descriptors when there are too few. Trio uses a thread from a pool that may be
    used up, which holds up the start, and with it a cancellation. `Popen` blocks until the
    executable is loaded, as it does under asyncio.

    Attributes:
        pid: its process ID, and its group's.
        returncode: its exit code, or the signal's number negated; None until it is reaped.
    """

    def __init__(self, path: str, environ: Mapping[str, str] | None, pipes: Pipes) -> None:
        self._popen = subprocess.Popen(
            [path],
            stdin=pipes.stdin,
            stdout=pipes.stdout,
            stderr=pipes.stderr,
            env=environ,
            start_new_session=True,
        )
        pipes.close_child_ends()
        self.pid = self._popen.pid
        self.returncode: int | None = None
        self._pidfd: int | None = None
        # Old kernels and some sandboxes do not have it: then a look at every tick has to do.
        with suppress(AttributeError, OSError):
            self._pidfd = os.pidfd_open(self.pid)

    def close(self) -> None:
        """Close what stands for the child here."""
        if self._pidfd is not None:
            os.close(self._pidfd)

    def has_exited(self) -> bool:
        """Tell whether it has exited, and reap it if so."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Popen would say that all went well; nobody knows, so it is a failure, as in Go.
                _log.warning("process %d was reaped by others; is SIGCHLD ignored?", self.pid)
                pid, status = self.pid, _UNKNOWN_STATUS
            if pid:
                self.returncode = self._popen.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode is not None

    async def exits_within(self, seconds: float) -> bool:
        """Wait for it to exit, and reap it; tell whether it has."""
        with anyio.move_on_after(seconds):
            if self._pidfd is None:
                await anyio.sleep_forever()
            else:
                await anyio.wait_readable(self._pidfd)
        return self.has_exited()


async def _look_after(child: _Child, pipes: Pipes) -> None:
    """Wait for the child to exit while it may want its pipes filled and emptied."""
    tick = _FIRST_TICK
    while not await child.exits_within(tick):
        tick = _BUSY_TICK if pipes.pump() else min(max(2 * tick, _FIRST_TICK), _LAST_TICK)


async def _terminate(child: _Child, pipes: Pipes, grace: float) -> bool:
    """End the child and its whole process group; tell whether it is gone.

    Takes at most `grace` seconds and `_KILL_WAIT`. On asyncio a further task.cancel() gets
    through the shield; it costs the group its grace, not us our knowledge that it is gone.
    """

    async def gone() -> None:
        tick = _GROUP_TICK
        while child.returncode is None or await _group_lives(child.pid):
            await (child.exits_within(tick) if child.returncode is None else anyio.sleep(tick))
            tick = min(2 * tick, _LAST_TICK)
            # What it says while it goes does not matter, but it must not block on saying it.
            with suppress(OutputLimit):
                pipes.pump()

    interruption: BaseException | None = None
    kills = ((signal.SIGKILL, _KILL_WAIT),) * _KILLS
    for number, patience in ((signal.SIGTERM, grace), *kills):
        _signal_group(child.pid, number)
        # A stopped process sees SIGTERM only when it goes on.
        _signal_group(child.pid, signal.SIGCONT)
        try:
            with anyio.move_on_after(patience, shield=True) as waiting:
                await gone()
            if number == signal.SIGKILL or not waiting.cancelled_caught:
                break
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption
    if child.returncode is None:
        _log.warning("process %d survives SIGKILL, in uninterruptible sleep?", child.pid)
    return child.returncode is not None


async def _group_lives(group: int) -> bool:
    """Tell whether anybody but zombies is in a process group."""
    # A group exists as long as a member does, so its number cannot be anybody else's by now.
    if not _signal_group(group, 0):
        return False
    # Orphans are reaped by init, and many a container's init is slow at it or never does it.
    return await anyio.to_thread.run_sync(
        _has_living_member,
        group,
        abandon_on_cancel=True,
        limiter=anyio.CapacityLimiter(1),  # the default one may be taken by who knows what
    )


def _has_living_member(group: int) -> bool:
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True  # no /proc: take the kernel's word for the group
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        # "pid (comm) state ppid pgrp …"; comm may hold anything, parentheses too.
        state, _, pgrp = stat[stat.rindex(b")") + 2 :].split(maxsplit=3)[:3]
        if int(pgrp) == group and state not in {b"Z", b"X"}:
            return True
    return False


def _signal_group(group: int, number: int) -> bool:
    """Signal a process group; tell whether there is anybody in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody is there who took another user's rights.
        return True
    return True

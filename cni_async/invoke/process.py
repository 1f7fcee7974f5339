"""Run one process until it exits, or end it; `start_anyio` and `start_posix` start it.

This module promises, whatever the child does:

- nothing outlives a cancelled or timed out call: SIGTERM to the child's whole process group, a
  grace period, SIGKILL to the group, and the child is reaped;
- nothing waits for ever: a child that even SIGKILL does not end (uninterruptible sleep) is given
  up after `_KILL_WAIT` seconds, and the outcome says so;
- no child is lost: a cancellation during the start takes effect after it.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio
import anyio.lowlevel
import msgspec

from cni_async._async import pacing
from cni_async._async.shielded import on_uvloop
from cni_async._async.threads import in_thread

from . import start_anyio, start_posix
from .child import Child, reap_left
from .pipes import OutputExceededError, Pipes
from .start import Spawn, Start, Started

_log = logging.getLogger(__name__)

# Seconds between two looks at the members of a process group: short at first, then longer.
_FIRST_TICK: Final = 0.01
_LAST_TICK: Final = 0.1
# Seconds. SIGKILL takes effect in far less, unless the child is in uninterruptible sleep.
_KILL_WAIT: Final = 0.5
# How often SIGKILL is sent, and waited for anew, if task.cancel() interrupts the wait.
_KILLS: Final = 5
_TOO_MUCH_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Outcome(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        returncode: the exit code, or the negated signal number.
        stdout, stderr: what the process printed until it exited.
        timed_out: the process was ended because its time was up.
        flooded: the process was ended because it printed too much.
        survived: not even SIGKILL ended the process in time; `returncode` is meaningless then.
        lost: the exit status is unknown; `returncode` is meaningless then.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    flooded: bool = False
    survived: bool = False
    lost: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the process exited by itself, with 0."""
        return not (self.returncode or self.timed_out or self.flooded or self.survived or self.lost)


class UntrackedError(OSError):
    """A process was started, could not be watched, and so was ended."""


class _StartSlot:
    """The permission to start one process in a turn of the event loop."""

    def __init__(self, starts: anyio.Semaphore) -> None:
        self._starts = starts
        self._is_ours = False

    async def begin(self) -> None:
        await pacing.acquire(self._starts)
        self._is_ours = True

    def end(self) -> None:
        """Let the next start begin, unless an earlier call did."""
        if self._is_ours:
            self._is_ours = False
            self._starts.release()


async def run_process(
    path: str,
    stdin_data: bytes,
    environ: Mapping[str, str] | None,
    *,
    timeout: float | None,
    grace: float,
    max_output: int,
    limiter: anyio.CapacityLimiter | None = None,
    spawn: Spawn | None = None,
) -> Outcome:
    """Run an executable, without arguments and without a shell, until it exits.

    Args:
        path: the executable.
        stdin_data: the bytes that the process reads on stdin.
        environ: the process's environment; `None` means this process's own.
        timeout: seconds after which the process is ended; `None` means no limit.
        grace: seconds between SIGTERM and SIGKILL.
        max_output: bytes that the process may print on each of stdout and stderr.
        limiter: limits the processes that run at once, by default the event loop's usual one;
            the timeout does not include the wait for it.
        spawn: the way to start the process; by default the event loop's usual one.

    Raises:
        OSError, ValueError: the process could not be started.
        UntrackedError: the process was started, but could not be watched.
    """
    throttles = pacing.of_loop()
    # Both branches are checkpoints: asyncio.timeout(0) has to cancel before anything starts.
    if limiter is None:
        await anyio.lowlevel.checkpoint()
        await pacing.acquire(throttles.plugins)
    else:
        await limiter.acquire()
    try:
        # Before the pipes are opened: that takes a part of the turn, too.
        slot = _StartSlot(throttles.starts)
        await slot.begin()
        try:
            reap_left()
            start = _way(spawn)
            return await _run(start, path, stdin_data, environ, timeout, grace, max_output, slot)
        finally:
            slot.end()
    finally:
        (limiter or throttles.plugins).release()


async def _run(
    start: Start,
    path: str,
    stdin_data: bytes,
    environ: Mapping[str, str] | None,
    timeout: float | None,
    grace: float,
    max_output: int,
    slot: _StartSlot,
) -> Outcome:
    pipes = Pipes(stdin_data, max_output)
    children: list[Child] = []

    def started(process: Started) -> None:
        if not children:
            children.append(Child(process))
            pipes.close_child_ends()
            # At once: if something else reaps the child, another process may get its number.
            children[0].pidfd = pipes.watch(process.pid)

    try:
        try:
            # The child is in a session of its own: it has a process group, and no terminal.
            await start(path, environ, pipes, started=started, begun=slot.end)
        except BaseException:
            for child in children:
                await _terminate(child, pipes, grace)
            raise
        for child in children:
            return await _outcome(child, pipes, timeout, grace)
        return _lost(pipes)
    finally:
        for child in children:
            child.close()
        pipes.close()


def _lost(pipes: Pipes) -> Outcome:
    """Return the outcome of a child that something else reaped before it could be watched."""
    flooded = False
    try:
        pipes.drain()
    except OutputExceededError:
        flooded = True
    return Outcome(0, pipes.stdout_data, pipes.stderr_data, flooded=flooded, lost=True)


async def _outcome(process: Child, pipes: Pipes, timeout: float | None, grace: float) -> Outcome:
    """Wait until the child has exited, or end it, and return the outcome."""
    timed_out = flooded = survived = False
    try:
        if timeout is None:
            await _look_after(process, pipes)
        else:
            with anyio.move_on_after(timeout):
                await _look_after(process, pipes)
            timed_out = not _has_exited(process)
            if not timed_out:  # the child may have exited just in time
                await process.wait()
        if not timed_out:
            pipes.drain()
    except OutputExceededError:
        flooded = True
    except OSError as error:
        await _terminate(process, pipes, grace)
        raise UntrackedError(*error.args) from error
    except BaseException:
        await _terminate(process, pipes, grace)
        raise
    if process.returncode is None:
        survived = not await _terminate(process, pipes, grace)
    return Outcome(
        process.returncode or 0,
        pipes.stdout_data,
        pipes.stderr_data,
        timed_out,
        flooded,
        survived,
        process.lost or (process.returncode is None and not survived),
    )


def _way(spawn: Spawn | None) -> Start:
    """Return the way to start a child; "posix" needs pidfds."""
    if (spawn or _usual_spawn()) == "posix" and start_posix.is_available():
        return start_posix.start
    return start_anyio.start


def _usual_spawn() -> Spawn:
    # uvloop copies this process's memory map for each start, starts one process at a time, and runs
    # a shell on what the kernel cannot execute.
    return "posix" if on_uvloop() else "anyio"


async def _look_after(process: Child, pipes: Pipes) -> None:
    """Write and read the child's pipes until the child has exited."""
    # If something else has already reaped the child, the pidfd may be another process's.
    if not _has_exited(process):
        while not await pipes.wait():
            # Without epoll or pidfd, only polling shows the exit.
            if not pipes.notices_exit and _has_exited(process):
                break
    # The event loop, or its watcher's thread, may be about to reap the child.
    await process.wait()


def _has_exited(process: Child) -> bool:
    return process.returncode is not None or process.is_over


async def _terminate(process: Child, pipes: Pipes, grace: float) -> bool:
    """End the child and its whole process group; return whether the child has exited.

    Takes at most `grace` seconds and `_KILL_WAIT`. On asyncio a further task.cancel() gets
    through the shield; it cuts the grace short, but the group is still waited for.
    """
    if pipes.is_abandoned:  # in a forked process: the plugin is the parent's child
        return True

    async def gone() -> None:
        # The last output does not matter, but the child must not block on writing it.
        while process.returncode is None:
            with suppress(OutputExceededError):
                if await pipes.wait():
                    await process.wait()
        tick = _FIRST_TICK
        while await _group_lives(process.pid):
            with suppress(OutputExceededError):
                pipes.pump()
            await anyio.sleep(tick)
            tick = min(2 * tick, _LAST_TICK)

    interruption: BaseException | None = None
    kills = ((signal.SIGKILL, _KILL_WAIT),) * _KILLS
    for number, patience in ((signal.SIGTERM, grace), *kills):
        _signal_group(process.pid, number)
        # A stopped process handles SIGTERM only when it continues.
        _signal_group(process.pid, signal.SIGCONT)
        try:
            with anyio.move_on_after(patience, shield=True) as waiting:
                await gone()
            if number == signal.SIGKILL or not waiting.cancelled_caught:
                break
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption
    if process.returncode is None and not process.is_over:
        _log.warning("process %d survives SIGKILL, in uninterruptible sleep?", process.pid)
    return process.is_over


async def _group_lives(group: int) -> bool:
    """Return whether a process group has members that are not zombies."""
    # A group keeps its number while it has a member, so the number is not another group's yet.
    if not _signal_group(group, 0):
        return False
    # init reaps orphans, but in many containers it does so late or never.
    try:
        return await in_thread(
            _has_living_member,
            group,
            limiter=anyio.CapacityLimiter(1),  # the application may fill the default one
        )
    except OSError:
        return _has_living_member(group)  # no thread can start; the look is short


def _has_living_member(group: int) -> bool:
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True  # no /proc: killpg() has found a member
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError as error:
            if error.errno in _TOO_MUCH_OPEN:
                return True  # this process may be a living member
            continue
        # "pid (comm) state ppid pgrp …"; comm may hold anything, parentheses too.
        state, _, pgrp = stat[stat.rindex(b")") + 2 :].split(maxsplit=3)[:3]
        if int(pgrp) == group and state not in {b"Z", b"X"}:
            return True
    return False


def _signal_group(group: int, number: int) -> bool:
    """Signal a process group; return whether it has a member."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The group has a member, which runs as another user.
        return True
    return True

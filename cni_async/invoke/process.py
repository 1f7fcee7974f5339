"""Run one process until it exits, or end it; `start_anyio` and `start_posix` start it.

It promises, whatever the child does:

- nothing outlives a cancelled or timed out call: SIGTERM to the child's whole process group, a
  grace period, SIGKILL to the group, and the child is reaped;
- nothing waits for ever: a child that even SIGKILL does not end (uninterruptible sleep) is given
  up after `_KILL_WAIT` seconds, and the outcome says so;
- no child is lost: a cancellation in the middle of the start is acted upon after it.
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
# SIGKILL takes effect in far less, unless the child sleeps uninterruptibly in the kernel.
_KILL_WAIT: Final = 0.5
# How often task.cancel() may disturb the wait for that.
_KILLS: Final = 5
_TOO_MUCH_OPEN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Outcome(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        returncode: its exit code, or the signal's number negated.
        stdout, stderr: what it printed until it exited.
        timed_out: it was ended because its time was up.
        flooded: it was ended because it printed too much.
        survived: not even SIGKILL ended it in time; `returncode` is meaningless then.
        lost: its exit status is unknown; `returncode` is meaningless then.
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
        """Whether it exited with 0, by itself."""
        return not (self.returncode or self.timed_out or self.flooded or self.survived or self.lost)


class UntrackedError(OSError):
    """A process was started, and ended again because it could not be looked after."""


class _StartSlot:
    """A start's place in a turn of the event loop."""

    def __init__(self, starts: anyio.Semaphore) -> None:
        self._starts = starts
        self._is_ours = False

    async def begin(self) -> None:
        await pacing.acquire(self._starts)
        self._is_ours = True

    def end(self) -> None:
        """Let the next start begin, if that has not happened yet."""
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
    """Run an executable, without arguments and without a shell, to its end.

    Args:
        path: the executable.
        stdin_data: what it finds on stdin.
        environ: its environment; None for this process's own.
        timeout: seconds after which it is ended.
        grace: seconds between SIGTERM and SIGKILL.
        max_output: bytes it may print on stdout, and on stderr, before it is ended.
        limiter: how many may run at once, by default the event loop's usual one; the child's time
            begins when it may.
        spawn: the way to start it; by default the event loop's usual one.

    Raises:
        OSError, ValueError: it could not be started.
        UntrackedError: it was, and could not be looked after.
    """
    throttles = pacing.of_loop()
    # Both are checkpoints: asyncio.timeout(0) and the like want to act before anything starts.
    if limiter is None:
        await anyio.lowlevel.checkpoint()
        await pacing.acquire(throttles.plugins)
    else:
        await limiter.acquire()
    try:
        # Before the pipes are made: that counts in a turn, too.
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
            # At once: after another reaper its number may belong to another process.
            children[0].pidfd = pipes.watch(process.pid)

    try:
        try:
            # In a session of its own: a process group, and without a terminal.
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
    """Return the outcome of a child that another reaper took before anything looked at it."""
    flooded = False
    try:
        pipes.drain()
    except OutputExceededError:
        flooded = True
    return Outcome(0, pipes.stdout_data, pipes.stderr_data, flooded=flooded, lost=True)


async def _outcome(process: Child, pipes: Pipes, timeout: float | None, grace: float) -> Outcome:
    """Wait until the child has exited, or end it."""
    timed_out = flooded = survived = False
    try:
        if timeout is None:
            await _look_after(process, pipes)
        else:
            with anyio.move_on_after(timeout):
                await _look_after(process, pipes)
            timed_out = not _has_exited(process)
            if not timed_out:  # perhaps just in time
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
    """Return a way to start a child; without pidfds there is one only."""
    if (spawn or _usual_spawn()) == "posix" and start_posix.is_available():
        return start_posix.start
    return start_anyio.start


def _usual_spawn() -> Spawn:
    # uvloop copies this process's memory map for each start, one start at a time, and runs a shell
    # for what the kernel refuses.
    return "posix" if on_uvloop() else "anyio"


async def _look_after(process: Child, pipes: Pipes) -> None:
    """Wait for the child to exit, fill and empty its pipes meanwhile."""
    # If something else has reaped the child at once, the pidfd may be another process's.
    if not _has_exited(process):
        while not await pipes.wait():
            # Where its exit cannot be waited for, it is looked for.
            if not pipes.notices_exit and _has_exited(process):
                break
    # The event loop, or its watcher's thread, may be about to reap it.
    await process.wait()


def _has_exited(process: Child) -> bool:
    return process.returncode is not None or process.is_over


async def _terminate(process: Child, pipes: Pipes, grace: float) -> bool:
    """End the child and its whole process group; return whether it is gone.

    Takes at most `grace` seconds and `_KILL_WAIT`. On asyncio a further task.cancel() gets
    through the shield; it costs the group its grace, not us our knowledge that it is gone.
    """
    if pipes.is_abandoned:  # a forked child comes to its end, and the plugin is its parent's
        return True

    async def gone() -> None:
        # Its last output does not matter, but it must not block on writing it.
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
        # A stopped process sees SIGTERM only when it goes on.
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
    # A group exists as long as a member does, so its number cannot be another group's by now.
    if not _signal_group(group, 0):
        return False
    # Orphans are reaped by init, and many a container's init is slow at it or never does it.
    try:
        return await in_thread(
            _has_living_member,
            group,
            limiter=anyio.CapacityLimiter(1),  # the application may have used up the default one
        )
    except OSError:
        return _has_living_member(group)  # it is not long, and ours have to go


def _has_living_member(group: int) -> bool:
    try:
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True  # no /proc: take the kernel's word for the group
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError as error:
            if error.errno in _TOO_MUCH_OPEN:
                return True  # it cannot be looked at
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
        # Somebody is there who took another user's rights.
        return True
    return True

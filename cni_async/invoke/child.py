"""How a child ended, as the kernel and not only the event loop reports it.

The event loop reaps the children that it started, and `Child` reaps the others. Something else may
reap them first: a PID 1 that reaps all children, a thread in waitpid(-1), or the kernel itself
where SIGCHLD is ignored. Then `subprocess`, and so trio, reports exit code 0, asyncio reports 255,
and uvloop reports nothing. So `Child` asks the kernel, if possible before the child is reaped.
Afterwards it asks through the pidfd, which keeps the status since Linux 6.15.
"""

import errno
import fcntl
import os
import struct
import time
from collections import deque
from contextlib import suppress
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel

from .start import Started

# include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, struct pidfd_info) in its first version, of 64 bytes.
_PIDFD_GET_INFO: Final = 0xC040FF0B
_PIDFD_INFO_EXIT: Final = 1 << 3
_INFO_SIZE: Final = 64
_EXIT_STATUS_OFFSET: Final = 60
_NO_RETURNCODE: Final = 255  # of a child whose status is lost
# Seconds. The event loop reaps a child, and reports it, in far less. Shorter than the time that
# SIGKILL gets (`process._KILL_WAIT`).
_REAP_WAIT: Final = 0.25
# Seconds, where only the event loop can know how the child ended.
_WORD_WAIT: Final = 2.0
# `Child.wait` looks once in each of these turns of the event loop, then at intervals of seconds.
_TURNS: Final = 20
_FIRST_TICK: Final = 0.001
_LAST_TICK: Final = 0.01


class Child:
    """A child process and how it ended.

    Attributes:
        pid: its process ID.
        pidfd: refers to the child, if the kernel has pidfds; `Pipes` closes it.
        lost: the child has exited with an unknown status; `returncode` is meaningless then.
    """

    def __init__(self, process: Started) -> None:
        """Take charge of a child that has just been started.

        Args:
            process: the event loop's view of it; only `Child` may read its `returncode`.
        """
        self._process = process
        self._told: int | None = None
        self._gone = False
        self._over_since: float | None = None
        self._returncode: int | None = None
        self._parent = os.getpid()
        self.pid: int = process.pid
        self.pidfd: int | None = None
        self.lost: bool = False

    @property
    def is_over(self) -> bool:
        """Whether the child is known to have exited; it may not be reaped yet."""
        return self._over_since is not None

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negated signal number; `None` until the child is reaped."""
        if self._returncode is None:
            self._look()
        return self._returncode

    async def wait(self) -> None:
        """Wait until a child that has exited is reaped; the time is bounded."""
        # The event loop nearly always knows within its next turns.
        turns = _TURNS
        tick = _FIRST_TICK
        while self.returncode is None:
            if turns:
                turns -= 1
                await anyio.lowlevel.checkpoint()
            else:
                await anyio.sleep(tick)
                tick = min(2 * tick, _LAST_TICK)

    def close(self) -> None:
        """Give up the child; `reap_left` reaps it later if the event loop does not know it."""
        self._process.close()
        if self._returncode is not None or self._gone or self._may_report():
            return
        if os.getpid() != self._parent:
            return  # in a forked process: the plugin is the parent's child
        pidfd = None
        if self.pidfd is not None:
            with suppress(OSError):  # too few descriptors
                pidfd = os.dup(self.pidfd)
        _LEFT.append(_Left(self.pid, pidfd))

    def _look(self) -> None:
        # The kernel first: the event loop may reap the child when it is asked.
        if self._told is None and not self._gone:
            keep = self._may_report()
            try:
                self._told = _status(self.pid, self.pidfd, keep=keep)
            except ChildProcessError:
                self._gone = True
            else:
                if self._told is None:
                    return
                self._gone = not keep
        if self._over_since is None:
            self._over_since = time.monotonic()
        final = True
        if self._told is None and self.pidfd is not None:
            self._told, final = _recorded(self.pidfd)
        word = self._process.returncode
        waited = time.monotonic() - self._over_since
        if self._told is not None:
            if word is None and self._may_report() and waited < _REAP_WAIT:
                return
            if word is None and not self._gone:
                self._reap()
            self._returncode = self._told
        elif word is not None and self._process.is_trustworthy(word):
            self._returncode = word
        elif (word is None and self._may_report() and waited < _WORD_WAIT) or (
            not final and waited < _REAP_WAIT
        ):
            return
        else:
            self.lost = True
            self._returncode = _NO_RETURNCODE

    def _may_report(self) -> bool:
        """Return whether the event loop may still report that the child has exited."""
        return self._process.may_report(gone=self._gone)

    def _reap(self) -> None:
        # The event loop does not know the child, or the application has replaced the SIGCHLD
        # handler of the event loop.
        with suppress(ChildProcessError):
            _waitid(self.pid, self.pidfd, os.WEXITED | os.WNOHANG)


class _Left(NamedTuple):
    """A given-up child that the event loop does not know."""

    pid: int
    pidfd: int | None


_LEFT: Final = deque[_Left]()


def reap_left() -> None:
    """Reap the given-up children that have exited since."""
    for _ in range(len(_LEFT)):
        try:
            left = _LEFT.popleft()
        except IndexError:  # another thread reaps them, too
            return
        try:
            if _status(*left, keep=False) is None:
                _LEFT.append(left)
                continue
        except ChildProcessError:
            pass  # something else has reaped it
        if left.pidfd is not None:
            os.close(left.pidfd)


def _forget_left() -> None:
    # In a forked process: these are the parent's children.
    while _LEFT:
        pidfd = _LEFT.pop().pidfd
        if pidfd is not None:
            os.close(pidfd)


os.register_at_fork(after_in_child=_forget_left)


def _status(pid: int, pidfd: int | None, *, keep: bool) -> int | None:
    """Return how a child ended, and reap it; return `None` while it runs.

    Args:
        pid: the child's process ID.
        pidfd: refers to the child, if there is one.
        keep: do not reap the child.

    Raises:
        ChildProcessError: the child has been reaped.
    """
    how = os.WEXITED | os.WNOHANG
    found = _waitid(pid, pidfd, how | os.WNOWAIT if keep else how)
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _waitid(pid: int, pidfd: int | None, how: int) -> os.waitid_result | None:
    """Call waitid(), with a pidfd if there is one: the pid may be another child's by now."""
    if pidfd is not None:
        try:
            return os.waitid(os.P_PIDFD, pidfd, how)
        except OSError as error:
            # Linux 5.3 has pidfds, but its waitid() does not take them.
            if error.errno != errno.EINVAL:
                raise
    return os.waitid(os.P_PID, pid, how)


def _recorded(pidfd: int) -> tuple[int | None, bool]:
    """Return how a reaped child ended, `None` if unknown, and whether that is final."""
    request = bytearray(_INFO_SIZE)
    struct.pack_into("Q", request, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
    except OSError:
        return None, True  # Linux before 6.15, or an emulation of Linux
    mask: int = struct.unpack_from("Q", request, 0)[0]
    if not mask & _PIDFD_INFO_EXIT:
        # The kernel reports an exit shortly before it releases the child. Or the pidfd refers to
        # another process, which got the child's number.
        return None, False
    status: int = struct.unpack_from("i", request, _EXIT_STATUS_OFFSET)[0]
    return os.waitstatus_to_exitcode(status), True

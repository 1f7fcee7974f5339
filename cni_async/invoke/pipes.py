"""A child's stdin, stdout and stderr, and waiting for the child to use them or to exit.

A pipe holds 64 KiB, more than nearly every configuration and result. So stdin is written before
the child starts, and no tasks write and read: one epoll reports that the child has printed, read
or exited, and `Pipes.wait` moves the data. The child gets real pipes, not sockets: it can open
/dev/stdout again.
"""

import errno
import fcntl
import os
import select
import struct
import termios
from typing import Final

import anyio

_CHUNK: Final = 64 * 1024
# Seconds between two looks on systems without epoll or pidfds.
_TICK: Final = 0.01


# From pidfd_open(), epoll_create() and epoll_ctl(): the kernel does not have the call, a sandbox
# forbids it, or there are too few descriptors, too little memory or too many watches.
_UNAVAILABLE: Final = frozenset(
    {
        errno.ENOSYS,
        errno.ENODEV,
        errno.EPERM,
        errno.EACCES,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
    }
)


def _pidfd_open(pid: int) -> int:
    return os.pidfd_open(pid)


def _require_unavailable(error: AttributeError | OSError) -> None:
    """Raise RuntimeError unless the error says that the call is unavailable here."""
    if isinstance(error, OSError) and error.errno not in _UNAVAILABLE:
        # Not an OSError, which would mean that the child has not started.
        raise RuntimeError(f"cannot watch a child process: {error}") from error


class OutputExceededError(Exception):
    """The child printed more than it may."""


class Pipes:
    """The parent's and the child's ends of three pipes.

    Attributes:
        stdin, stdout, stderr: the child's ends; call `close_child_ends` once the child has them.
        is_abandoned: this process was forked from the one that owns the pipes and the child.
    """

    stdin: int
    stdout: int
    stderr: int

    def __init__(self, stdin_data: bytes, limit: int) -> None:
        """Open the pipes and write as much of stdin as they hold.

        Args:
            stdin_data: what the child will read.
            limit: bytes that the child may print on stdout, and on stderr.

        Raises:
            OSError: no file descriptors are left.
        """
        self._limit = limit
        self._unwritten = memoryview(stdin_data)
        self._open: set[int] = set()
        self._epoll: select.epoll | None = None
        self._pidfd: int | None = None
        self._stdin_end: int | None
        self._over = False
        self.is_abandoned: bool = False
        _OPEN.add(self)
        try:
            self.stdin, self._stdin_end = self._pipe()
            self._stdout_end, self.stdout = self._pipe()
            self._stderr_end, self.stderr = self._pipe()
        except BaseException:
            self.close()
            raise
        for end in (self._stdin_end, self._stdout_end, self._stderr_end):
            os.set_blocking(end, False)
        self._output: dict[int, bytearray] = {
            self._stdout_end: bytearray(),
            self._stderr_end: bytearray(),
        }
        self._to_read = set(self._output)
        self._write()

    def close_child_ends(self) -> None:
        """Close the child's ends here: only then does a reader see the end of a pipe."""
        for end in (self.stdin, self.stdout, self.stderr):
            self._open.remove(end)
            os.close(end)

    def close(self) -> None:
        """Close everything that is still open."""
        while self._open:
            os.close(self._open.pop())
        if self._epoll is not None:
            self._epoll.close()
        _OPEN.discard(self)

    def abandon(self) -> None:
        """Close everything in a forked process.

        Otherwise the plugin's stdin would not end, and its stdout would not break, while the
        forked process lives.
        """
        self.is_abandoned = True
        self._stdin_end = None
        self.close()

    def watch(self, pid: int) -> int | None:
        """Let `wait` notice at once what the child does, including its exit.

        Where that is impossible (an old kernel, some sandboxes, no file descriptors left), `wait`
        polls.

        Returns:
            a pidfd of the child, which `close` closes; `None` if there is none.

        Raises:
            RuntimeError: a system call failed because of a bug in this module.
        """
        try:
            self._pidfd = _pidfd_open(pid)
        except ProcessLookupError:
            self._over = True  # the child has exited, and something has reaped it
            return None
        except (AttributeError, OSError) as error:
            _require_unavailable(error)
            return None
        self._open.add(self._pidfd)
        try:
            epoll = select.epoll()
        except (AttributeError, OSError) as error:
            _require_unavailable(error)
            return self._pidfd
        try:
            epoll.register(self._pidfd, select.EPOLLIN)
            for end in self._to_read:
                epoll.register(end, select.EPOLLIN)
            if self._stdin_end is not None:
                epoll.register(self._stdin_end, select.EPOLLOUT)
        except OSError as error:
            epoll.close()
            _require_unavailable(error)
        else:
            self._epoll = epoll
        return self._pidfd

    @property
    def notices_exit(self) -> bool:
        """Whether `wait` itself notices that the child has exited."""
        return self._over or self._epoll is not None

    async def wait(self) -> bool:
        """Wait until data was moved or the child has exited; return whether it has exited.

        This has no deadline of its own: before anyio 4.16 an asyncio task.cancel() was lost if it
        coincided with a deadline, and the call was not cancelled.

        Raises:
            OutputExceededError: the child printed too much; that stream is not read any more.
        """
        if self._over:
            return True
        if self._epoll is None:
            self.pump()
            await anyio.sleep(_TICK)
            return False
        await anyio.wait_readable(self._epoll.fileno())
        events = dict(self._epoll.poll(0))
        if self._pidfd in events:
            return True  # `drain` reads the rest
        for end in events:
            if end == self._stdin_end:
                self._write()
            else:
                self._read(end, _CHUNK)
        return False

    def pump(self) -> None:
        """Write and read what is possible now.

        Raises:
            OutputExceededError: the child printed too much; that stream is not read any more.
        """
        self._write()
        for end in self._output:
            self._read(end, _CHUNK)

    def drain(self) -> None:
        """Read what the pipes hold now, and no more: a grandchild may go on writing for ever.

        Raises:
            OutputExceededError: the child printed too much.
        """
        for end in tuple(self._to_read):
            if self._read(end, _CHUNK) < _CHUNK:
                continue  # nearly always: this has emptied the pipe
            waiting = fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4)
            remaining: int = struct.unpack("i", waiting)[0]
            while remaining > 0:
                remaining -= self._read(end, min(remaining, _CHUNK)) or remaining

    @property
    def stdout_data(self) -> bytes:
        """The child's stdout so far."""
        return bytes(self._output[self._stdout_end])

    @property
    def stderr_data(self) -> bytes:
        """The child's stderr so far."""
        return bytes(self._output[self._stderr_end])

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def _unwatch(self, end: int) -> None:
        # Closing is not enough: a process that the application has forked may have it open, too.
        if self._epoll is not None:
            self._epoll.unregister(end)

    def _write(self) -> None:
        end = self._stdin_end
        if end is None:
            return
        while self._unwritten:
            try:
                written = os.write(end, self._unwritten)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # The child exited, or closed stdin, before it had read all. Only its answer counts.
                break
            self._unwritten = self._unwritten[written:]
        self._unwatch(end)
        # Forget the number: the kernel reuses it for the next descriptor, perhaps the pidfd.
        self._stdin_end = None
        self._open.remove(end)
        os.close(end)

    def _read(self, end: int, size: int) -> int:
        if end not in self._to_read:
            return 0
        try:
            chunk = os.read(end, size)
        except BlockingIOError:
            return 0
        output = self._output[end]
        output += chunk
        limited = len(output) > self._limit
        if limited or not chunk:
            self._to_read.remove(end)
            self._unwatch(end)
        if limited:
            del output[self._limit :]
            raise OutputExceededError
        return len(chunk)


# The pipes of all running calls.
_OPEN: Final = set[Pipes]()


def _abandon_in_child() -> None:
    for pipes in tuple(_OPEN):
        pipes.abandon()


os.register_at_fork(after_in_child=_abandon_in_child)

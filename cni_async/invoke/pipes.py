"""A child's stdin, stdout and stderr without a task for each.

A pipe holds 64 KiB, more than nearly every configuration and result. So stdin is written before
the child starts, and what it prints waits in the kernel until it has exited; only for the rare
child that reads or prints more does anybody need to look in between (`Pipes.pump`). The child
gets real pipes: /dev/stdout can be opened again, and writing to nobody fails as it should.
"""

import fcntl
import os
import struct
import termios
from typing import Final

_CHUNK: Final = 64 * 1024


class OutputLimit(Exception):
    """The child printed more than it may."""


class Pipes:
    """The parent's and the child's ends of three pipes.

    Attributes:
        stdin, stdout, stderr: the child's ends; `close_child_ends` once it has them.
    """

    def __init__(self, stdin_data: bytes, limit: int) -> None:
        """Open the pipes and write as much of stdin as they hold.

        Args:
            stdin_data: what the child will read.
            limit: bytes that the child may print on stdout, and on stderr.

        Raises:
            OSError: no file descriptors left.
        """
        self._limit = limit
        self._unwritten = memoryview(stdin_data)
        self._open: set[int] = set()
        try:
            self.stdin: int
            self.stdout: int
            self.stderr: int
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
        self._write()

    def close_child_ends(self) -> None:
        """Close the child's ends here: only then does a reader see the end of a pipe."""
        for end in (self.stdin, self.stdout, self.stderr):
            self._close(end)

    def close(self) -> None:
        """Close whatever is open still."""
        for end in tuple(self._open):
            self._close(end)

    def pump(self) -> bool:
        """Write and read what is possible now; tell whether anything was.

        Raises:
            OutputLimit: the child printed too much.
        """
        moved = self._write()
        for end in (self._stdout_end, self._stderr_end):
            moved |= self._read(end, _CHUNK)
        return moved

    def drain(self) -> None:
        """Read what lies in the pipes, and no more: a grandchild may go on writing for ever.

        Raises:
            OutputLimit: the child printed too much.
        """
        for end in (self._stdout_end, self._stderr_end):
            waiting = fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4)
            remaining: int = struct.unpack("i", waiting)[0]
            while remaining > 0:
                before = len(self._output[end])
                if not self._read(end, min(remaining, _CHUNK)):
                    break
                remaining -= len(self._output[end]) - before

    @property
    def stdout_data(self) -> bytes:
        """What the child printed on stdout so far."""
        return bytes(self._output[self._stdout_end])

    @property
    def stderr_data(self) -> bytes:
        """What the child printed on stderr so far."""
        return bytes(self._output[self._stderr_end])

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def _close(self, end: int) -> None:
        if end in self._open:
            self._open.remove(end)
            os.close(end)

    def _write(self) -> bool:
        if self._stdin_end not in self._open:
            return False
        moved = False
        while self._unwritten:
            try:
                written = os.write(self._stdin_end, self._unwritten)
            except BlockingIOError:
                return moved
            except BrokenPipeError:
                # It exited, or closed stdin, before it had read all: its answer is what counts.
                break
            self._unwritten = self._unwritten[written:]
            moved = True
        self._close(self._stdin_end)
        return moved

    def _read(self, end: int, size: int) -> bool:
        if end not in self._open:
            return False
        try:
            chunk = os.read(end, size)
        except BlockingIOError:
            return False
        output = self._output[end]
        output += chunk
        if len(output) > self._limit:
            del output[self._limit :]  # it may go on for as long as its grace lasts
            raise OutputLimit
        return bool(chunk)

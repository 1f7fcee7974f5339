"""A separate Python program that starts fast: a fork of a process that has imported everything.

A test of how Python starts, or of what a process inherits, starts a Python itself.
"""

from __future__ import annotations

import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, Final

from .wait import PATIENCE

ROOT: Final = Path(__file__).parents[2]
PIPE: Final = subprocess.PIPE


class Program:
    """A running program, with those methods of `subprocess.Popen` in text mode that tests need.

    The program's parent is a process that was forked for it, and not this process.

    Attributes:
        pid, returncode, stdin, stdout, stderr: as in `subprocess.Popen`.
    """

    def __init__(
        self,
        *args: str,
        module: str = "",
        code: str = "",
        warnings: str = "",
        env: dict[str, str] | None = None,
        folder: Path = ROOT,
        stdin: IO[Any] | int | None = None,
        stdout: IO[Any] | int | None = None,
        stderr: IO[Any] | int | None = None,
    ) -> None:
        """Start the program.

        Args:
            args: the program's arguments.
            module: the module whose `main` to run; or
            code: the source to run.
            warnings: the argument of Python's option -W.
            env: the environment; by default that of this process.
            folder: the working directory.
            stdin, stdout, stderr: as for `subprocess.Popen`.
        """
        self.args = [module, *args]
        self.returncode: int | None = None
        theirs: list[int] = []
        ours: list[IO[str] | None] = []
        to_close: list[int] = []
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream == PIPE:
                ends = os.pipe()
                its, our = ends if number == 0 else ends[::-1]
                to_close.append(its)
                theirs.append(its)
                ours.append(open(our, "r" if number else "w", encoding="utf-8"))  # noqa: SIM115
            else:
                theirs.append(_number(stream, number))
                ours.append(None)
        self.stdin, self.stdout, self.stderr = ours
        asked = {
            "module": module,
            "code": code,
            "args": args,
            "warnings": warnings,
            "environ": {**(os.environ if env is None else env)},
            "folder": str(folder),
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(_server())
        socket.send_fds(self._socket, [json.dumps(asked).encode()], theirs)
        for fd in to_close:
            os.close(fd)
        self._socket.settimeout(PATIENCE)
        self.pid = int(self._socket.recv(100))

    def send_signal(self, number: int) -> None:
        """Send the program a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send the program SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, or `None` if the program still runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait until the program ends, and return its exit code."""
        if self.returncode is None:
            self._socket.settimeout(timeout)
            try:
                status = int(self._socket.recv(100))
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            self._socket.close()
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Close stdin, wait until the program ends, and return its stdout and stderr."""
        deadline = monotonic() + timeout
        said = {"stdout": b"", "stderr": b""}
        if self.stdin is not None:
            self.stdin.close()
        with selectors.DefaultSelector() as selector:
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
                if stream is not None and not stream.closed:
                    selector.register(stream, selectors.EVENT_READ, name)
            while selector.get_map():
                ready = selector.select(max(0, deadline - monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(self.args, timeout)
                for key, _ in ready:
                    data = os.read(key.fd, 2**16)
                    said[key.data] += data
                    if not data:
                        selector.unregister(key.fileobj)
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait(max(0, deadline - monotonic()))
        return said["stdout"].decode(), said["stderr"].decode()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Kill the program, and close its streams."""
        self.kill()
        self.communicate()


def run_program(
    *args: str, timeout: float = 55, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program until it exits, and return its exit code, stdout and stderr.

    Args:
        args: the program's arguments.
        timeout: seconds.
        options: other arguments of `Program`.
    """
    with Program(*args, **{"stdout": PIPE, "stderr": PIPE, **options}) as program:
        out, err = program.communicate(timeout)
        return subprocess.CompletedProcess(program.args, program.wait(), out, err)


def _number(stream: IO[Any] | int | None, number: int) -> int:
    if stream is None:
        return number
    return stream if isinstance(stream, int) else stream.fileno()


@functools.cache
def _server() -> str:
    """Return the socket of the process that forks programs; the first call starts it."""
    folder = tempfile.mkdtemp(prefix="programs-")
    path = f"{folder}/socket"
    # With PYTHONUNBUFFERED Python has no buffered output that it could fail to write at its end.
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    subprocess.run(
        [sys.executable, "-m", "tests.programs.forking", path, str(os.getpid())],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=2 * PATIENCE,
    )
    return path

"""Network namespaces for end-to-end tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import namespaces

from .go_programs import HOST_NETWORK


def leave_host_network() -> None:
    """Move a test run of root into a "host" network of its own, if the kernel allows it.

    The bridges, routes and iptables rules of end-to-end tests then appear there, not on the
    machine, and vanish with the run. Call this before the first thread starts: threads that exist
    already stay in the machine's network, and some start plugins. Workers of pytest-xdist inherit
    the network.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if os.geteuid() == 0 and namespaces.why_no_private_network() is None:
        assert threading.active_count() == 1
        # The parent stays in the machine's network, and outlives the tests.
        os.environ[HOST_NETWORK] = f"/proc/{os.getppid()}/ns/net"
        namespaces.enter_private_network()


def links() -> set[str]:
    """Return the names of all links of the "host" network."""
    return {name for _, name in socket.if_nameindex()}


@dataclass(frozen=True)
class Namespace:
    """A network namespace, which is to CNI what a container is to a runtime."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def look(self) -> namespaces.View:
        """Return the interfaces, IPv4 addresses and routes inside."""
        return namespaces.look_into(self.path)

    def links(self) -> set[str]:
        """Return the names of all links inside."""
        # The path is /proc/<a process inside>/ns/net, so no process has to enter the namespace.
        lines = (self.path.parents[1] / "net" / "dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}

    def run(self, *command: str, timeout: float = 20) -> str:
        """Run a command inside to its end, and return its stdout."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", "--", *command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}: {done.stderr}")
        return done.stdout

    def python(self, code: str, *args: str, timeout: float = 20) -> str:
        """Run Python code inside to its end, and return its stdout."""
        return self.run(sys.executable, "-IS", "-c", code, *args, timeout=timeout)

    @contextlib.contextmanager
    def serving(self, code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
        """Run Python code inside during a block, which begins once the code has printed a line."""
        python = [sys.executable, "-IS", "-c", code, *args]
        command = ["nsenter", f"--net={self.path}", "--", *python]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline(), "the server did not start"
                yield process
            finally:
                process.kill()


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a network namespace that exists during a block."""
    command = ["unshare", "--net", "sh", "-c", "echo ready; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline(), "cannot make a network namespace"
        # The holder ends once its stdin is closed: by the end of this block or of our process.
        yield Namespace(Path(f"/proc/{holder.pid}/ns/net"))

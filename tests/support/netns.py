"""Network namespaces for end-to-end tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio

import private_network
from cni_async import netns
from cni_async.netns import InterfaceState, NetNS

from .go_programs import HOST_NETWORK

T = TypeVar("T")


def leave_host_network() -> None:
    """Move a test run of root into a "host" network of its own, if the kernel allows it.

    The bridges, routes and iptables rules of end-to-end tests then appear there, not on the
    machine, and vanish with the run. Call this before the first thread starts: threads that exist
    already stay in the machine's network, and some start plugins. Workers of pytest-xdist inherit
    the network.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if os.geteuid() == 0 and private_network.why_no_private_network() is None:
        assert threading.active_count() == 1
        # The parent stays in the machine's network, and outlives the tests.
        os.environ[HOST_NETWORK] = f"/proc/{os.getppid()}/ns/net"
        private_network.enter_private_network()


def links() -> set[str]:
    """Return the names of all links of the "host" network."""
    return {name for _, name in socket.if_nameindex()}


@dataclass(frozen=True)
class Namespace:
    """A network namespace, which is to CNI what a container is to a runtime."""

    ns: NetNS

    def __str__(self) -> str:
        return self.ns.path

    def interfaces(self) -> dict[str, InterfaceState]:
        """Return the interfaces inside, by name."""
        return {each.name: each for each in _wait_for(self.ns.interfaces)}

    def links(self) -> set[str]:
        """Return the names of all links inside."""
        return set(self.interfaces())

    def routes(self) -> list[str]:
        """Return the target and the gateway or device of each IPv4 route inside."""
        return [" ".join(line.split()[:3]) for line in self.run("ip", "route").splitlines()]

    def run(self, *command: str, timeout: float = 20) -> str:
        """Run a command in the namespace, wait until it ends, and return its stdout."""
        done = subprocess.run(
            self.ns.command(command),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command} exited {done.returncode}: {done.stderr}")
        return done.stdout

    def python(self, code: str, *args: str, timeout: float = 20) -> str:
        """Run Python code in the namespace, wait until it ends, and return its stdout."""
        return self.run(sys.executable, "-IS", "-c", code, *args, timeout=timeout)

    @contextlib.contextmanager
    def serving(self, code: str, *args: str) -> Iterator[subprocess.Popen[str]]:
        """Run Python code inside during a block, which begins once the code has printed a line."""
        python = [sys.executable, "-IS", "-c", code, *args]
        with subprocess.Popen(
            self.ns.command(python), stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline(), "the server did not start"
                yield process
            finally:
                process.kill()


@contextlib.contextmanager
def namespace() -> Iterator[Namespace]:
    """Create a network namespace; after the block it is gone, and its path leads nowhere."""
    with tempfile.TemporaryDirectory(prefix="cni-test-netns-") as folder:
        ns = _wait_for(partial(netns.create, "ns", dir=folder, loopback=False))
        try:
            yield Namespace(ns)
        finally:
            _wait_for(partial(netns.remove, ns))


def _wait_for(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await a call in another thread: a fixture may run between the steps of an event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, call).result()

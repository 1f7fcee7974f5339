"""Attach a container without processes and threads, or with too few file descriptors.

``python -m tests.programs.limited <event loop> <what>``; prints a line if it cannot be tried.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio

from cni_async import (
    CacheError,
    CNIError,
    ConfigError,
    MemoryCache,
    PluginError,
    conf_list_from_file,
)
from cni_async.invoke import DefaultExec
from tests.programs.interrupted import LOOPS
from tests.support import starts
from tests.support.chains import network
from tests.support.node import Node, rt
from tests.support.processes import wait_until_gone
from tests.support.scripts import has_children, open_fds, wait_for_fds

AB = network("a", "b")
ANOTHER_USER = 54321  # has no processes so far


@contextmanager
def limited(what: int, limit: int) -> Iterator[None]:
    """Lower a limit for a while."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


class Limiting(DefaultExec):
    """Runs plugins, and sets a limit before one of them starts."""

    def __init__(self, call: str, limit: Callable[[], object]) -> None:
        super().__init__(grace=30)
        self._call = call
        self._limit = limit

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Run a plugin."""
        assert environ is not None
        if f"{Path(plugin_path).name} {environ['CNI_COMMAND']}" == self._call:
            self._limit()
        return await super().exec_plugin(plugin_path, stdin_data, environ)


async def refused(call: Awaitable[object]) -> CNIError:
    """Return the error that a call raises."""
    with anyio.fail_after(20):
        try:
            await call
        except CNIError as error:
            return error
    raise AssertionError("it was not refused")


async def recovers(node: Node) -> None:
    """Check that what is left is recorded, and that `recover` removes it."""
    assert not has_children()
    assert {name.partition(".")[0] for name in node.held()} <= set(node.records())
    await node.plain.recover(delete=True)
    assert (node.held(), node.records()) == (set(), {})
    assert node.unfinished_files() == []


async def no_threads(node: Node) -> None:
    """No thread can be started, and this event loop has not used one yet."""
    (node.folder / "net.conflist").write_bytes(AB.raw)
    with limited(resource.RLIMIT_NPROC, 0):
        add = await refused(node.rolling.add_network_list(AB, rt()))
        delete = await refused(node.plain.del_network_list(AB, rt()))
        listing = await refused(node.plain.get_cached_attachments())
        conf = await refused(conf_list_from_file(node.folder / "net.conflist"))
    for error in (add, delete, listing, conf):
        assert "resource temporarily unavailable" in str(error), error
    assert isinstance(listing, CacheError)
    assert isinstance(conf, ConfigError)
    assert isinstance(delete, PluginError)
    assert delete.retryable
    await recovers(node)
    await node.rolling.add_network_list(AB, rt())
    await node.rolling.del_network_list(AB, rt())


async def no_process_for_the_second(node: Node) -> None:
    """One plugin has added. Neither the next plugin nor a DEL can be started."""
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    cni = node.make(
        exec=Limiting("b ADD", lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, before[1]))),
        rollback=True,
    )
    error = await refused(cni.add_network_list(AB, rt()))
    resource.setrlimit(resource.RLIMIT_NPROC, before)
    assert isinstance(error, PluginError)
    assert "resource temporarily unavailable" in str(error)
    assert (error.retryable, error.plugin, error.command) == (True, "b", "ADD")
    assert isinstance(error.rollback_error, PluginError)
    assert error.rollback_error.retryable
    assert (node.held(), node.records()) == ({"c1.a"}, {"c1": False})
    await recovers(node)


async def no_thread_to_look_for_those_left(node: Node) -> None:
    """End a cancelled plugin and its child although no thread can be started."""
    node.hang("a", "ADD")
    cni = node.make(cache=MemoryCache())  # needs no threads
    scope = anyio.CancelScope()
    is_over = anyio.Event()
    pids: list[int] = []

    async def add() -> None:
        with scope:
            await cni.add_network_list(AB, rt())
        is_over.set()

    async with anyio.create_task_group() as group:
        group.start_soon(add)
        pids += await node.hangs("a", "ADD")
        with limited(resource.RLIMIT_NPROC, 0), anyio.fail_after(20):
            scope.cancel()
            await is_over.wait()
    assert scope.cancelled_caught
    assert wait_until_gone(*pids)
    assert not has_children()


async def few_fds(node: Node) -> None:
    """Add with one more free file descriptor each time, until there are enough."""
    await node.rolling.add_network_list(AB, rt())
    await node.rolling.del_network_list(AB, rt())
    top = max(open_fds()) + 1
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    while fillers[-1] <= top:
        fillers.append(os.open("/dev/null", os.O_RDONLY))
    before = len(open_fds())
    errors: list[str] = []
    for spare in range(40):
        with limited(resource.RLIMIT_NOFILE, fillers[-1] + 1 + spare):
            try:
                with anyio.fail_after(20):
                    await node.rolling.add_network_list(AB, rt())
            except CNIError as error:
                errors.append(str(error))
            else:
                break
        assert wait_for_fds(before)
        await recovers(node)
    assert len(errors) > 5
    assert all("too many open files" in error for error in errors), errors
    await node.plain.del_network_list(AB, rt())
    for fd in fillers:
        os.close(fd)


async def more_adds_than_fds(node: Node) -> None:
    """Make calls wait for their turn, without file descriptors that running plugins need."""
    cni = node.make(rollback=True, exec=DefaultExec(grace=30, limiter=anyio.CapacityLimiter(4)))
    outcomes: list[str] = []

    async def add(number: int) -> None:
        net = network("a", "bad") if number % 4 == 0 else AB
        try:
            await cni.add_network_list(net, rt(f"c{number}"))
        except CNIError as error:
            outcomes.append(f"{error}, {error.rollback_error}")
        else:
            outcomes.append("")

    # Enough for 4 plugins and 40 threads of the cache.
    with limited(resource.RLIMIT_NOFILE, max(open_fds()) + 1 + 4 * 9 + 40 * 2):
        async with anyio.create_task_group() as group:
            for number in range(80):
                group.start_soon(add, number)
    assert sorted(set(outcomes)) == ["", 'plugin type="bad" failed (add): no, None']
    assert len(node.records()) == 60


WHAT: dict[str, Callable[[Node], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        no_threads,
        no_process_for_the_second,
        no_thread_to_look_for_those_left,
        few_fds,
        more_adds_than_fds,
    )
}


async def _nothing() -> None:
    pass


def main() -> None:
    """Run the test that the command line names."""
    _, loop, what = sys.argv
    starts.inherit()
    backend, options = LOOPS[loop]
    anyio.run(_nothing, backend=backend, backend_options=options)  # imports what anyio needs
    with tempfile.TemporaryDirectory() as name:
        node = Node(Path(name))
        if os.geteuid() == 0 and not what.endswith("_fds"):
            # The limit on processes does not apply to root.
            for path in (Path(name), *Path(name).rglob("*")):
                os.chown(path, ANOTHER_USER, ANOTHER_USER)
            try:
                os.setgroups([])
                os.setresgid(ANOTHER_USER, ANOTHER_USER, 0)
                os.setresuid(ANOTHER_USER, ANOTHER_USER, 0)
            except OSError as error:
                print(error)
                return
        try:
            anyio.run(WHAT[what], node, backend=backend, backend_options=options)
        finally:
            if os.getresuid()[2] == 0:
                os.seteuid(0)


if __name__ == "__main__":
    main()

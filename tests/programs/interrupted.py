"""Attach a container and be interrupted: by this process after each step, or by a test.

``python -m tests.programs.interrupted <event loop> <what> <folder>``
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from cni_async import PluginError
from tests.support import starts
from tests.support.chains import network
from tests.support.node import Node, rt
from tests.support.scripts import has_children, open_fds, wait_for_fds
from tests.support.steps import counted

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
AB = network("a", "b")


async def add(node: Node) -> None:
    """Attach with rollback."""
    await node.rolling.add_network_list(AB, rt())


async def add_what_fails(node: Node) -> None:
    """Attach with rollback, where a plugin fails."""
    await node.rolling.add_network_list(network("a", "bad"), rt())


async def block(node: Node) -> None:
    """Attach for a block that takes a while."""
    async with node.plain.attachment(AB, rt()):
        print("attached", flush=True)
        await anyio.sleep(60)


async def short_block(node: Node) -> None:
    """Attach for a block."""
    async with node.plain.attachment(AB, rt()):
        await anyio.sleep(0)


CALLS: dict[str, Callable[[Node], Awaitable[None]]] = {
    each.__name__: each for each in (add, add_what_fails, block, short_block)
}


def walk(loop: str, call: Callable[[Node], Awaitable[None]], node: Node) -> None:
    """Interrupt a call after its first step, its second, and so on until no step is left."""
    backend, options = LOOPS[loop]
    steps = interrupted = 0
    number = -1  # the first run is not interrupted: it allocates what the process keeps

    def run(function: Callable[[], Awaitable[object]]) -> None:
        anyio.run(function, backend=backend, backend_options=options)

    def after_step() -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        await counted(lambda: call(node), after_step)

    async def clean_up() -> None:
        for found in await node.plain.recover(delete=True):
            assert found.container_id == "c1"
        if node.records():  # of an ADD that completed
            await node.plain.del_network_list(AB, rt())

    fds = 0
    while steps >= number:
        node.exec.begun.clear()
        steps = 0
        number += 1
        try:
            run(main)
        except KeyboardInterrupt:
            interrupted += 1
        except PluginError:
            assert call is add_what_fails
        assert not has_children()
        # A thread that the interrupted call left behind may hold descriptors for a moment.
        fds = fds or len(open_fds())
        assert wait_for_fds(fds)
        # Everything that plugins may hold is recorded, and so can be found.
        begun = {each for each in node.exec.begun if each.endswith(" ADD")}
        undone = {each for each in node.exec.begun if each.endswith(" DEL")}
        assert node.records() or not node.held(), (number, node.exec.begun)
        assert node.records() or len(begun) == len(undone), (number, node.exec.begun)
        if loop != "trio":
            # asyncio cancels its main task, so all promises hold.
            assert call is add or node.records() == {}
        run(clean_up)
        assert (node.held(), node.records()) == (set(), {}), number
        assert node.unfinished_files() == []
    # Every step is interrupted but the last, after which nothing is left to interrupt.
    assert interrupted >= number - 2 > 3, (interrupted, number)


def main() -> None:
    """Run the call that the command line names."""
    _, loop, what, folder = sys.argv
    starts.inherit()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    node = Node(Path(folder))
    kind, _, name = what.rpartition(":")
    if kind == "walk":
        walk(loop, CALLS[name], node)
        return
    backend, options = LOOPS[loop]
    anyio.run(CALLS[name], node, backend=backend, backend_options=options)


if __name__ == "__main__":
    main()

"""Ctrl+C in the middle of an ADD: a separate program that ends with KeyboardInterrupt.

asyncio cancels its main task, and raises at once only at the second signal. trio raises the
exception where its main task waits, even inside a shielded scope.
"""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.support.node import Node
from tests.support.processes import comes_to_rest, wait_until_gone
from tests.support.program import PIPE, Program

# The interrupted programs have event loops of their own.
pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

on_one_loop = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])

PATIENCE = 40


program = partial(
    Program, module="tests.programs.interrupted", warnings="error", stdout=PIPE, stderr=PIPE
)


async def interrupt(process: Program) -> None:
    """Send SIGINT once a program waits.

    Otherwise the signal could interrupt any code, for example the start of a plugin.
    """
    await comes_to_rest(process.pid)
    process.send_signal(signal.SIGINT)


async def is_interrupted(process: Program) -> None:
    """Check that a program ends as it should."""
    _, errors = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=PATIENCE))
    assert errors.splitlines()[-1].strip(" |") == "KeyboardInterrupt"
    assert "Warning" not in errors
    assert process.returncode == -signal.SIGINT


@on_one_loop
@on_each_loop
async def test_while_a_plugin_adds(tmp_path: Path, loop: str) -> None:
    node = Node(tmp_path)
    node.hang("b", "ADD")
    with program(loop, "add", str(tmp_path)) as process:
        pids = await node.hangs("b", "ADD")
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": False})
        await interrupt(process)
        await is_interrupted(process)
    assert wait_until_gone(*pids)
    assert (node.held(), node.records()) == (set(), {})


@on_one_loop
@on_each_loop
async def test_within_a_block(tmp_path: Path, loop: str) -> None:
    node = Node(tmp_path)
    with program(loop, "block", str(tmp_path)) as process:
        assert process.stdout is not None
        assert await anyio.to_thread.run_sync(process.stdout.readline) == "attached\n"
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})
        await interrupt(process)
        await is_interrupted(process)
    assert (node.held(), node.records()) == (set(), {})


@on_one_loop
@on_each_loop
async def test_twice(tmp_path: Path, loop: str) -> None:
    """The second Ctrl+C also ends the DEL. `recover` finds what is left."""
    node = Node(tmp_path)
    node.hang("b", "ADD", "DEL")
    with program(loop, "add", str(tmp_path)) as process:
        pids = await node.hangs("b", "ADD")
        await interrupt(process)
        pids += await node.hangs("b", "DEL")
        await interrupt(process)
        await is_interrupted(process)
    assert wait_until_gone(*pids)
    assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": False})
    node.hang("b")
    with anyio.fail_after(PATIENCE):
        [found] = await node.plain.recover(delete=True)
    assert found.container_id == "c1"
    assert (node.held(), node.records()) == (set(), {})


@on_one_loop
@pytest.mark.parametrize(
    ("loop", "call"),
    [
        ("asyncio", "short_block"),
        ("trio", "add"),
        ("trio", "add_what_fails"),
        ("trio", "short_block"),
    ],
)
async def test_after_each_step(tmp_path: Path, loop: str, call: str) -> None:
    with program(loop, f"walk:{call}", str(tmp_path)) as process:
        _, errors = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=PATIENCE))
    assert process.returncode == 0, errors
    assert errors == ""

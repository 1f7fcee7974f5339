"""Every operation, cancelled after each of its steps: what is left, and that the next call works.

Plugins are processes that hold something for a container from ADD to DEL, and so does the cache.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cni_async import GCArgs, GCAttachment, NetworkAttachment, PluginError
from cni_async.invoke import process
from cni_async.operations import lockfile, order as locks_module
from tests.support.chains import network
from tests.support.node import Node, rt
from tests.support.scripts import has_children, open_fds, skip_on
from tests.support.steps import Outcome, cancelled_after
from tests.support.wait import PATIENCE, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

AB = network("a", "b")
A_BAD = network("a", "bad")
A = network("a")


@dataclass(frozen=True)
class Operation:
    """An operation to cancel, and what it promises.

    Attributes:
        call: runs the operation on a node.
        promise: checks what is left; its second argument is true if the operation completed.
        begun, completed: containers that are attached before the operation.
        steps: the operation has at least this many steps.
        fails: the operation, if not cancelled, raises a plugin's error.
    """

    call: Callable[[Node], Awaitable[object]]
    promise: Callable[[Node, bool], None]
    begun: tuple[str, ...] = ()
    completed: tuple[str, ...] = ()
    steps: int = 3
    fails: bool = False


# -- the operations


async def _attach(node: Node) -> None:
    async with node.plain.attachment(AB, rt()):
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})
        await anyio.lowlevel.checkpoint()
        await node.plain.check_network_list(A, rt())


async def _break(node: Node) -> None:
    async with node.plain.attachment(AB, rt()):
        raise PluginError("no")


def all_or_nothing(node: Node, is_over: bool) -> None:
    """Check an ADD without rollback: plugins may hold something, but any record is complete."""
    assert node.records() in ({}, {"c1": True})
    if is_over or node.records():
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})


def completed_or_taken_back(node: Node, is_over: bool) -> None:
    if is_over:
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})
    else:
        nothing(node, is_over)


def nothing(node: Node, is_over: bool) -> None:
    """Check that nothing is left and that each ADD that began got its DEL, in reverse order."""
    assert (node.held(), node.records()) == (set(), {})
    adds = [call.split()[0] for call in node.exec.begun if call.endswith(" ADD")]
    dels = [call.split()[0] for call in node.exec.begun if call.endswith(" DEL")]
    assert dels == adds[::-1]


def as_before(node: Node, is_over: bool) -> None:
    assert (node.held(), node.records()) == ({"c1.a"}, {"c1": True})


def forgotten_after_its_del(node: Node, is_over: bool, *, keep: str = "") -> None:
    """Check that everything that plugins hold is in a record."""
    assert {each.removesuffix(".a") for each in node.held()} <= set(node.records())
    assert not keep or (f"{keep}.a" in node.held() and node.records()[keep])
    if is_over:
        assert set(node.records()) == ({keep} if keep else set())


_ATTACHED = NetworkAttachment("c1", "net", "eth0", config=A.raw)
_GC_ARGS = GCArgs([GCAttachment("c3", "eth0")])

OPERATIONS = {
    "add": Operation(lambda node: node.plain.add_network_list(AB, rt()), all_or_nothing),
    "add-rollback": Operation(
        lambda node: node.rolling.add_network_list(AB, rt()), completed_or_taken_back
    ),
    "add-fails-rollback": Operation(
        lambda node: node.rolling.add_network_list(A_BAD, rt()), nothing, fails=True
    ),
    "attachment": Operation(_attach, nothing, steps=10),
    "attachment-fails": Operation(_break, nothing, steps=10, fails=True),
    "check": Operation(
        lambda node: node.plain.check_network_list(A, rt()), as_before, completed=("c1",)
    ),
    "del": Operation(
        lambda node: node.plain.del_network_list(A, rt()),
        forgotten_after_its_del,
        completed=("c1",),
    ),
    "del_attachment": Operation(
        lambda node: node.plain.del_attachment(_ATTACHED),
        forgotten_after_its_del,
        completed=("c1",),
    ),
    "gc": Operation(
        lambda node: node.plain.gc_network_list(A, _GC_ARGS),
        partial(forgotten_after_its_del, keep="c3"),
        begun=("c2",),
        completed=("c1", "c3"),
    ),
    "recover": Operation(
        lambda node: node.plain.recover(delete=True),
        partial(forgotten_after_its_del, keep="c3"),
        begun=("c1", "c2"),
        completed=("c3",),
    ),
    "status": Operation(
        lambda node: node.plain.get_status_network_list(A), as_before, completed=("c1",)
    ),
    "validate": Operation(
        lambda node: node.plain.validate_network_list(AB), as_before, completed=("c1",)
    ),
}


# -- leftovers in this process


def busy_threads() -> list[str]:
    """Return the threads that still run code of the library."""
    frames = sys._current_frames()
    busy = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        while thread is not threading.main_thread() and frame is not None:
            if "/cni_async/" in frame.f_code.co_filename:
                busy.append(f"{thread.name}: {frame.f_code.co_qualname}")
            frame = frame.f_back
    return busy


def tasks() -> set[Any]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()


@dataclass
class Ourselves:
    """The file descriptors and tasks that this process had before."""

    fds: set[int] = field(default_factory=open_fds)
    tasks: set[Any] = field(default_factory=tasks)

    async def has_nothing_left(self, node: Node) -> None:
        # A thread that was abandoned completes its work.
        await eventually(busy_threads, lambda busy: not busy)
        assert not has_children()  # zombies included
        assert open_fds() == self.fds
        assert tasks() == self.tasks
        assert node.unfinished_files() == []
        assert not lockfile._OPEN
        assert locks_module._GATES.get({}) == {}


# -- the walk


async def walk(node: Node, operation: Operation, **options: Any) -> None:
    """Cancel an operation after its first step, its second, and so on until no step is left."""
    await node.plain.add_network_list(AB, rt())  # allocates what the process keeps
    ourselves = Ourselves()
    cancelled = 0
    for number in range(1, 1000):
        node.put(operation.begun, operation.completed)
        with anyio.fail_after(PATIENCE):
            outcome = await cancelled_after(number, lambda: operation.call(node), **options)
        await ourselves.has_nothing_left(node)
        see_how_it_ended(operation, outcome)
        # With a cancel scope the call may return an answer that has already arrived.
        assert outcome.cancelled or not (outcome.reached and options.get("by_task"))
        operation.promise(node, not outcome.cancelled)
        cancelled += outcome.cancelled
        # Nothing blocks a DEL, and it finds what is left.
        with anyio.fail_after(PATIENCE):
            for container_id in sorted({"c1", *operation.begun, *operation.completed}):
                await node.plain.del_network_list(AB, rt(container_id))
        assert (node.held() - {"c1.bad"}, node.records()) == (set(), {})
        if not outcome.reached:
            assert not outcome.cancelled
            # posix_spawn starts a plugin with one await less.
            assert number > operation.steps - (process._usual_spawn() == "posix")
            assert cancelled
            return
    raise AssertionError("there is no end to it")


def see_how_it_ended(operation: Operation, outcome: Outcome) -> None:
    if outcome.cancelled or not operation.fails:
        assert outcome.error is None
    else:
        assert isinstance(outcome.error, PluginError)
        assert outcome.error.rollback_error is None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@every_operation
async def test_scope_cancelled_after_each_step(node: Node, operation: Operation) -> None:
    await walk(node, operation)


asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"]
)


@asyncio_only
@every_operation
async def test_task_cancelled_after_each_step(node: Node, operation: Operation) -> None:
    await walk(node, operation, by_task=True)


# Operations that have to continue after a cancellation.
undoing = pytest.mark.parametrize("name", ["add-rollback", "add-fails-rollback", "attachment"])


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
async def test_task_cancelled_on_uvloop(node: Node) -> None:
    await walk(node, OPERATIONS["add-rollback"], by_task=True)


@asyncio_only
@undoing
async def test_task_cancelled_after_each_step_and_again_after_the_next(
    node: Node, name: str
) -> None:
    """A caller in a hurry cancels twice, or a second caller cancels too."""
    await walk(node, OPERATIONS[name], by_task=True, times=2)


@undoing
async def test_cancelled_while_a_plugin_has_just_ended(
    node: Node, name: str, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """The plugin's output and its exit arrive at the same moment as the cancellation."""
    skip_on("uvloop", "it takes long, and asyncio does the same")
    await walk(node, OPERATIONS[name], pause=lambda: time.sleep(0.005))

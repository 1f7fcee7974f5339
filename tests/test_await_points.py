"""Every operation, cancelled after each of its steps: what is left of it, and that it goes on.

Plugins are processes that hold something for a container from ADD to DEL, and so does the cache.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from cni_async import (
    CNIConfig,
    FileCache,
    GCArgs,
    GCAttachment,
    NetworkAttachment,
    PluginError,
    RuntimeConf,
)
from cni_async import locks as locks_module
from cni_async.invoke import DefaultExec
from tests.support.chains import network
from tests.support.scripts import Scripts, has_children, open_fds, skip_on
from tests.support.steps import Outcome, cancelled_after

pytestmark = pytest.mark.anyio

PLUGIN = """
held="$STORE/$CNI_CONTAINERID.${0##*/}"
case $CNI_COMMAND in
ADD)
    echo held >"$held"
    [ "${0##*/}" != bad ] || { echo '{"code": 100, "msg": "no"}'; exit 1; }
    echo '{"cniVersion": "1.1.0"}' ;;
DEL) : >"$held" ;;
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}' ;;
esac
"""

AB = network("a", "b")
A_BAD = network("a", "bad")
A = network("a")


def rt(container_id: str = "c1") -> RuntimeConf:
    return RuntimeConf(container_id, "", "eth0")


class Watched(DefaultExec):
    """Runs processes, and remembers which it was to run."""

    def __init__(self) -> None:
        super().__init__(grace=30)  # a shell is gone at SIGTERM
        self.begun: list[str] = []

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        assert environ is not None
        self.begun.append(f"{Path(plugin_path).name} {environ['CNI_COMMAND']}")
        return await super().exec_plugin(plugin_path, stdin_data, environ)


class Node:
    """Plugins, what they hold, and what the cache knows."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store = folder / "store"
        self._results = folder / "cache" / "results"
        self._store.mkdir()
        plugins = folder / "plugins"
        plugins.mkdir()
        monkeypatch.setenv("STORE", str(self._store))
        for name in ("a", "b", "bad"):
            Scripts(plugins).sh(PLUGIN, name)
        self.exec = Watched()
        make = partial(
            CNIConfig,
            [str(plugins)],
            exec=self.exec,
            # A real one, which does not wait for the disk to turn.
            cache=FileCache(folder / "cache", durable=False),
            lock_file=folder / "lock",
        )
        self.plain = make()
        self.rolling = make(rollback=True)

    def held(self) -> set[str]:
        """Return what plugins hold, as in ``{"c1.a"}``."""
        return {file.name for file in self._store.iterdir() if file.stat().st_size}

    def records(self) -> dict[str, bool]:
        """Return the containers that have a record; False for that of an unfinished ADD."""
        files = [file for file in self._results.iterdir() if file.name != ".tmp"]
        objects = [json.loads(file.read_bytes()) for file in files]
        return {each["containerId"]: "result" in each for each in objects}

    def put(self, begun: tuple[str, ...], completed: tuple[str, ...]) -> None:
        """Have these containers attached and no others, as if plugin a had done it."""
        for file in (*self._store.iterdir(), *self._results.glob("*-*")):
            file.unlink()
        for container_id in begun + completed:
            (self._store / f"{container_id}.a").write_text("held")
            record: dict[str, Any] = {
                "kind": "cniCacheV1",
                "containerId": container_id,
                "config": base64.b64encode(A.raw).decode(),
                "ifName": "eth0",
                "networkName": "net",
            }
            if container_id in completed:
                record["result"] = {"cniVersion": "1.1.0"}
            (self._results / f"net-{container_id}-eth0").write_text(json.dumps(record))
        self.exec.begun.clear()

    def unfinished_files(self) -> list[Path]:
        return list((self._results / ".tmp").iterdir())


@dataclass(frozen=True)
class Operation:
    """What is cancelled, and what is promised of it.

    Attributes:
        call: makes it.
        promise: looks at what is left; it is told whether it came to its end.
        begun, completed: containers that are attached before it.
        steps: it has at least so many.
        fails: it comes to its end with a plugin's error.
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
    """Without rollback: plugins may hold something, but no record says less than there is."""
    assert node.records() in ({}, {"c1": True})
    if is_over or node.records():
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})


def completed_or_taken_back(node: Node, is_over: bool) -> None:
    if is_over:
        assert (node.held(), node.records()) == ({"c1.a", "c1.b"}, {"c1": True})
    else:
        nothing(node, is_over)


def nothing(node: Node, is_over: bool) -> None:
    """There is nothing left, and a DEL for each ADD that was begun, in reverse order."""
    assert (node.held(), node.records()) == (set(), {})
    adds = [call.split()[0] for call in node.exec.begun if call.endswith(" ADD")]
    dels = [call.split()[0] for call in node.exec.begun if call.endswith(" DEL")]
    assert dels == adds[::-1]


def as_before(node: Node, is_over: bool) -> None:
    assert (node.held(), node.records()) == ({"c1.a"}, {"c1": True})


def forgotten_after_its_del(node: Node, is_over: bool, *, keep: str = "") -> None:
    """Whatever plugins hold is in a record."""
    assert {each.removesuffix(".a") for each in node.held()} <= set(node.records())
    assert not keep or (f"{keep}.a" in node.held() and node.records()[keep])
    if is_over:
        assert set(node.records()) == ({keep} if keep else set())


_ATTACHED = NetworkAttachment("c1", "net", "eth0", A.raw)
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


# -- what is left of them in this process


def busy_threads() -> list[str]:
    """Return the threads that are still at something of ours."""
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
    """This process, and what it had before."""

    fds: set[int] = field(default_factory=open_fds)
    tasks: set[Any] = field(default_factory=tasks)

    async def has_nothing_left(self, node: Node) -> None:
        # What a thread was at when nobody waited for it any more, it brings to its end.
        deadline = time.monotonic() + 20
        while busy_threads() and time.monotonic() < deadline:
            await anyio.sleep(0.001)
        assert not busy_threads()
        assert not has_children()  # nor zombies
        assert open_fds() == self.fds
        assert tasks() == self.tasks
        assert node.unfinished_files() == []
        assert not locks_module._OPEN
        assert locks_module._GATES.get({}) == {}


# -- the walk


@dataclass
class Seen:
    cancelled: int = 0
    states: set[tuple[frozenset[str], frozenset[str]]] = field(default_factory=set)


async def walk(node: Node, operation: Operation, **options: Any) -> Seen:
    """Cancel an operation after its first step, its second, and so on until it is over before."""
    await node.plain.add_network_list(AB, rt())  # what is made once is there from here on
    ourselves = Ourselves()
    seen = Seen()
    for number in range(1, 1000):
        node.put(operation.begun, operation.completed)
        with anyio.fail_after(30):
            outcome = await cancelled_after(number, lambda: operation.call(node), **options)
        await ourselves.has_nothing_left(node)
        see_how_it_ended(operation, outcome)
        operation.promise(node, not outcome.cancelled)
        seen.cancelled += outcome.cancelled
        seen.states.add((frozenset(node.exec.begun), frozenset(node.records())))
        # Nobody is in the way of a DEL, and it finds what there is.
        with anyio.fail_after(30):
            for container_id in sorted({"c1", *operation.begun, *operation.completed}):
                await node.plain.del_network_list(AB, rt(container_id))
        assert (node.held() - {"c1.bad"}, node.records()) == (set(), {})
        if not outcome.reached:
            assert not outcome.cancelled
            assert number > operation.steps
            return seen
    raise AssertionError("there is no end to it")


def see_how_it_ended(operation: Operation, outcome: Outcome) -> None:
    if outcome.cancelled or not operation.fails:
        assert outcome.error is None
    else:
        assert isinstance(outcome.error, PluginError)
        assert outcome.error.rollback_error is None


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@every_operation
async def test_scope_cancelled_after_each_step(node: Node, operation: Operation) -> None:
    seen = await walk(node, operation)
    assert seen.cancelled


asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"]
)


@asyncio_only
@every_operation
async def test_task_cancelled_after_each_step(node: Node, operation: Operation) -> None:
    seen = await walk(node, operation, by_task=True)
    assert seen.cancelled


# Those that have to go on after they were cancelled.
undoing = pytest.mark.parametrize("name", ["add-rollback", "add-fails-rollback", "attachment"])


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
async def test_task_cancelled_on_uvloop(node: Node) -> None:
    seen = await walk(node, OPERATIONS["add-rollback"], by_task=True)
    assert seen.cancelled


@asyncio_only
@undoing
async def test_task_cancelled_after_each_step_and_again_after_the_next(
    node: Node, name: str
) -> None:
    """Who is in a hurry, or another who wants the same."""
    seen = await walk(node, OPERATIONS[name], by_task=True, times=2)
    assert seen.cancelled


@undoing
async def test_cancelled_while_a_plugin_has_just_ended(
    node: Node, name: str, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """What it has printed and that it has exited come at the same moment as the cancellation."""
    skip_on("uvloop", "it takes long, and asyncio does the same")
    seen = await walk(node, OPERATIONS[name], pause=lambda: time.sleep(0.005))
    assert seen.cancelled

"""A cancellation of an ADD after its plugin has answered, and before the attachment is recorded."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import CNIConfig, NetworkConfigList, RuntimeConf
from cni_async._uncut import in_asyncio_task
from cni_async.conf import conf_list_from_bytes
from cni_async.errors import CNIError
from cni_async.invoke import DefaultExec
from cni_async.invoke import answer as answer_module
from cni_async.invoke import call as call_module
from cni_async.types.create import result_from_plugin
from tests.support.recorder import Answer, Recorder
from tests.support.wait import PATIENCE, Stopwatch, eventually

pytestmark = pytest.mark.anyio

SHORT = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}]}
LONG = {**SHORT, "dns": {"search": ["x" * 63] * 6000}}
RT = RuntimeConf("box", "", "eth0")


class Stuck:
    """Something in a thread that does not go on until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        self.go.wait(PATIENCE)

    def write(self, data: bytes) -> None:
        self()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.go.set()


def network(*types: str) -> NetworkConfigList:
    plugins = [{"type": type} for type in types]
    conf = {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}
    return conf_list_from_bytes(json.dumps(conf).encode())


async def cancelled_when(
    reached: Callable[[], object],
    work: Callable[[], Any],
    then: Callable[[], object],
    how: str,
) -> bool:
    """Do the work, cancel it in a moment of its own, and tell whether it has been cancelled.

    Args:
        reached: tells whether that moment is there.
        work: what to do.
        then: is called after the cancellation.
        how: "scope", "task" (of asyncio), or "twice": the task, and once more.
    """
    if how == "scope":
        done = anyio.Event()

        async def run() -> None:
            with scope:
                await work()
                await anyio.lowlevel.checkpoint()
            done.set()

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await eventually(reached)
            scope.cancel()
            await anyio.sleep(0.02)
            then()
            with anyio.fail_after(PATIENCE):
                await done.wait()
        return scope.cancelled_caught
    if not in_asyncio_task():
        pytest.skip("that is asyncio's")
    task = asyncio.ensure_future(work())
    await eventually(reached)
    for _ in range(2 if how == "twice" else 1):
        task.cancel()
        await asyncio.sleep(0.02)
    then()
    await asyncio.wait([task], timeout=PATIENCE)
    return bool(task.cancelled())


HOW = pytest.mark.parametrize("how", ["scope", "task", "twice"])
ROLLBACK = pytest.mark.parametrize("rollback", [False, True])


def config(
    recorder: Recorder, tmp_path: Path, *, stderr: Stuck | None, rollback: bool = False
) -> CNIConfig:
    return CNIConfig(
        recorder.path,
        cache_dir=tmp_path / "cache",
        exec=DefaultExec(stderr=stderr),
        rollback=rollback,
    )


async def as_promised(cni: CNIConfig, recorder: Recorder, result: Any, *, undone: bool) -> None:
    """Assert that there is a record with the result, or that the ADD was taken back."""
    records = await cni.get_cached_attachments()
    if undone:
        assert not records
        assert recorder.order() == ["one ADD", "one DEL"]
        assert recorder.calls("DEL")[0].config["prevResult"]["ips"] == result["ips"]
        return
    assert [one.completed for one in records] == [True]
    assert recorder.order() == ["one ADD"]
    cached = await cni.get_network_list_cached_result(network("one"), RT)
    assert cached is not None
    assert json.loads(cached.to_json())["ips"] == result["ips"]


@HOW
@ROLLBACK
async def test_while_stderr_is_not_taken(
    recorder: Recorder, tmp_path: Path, stuck: Stuck, how: str, rollback: bool
) -> None:
    """The writer is waited for, for a second at most; then the attachment is recorded."""
    recorder.plugin("one", {"ADD": Answer(stderr="hello\n", stdout=SHORT)})
    cni = config(recorder, tmp_path, stderr=stuck, rollback=rollback)
    work = partial(cni.add_network_list, network("one"), RT)
    watch = Stopwatch()

    def cancelled() -> None:
        nonlocal watch
        watch = Stopwatch()

    assert await cancelled_when(stuck.reached.is_set, work, cancelled, how)
    assert rollback or watch.within(1)
    # A scope's is raised at the next checkpoint: the ADD is over then, its caller has its result.
    await as_promised(cni, recorder, SHORT, undone=rollback and how != "scope")


@HOW
@ROLLBACK
async def test_while_a_long_answer_is_read(
    recorder: Recorder,
    tmp_path: Path,
    stuck: Stuck,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    rollback: bool,
) -> None:
    assert len(json.dumps(LONG)) > answer_module._LONG
    recorder.plugin("one", {"ADD": Answer(stdout=LONG)})
    real = result_from_plugin

    def read(*args: Any) -> Any:
        stuck()
        return real(*args)

    monkeypatch.setattr(f"{call_module.__name__}.result_from_plugin", read)
    cni = config(recorder, tmp_path, stderr=None, rollback=rollback)
    work = partial(cni.add_network_list, network("one"), RT)
    assert await cancelled_when(stuck.reached.is_set, work, stuck.go.set, how)
    await as_promised(cni, recorder, LONG, undone=rollback and how != "scope")


@HOW
async def test_between_two_plugins(
    recorder: Recorder, tmp_path: Path, stuck: Stuck, how: str
) -> None:
    """No other plugin is called, and an ADD that is not complete is not recorded."""
    recorder.plugin("one", {"ADD": Answer(stderr="hello\n", stdout=SHORT)})
    recorder.plugin("two")
    cni = config(recorder, tmp_path, stderr=stuck)
    work = partial(cni.add_network_list, network("one", "two"), RT)
    assert await cancelled_when(stuck.reached.is_set, work, stuck.go.set, how)
    assert recorder.order() == ["one ADD"]
    assert await cni.get_cached_attachments() == []


@HOW
async def test_the_plugin_has_failed(
    recorder: Recorder, tmp_path: Path, stuck: Stuck, how: str
) -> None:
    """The cancellation is raised, and nothing recorded; its cause is the plugin's failure."""
    recorder.plugin("one", {"ADD": Answer(stderr="hello\n", stdout="{}", exit_code=1)})
    cni = config(recorder, tmp_path, stderr=stuck)
    causes: list[BaseException | None] = []

    async def work() -> None:
        try:
            await cni.add_network_list(network("one"), RT)
        except CNIError as error:
            causes.append(error)  # a scope's waits for the next checkpoint
        except BaseException as error:
            causes.append(error.__cause__)
            raise

    assert await cancelled_when(stuck.reached.is_set, work, stuck.go.set, how)
    assert [type(cause).__name__ for cause in causes] == ["PluginError"]
    assert await cni.get_cached_attachments() == []


async def test_a_call_that_is_not_recorded_is_cut_short(recorder: Recorder, stuck: Stuck) -> None:
    """What is called for itself waits for no writer once it is cancelled."""
    path = str(recorder.plugin("one", {"ADD": Answer(stderr="hello\n")}))
    exec = DefaultExec(stderr=stuck)
    environ = {"CNI_COMMAND": "ADD"}
    work = partial(exec.exec_plugin, path, b"{}", environ)
    assert await cancelled_when(stuck.reached.is_set, work, lambda: None, "scope")


async def test_requests_are_counted(recorder: Recorder, tmp_path: Path, stuck: Stuck) -> None:
    """asyncio.timeout() and the like see as many cancellations as were requested, and go on."""
    if not in_asyncio_task():
        pytest.skip("that is asyncio's")
    recorder.plugin("one", {"ADD": Answer(stderr="hello\n", stdout=SHORT)})
    cni = config(recorder, tmp_path, stderr=stuck)
    task = asyncio.current_task()
    assert task is not None
    reached = asyncio.ensure_future(eventually(stuck.reached.is_set))

    async def add() -> None:
        async with asyncio.timeout(None) as limit:
            reached.add_done_callback(lambda _: limit.reschedule(0))
            await cni.add_network_list(network("one"), RT)

    with pytest.raises(TimeoutError):
        await add()
    assert task.cancelling() == 0
    await asyncio.sleep(0.01)
    assert [one.completed for one in await cni.get_cached_attachments()] == [True]

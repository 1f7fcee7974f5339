"""The end of an event loop: asyncio.run() cancels every task when its main coroutine returns.

This must not cut short a DEL that has begun, the writing of a record, or the end of a plugin.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cni_async import CNIConfig, FileCache, RuntimeConf, conf_list_from_bytes
from cni_async.cache import AttachmentKey
from cni_async.invoke import RawExec
from tests.support.recorder import Answer, Recorder
from tests.support.scripts import Scripts, children

NET = conf_list_from_bytes(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"plugin"}]}')
RT = RuntimeConf("container", "/run/netns/blue", "eth0")
LOOPS = ["asyncio", "uvloop"]

pytestmark = [pytest.mark.libuv, pytest.mark.usefixtures("spawn")]


def run_and_leave(loop: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine as asyncio.run() does, in debug mode, which reports lost tasks and errors."""
    before = children()
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory, debug=True) as runner:
        runner.run(main())
    assert children() <= before


@pytest.mark.parametrize("loop", LOOPS)
def test_the_del_of_an_attachment(loop: str, recorder: Recorder, tmp_path: Path) -> None:
    """The DEL runs to its end, and the record is removed."""
    recorder.plugin("plugin", {"DEL": Answer(sleep=0.3)})
    cni = CNIConfig(recorder.path, cache_dir=tmp_path)

    async def attached() -> None:
        async with cni.attachment(NET, RT):
            pass

    async def main() -> None:
        tasks.append(asyncio.create_task(attached()))
        await recorder.wait_for_calls(2)

    tasks: list[asyncio.Task[None]] = []
    run_and_leave(loop, main)
    assert tasks[0].cancelled()
    add, delete = recorder.calls()
    assert (add.command, delete.command) == ("ADD", "DEL")
    assert delete.ended is not None
    assert asyncio.run(cni.get_cached_attachments()) == []


@pytest.mark.parametrize("loop", LOOPS)
def test_the_del_after_an_add_that_the_end_cuts_short(
    loop: str, recorder: Recorder, tmp_path: Path
) -> None:
    """The ADD's plugin is ended. The DEL runs to its end, and the record is removed."""
    recorder.plugin("plugin", {"ADD": Answer(sleep=60), "DEL": Answer(sleep=0.3)})
    cni = CNIConfig(recorder.path, cache_dir=tmp_path, rollback=True, grace=5)

    async def main() -> None:
        tasks.append(asyncio.create_task(cni.add_network_list(NET, RT)))
        await recorder.wait_for_calls(1)

    tasks: list[asyncio.Task[Any]] = []
    run_and_leave(loop, main)
    assert tasks[0].cancelled()
    add, delete = recorder.calls()
    assert (add.ended, delete.command) == (None, "DEL")
    assert delete.ended is not None
    assert asyncio.run(cni.get_cached_attachments()) == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_a_record_that_waits_for_a_thread(
    loop: str,
    command: str,
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cache records what the plugins have done."""
    recorder.plugin("plugin")
    cache = FileCache(tmp_path)
    cni = CNIConfig(recorder.path, cache=cache)
    if command == "DEL":
        asyncio.run(cni.add_network_list(NET, RT))
    waits, go_on = threading.Event(), threading.Event()
    method = "_store" if command == "ADD" else "_remove"
    function = getattr(FileCache, method)

    def slowly(*args: Any) -> None:
        waits.set()
        assert go_on.wait(20)
        function(*args)

    monkeypatch.setattr(FileCache, method, slowly)
    call = cni.add_network_list if command == "ADD" else cni.del_network_list

    async def main() -> None:
        tasks.append(asyncio.create_task(call(NET, RT)))
        while not waits.is_set():
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.2, go_on.set)

    tasks: list[asyncio.Task[Any]] = []
    run_and_leave(loop, main)
    assert tasks[0].cancelled()
    record = asyncio.run(cache.load(AttachmentKey("net", "container", "eth0")))
    assert (record is not None) == (command == "ADD")


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_in_any_turn_of_its_start(loop: str, turns: int, tmp_path: Path) -> None:
    """The end of the loop does not wait for a plugin that it has cut off from the event loop."""
    plugin = Scripts(tmp_path).sh("exec sleep 60")

    async def main() -> None:
        tasks.append(asyncio.create_task(RawExec(grace=10).exec_plugin(plugin, b"{}", None)))
        for _ in range(turns):
            await asyncio.sleep(0)

    tasks: list[asyncio.Task[bytes]] = []
    started = time.monotonic()
    run_and_leave(loop, main)
    assert time.monotonic() - started < 30
    assert tasks[0].cancelled()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_plugin_that_is_being_ended(loop: str, tmp_path: Path) -> None:
    """The plugin gets all of its grace."""
    scripts = Scripts(tmp_path)
    plugin = scripts.sh(
        f"trap 'sleep 0.3; touch {tmp_path}/cleaned; exit 1' TERM; touch {tmp_path}/ready;"
        "while :; do sleep 0.05; done"
    )

    async def main() -> None:
        tasks.append(asyncio.create_task(RawExec(grace=20).exec_plugin(plugin, b"{}", None)))
        while not (tmp_path / "ready").exists():
            await asyncio.sleep(0.001)

    tasks: list[asyncio.Task[bytes]] = []
    run_and_leave(loop, main)
    assert tasks[0].cancelled()
    assert (tmp_path / "cleaned").exists()

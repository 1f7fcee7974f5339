"""`recover` and processes that do not show which attachment they work on.

These are a child that its runtime, killed since, had not quite started, a plugin within execve(),
and a plugin that is killed and has not ended yet.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import (
    AttachmentKey,
    CNIConfig,
    FileCache,
    NetworkAttachment,
    PluginError,
    RuntimeConf,
)
from cni_async.cache.record import encode_record, new_record
from cni_async.operations import orphans
from tests.support.chains import network
from tests.support.processes import is_running, state
from tests.support.scripts import Scripts
from tests.support.wait import eventually, eventually_blocking

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

ME = f"starting{os.getpid()}"
NETNS = f"/run/netns/{ME}"
LONG = 30.0
# Part of a runtime: forks a child, and is killed before the child has executed its plugin.
RUNTIME = """
import json, os, signal, sys, time
seconds, state, plugin, environ = json.loads(sys.argv[1])
if not os.fork():
    os.setsid()
    print(os.getpid(), flush=True)
    os.close(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if state == "S":
            time.sleep(0.01)
    os.execve(plugin, [plugin], environ)
os.kill(os.getpid(), signal.SIGKILL)
"""
PLUGIN = """
sleep 0.3
echo "$CNI_COMMAND" >> "$(dirname "$0")/order"
echo '{"cniVersion": "1.1.0"}'
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    folder = tmp_path / "plugins"
    folder.mkdir()
    scripts = Scripts(folder)
    scripts.sh(PLUGIN, "a")
    return scripts


@pytest.fixture
def start(scripts: Scripts) -> Iterator[Callable[..., int]]:
    children: list[int] = []

    def start(seconds: float, state: str = "R") -> int:
        environ = {
            "PATH": os.defpath,
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": ME,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": NETNS,
            "CNI_PATH": str(scripts.folder),
        }
        order = json.dumps([seconds, state, str(scripts.folder / "a"), environ])
        runtime = subprocess.run(
            [sys.executable, "-IS", "-c", RUNTIME, order], stdout=subprocess.PIPE, check=False
        )
        assert runtime.returncode == -signal.SIGKILL
        children.append(int(runtime.stdout))
        return children[-1]

    yield start
    for child in children:
        if is_running(child):
            os.kill(child, signal.SIGKILL)


async def recovered(scripts: Scripts, tmp_path: Path) -> list[str]:
    """Recover from an ADD that was cut short; return the commands that plugins ran, in order."""
    net, key = network("a"), AttachmentKey("net", ME, "eth0")
    cache = FileCache(tmp_path / "cache", durable=False)
    rt = RuntimeConf(ME, NETNS, "eth0")
    await cache.store(key, encode_record(new_record(key, net.raw, rt), None))
    cni = CNIConfig([scripts.folder], cache=cache)
    with anyio.fail_after(LONG):
        assert len(await cni.recover(delete=True)) == 1
    return (scripts.folder / "order").read_text().split()


async def test_it_is_waited_for(
    scripts: Scripts, tmp_path: Path, start: Callable[..., int]
) -> None:
    child = start(0.5)
    assert await recovered(scripts, tmp_path) == ["ADD", "DEL"]
    assert not is_running(child)


async def test_a_worker_that_sleeps_is_none(
    scripts: Scripts, tmp_path: Path, start: Callable[..., int]
) -> None:
    child = start(LONG, "S")
    assert await recovered(scripts, tmp_path) == ["DEL"]
    assert is_running(child)


async def test_a_worker_that_works_is_waited_for_while_it_is_young(
    scripts: Scripts, tmp_path: Path, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_LONGEST_START", 0.3)
    child = start(LONG)
    assert await recovered(scripts, tmp_path) == ["DEL"]
    assert is_running(child)


async def test_what_starts_later_is_nobody_that_was_killed(
    start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`recover` does not wait for the plugins that other runtimes keep starting."""
    looks: list[frozenset[orphans._Process]] = []
    look = orphans._unidentified

    def spy() -> frozenset[orphans._Process]:
        looks.append(look() | {orphans._Process(1, len(looks))})
        return looks[-1]

    monkeypatch.setattr(orphans, "_unidentified", spy)
    attachment = NetworkAttachment(ME, "net", "eth0", config=network("a").raw, netns=NETNS)
    with anyio.fail_after(LONG):
        assert await orphans.wait_for_orphans([attachment], within=2 * LONG) == {}
    assert len(looks) >= 2


def test_each_is_told_by_when_it_was_forked(start: Callable[..., int]) -> None:
    child = start(LONG)
    found = eventually_blocking(
        lambda: [forked for pid, forked in orphans._unidentified() if pid == child], bool
    )
    now = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    assert 0 <= now - found[0] < LONG * os.sysconf("SC_CLK_TCK")


async def test_the_moment_within_execve(
    scripts: Scripts, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within execve the process has no command line, and is not a copy of the runtime any more."""
    scripts.sh("while :; do :; done", "a")
    child = start(0)
    strings = orphans._strings

    def within_execve(pid: int, name: str) -> list[bytes]:
        return [b""] if pid == child else strings(pid, name)

    await eventually(lambda: b"CNI_COMMAND=ADD" in strings(child, "environ"))
    assert child not in {pid for pid, _ in orphans._unidentified()}
    monkeypatch.setattr(orphans, "_strings", within_execve)
    await eventually(lambda: child in {pid for pid, _ in orphans._unidentified()})


async def test_a_plugin_that_executes_another_program(
    scripts: Scripts, tmp_path: Path, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`recover` saw the process as a plugin before, and so waits for it without a limit."""
    scripts.sh("[ $CNI_COMMAND = DEL ] || while :; do :; done; " + PLUGIN, "a")
    monkeypatch.setattr(orphans, "_LONGEST_START", 0.1)
    child = start(0)
    strings, report = orphans._strings, orphans._still_runs
    seen = threading.Event()

    def within_execve(pid: int, name: str) -> list[bytes]:
        return [b""] if pid == child and seen.is_set() else strings(pid, name)

    def reported(*args: Any) -> PluginError:
        seen.set()
        return report(*args)

    monkeypatch.setattr(orphans, "_strings", within_execve)
    monkeypatch.setattr(orphans, "_still_runs", reported)
    await eventually(lambda: b"CNI_COMMAND=ADD" in strings(child, "environ"))

    async def end() -> None:
        await eventually(seen.is_set)
        await anyio.sleep(0.5)
        assert not (scripts.folder / "order").exists()
        os.kill(child, signal.SIGKILL)

    async with anyio.create_task_group() as group:
        group.start_soon(end)
        assert await recovered(scripts, tmp_path) == ["DEL"]
    assert not is_running(child)


# Its first thread has ended, and the other one still works.
DYING = """
import ctypes, sys, threading, time
def work():
    time.sleep(0.6)
    with open(sys.argv[1], "a") as order:
        order.write("ADD\\n")
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


async def test_a_plugin_that_is_killed_and_has_not_ended(scripts: Scripts, tmp_path: Path) -> None:
    order = str(scripts.folder / "order")
    with subprocess.Popen([sys.executable, "-IS", "-c", DYING, order]) as process:
        # The process is unknown while it starts, too.
        await eventually(lambda: state(process.pid) == "Z")
        assert process.pid in {pid for pid, _ in orphans._unidentified()}
        assert await recovered(scripts, tmp_path) == ["ADD", "DEL"]
        process.kill()


# Waits until the file "go" exists, and then executes another program.
SCRIPT = """
here=$(dirname "$0")
if [ "$CNI_COMMAND" = ADD ]; then
    while [ ! -e "$here/go" ]; do sleep 0.02; done
    exec sh -c 'sleep 0.5; echo ADD >> "$0"' "$here/order"
fi
"""


async def test_a_plugin_that_has_executed_another_program(
    scripts: Scripts, tmp_path: Path, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.sh(SCRIPT + PLUGIN, "a")
    start(0)
    report = orphans._still_runs

    def reported(*args: Any) -> PluginError:
        (scripts.folder / "go").touch()
        return report(*args)

    monkeypatch.setattr(orphans, "_still_runs", reported)
    assert await recovered(scripts, tmp_path) == ["ADD", "DEL"]

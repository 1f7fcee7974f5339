"""Show the costs of an ADD of three plugins on asyncio: ``python -m tests.benchmarks.parts``.

Each line has the time of one call, the CPU time of our own process, its ratio to that of a bare
spawn, and the number of function calls, in Python and C. Below the table is a profile of ADDs, 16
in flight, by the time spent in a function itself. The profiler makes calls slower than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import itertools
import os
import pstats
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, get_args

import anyio

from cni_async import CacheStore, CNIConfig, FileCache, MemoryCache, PluginInfo
from cni_async.conf import conf_list_from_bytes
from cni_async.invoke import RawExec, Spawn
from cni_async.version import plugin_supports

from . import document, documents
from .ours.meter import Meter, in_flight
from .ours.task import Row, container
from .runner import programs
from .scratch import Scratch

_CALLS: Final = 300
_ROUNDS: Final = 5
_COUNTED: Final = 20  # calls
_PROFILED: Final = 30  # lines
_PLACE: Final = re.compile(
    r"(?m)(\s)\S*/(?:lib/python[0-9.]+(?:/site-packages)?|main|[^/\s]*(?=/cni_async))/"
)


class Instantly:
    """An `Exec` whose plugins answer at once."""

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Return the answer of the real executables."""
        return documents.RESULT.encode()

    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        """Return a path without a look at the file system."""
        return os.path.join(paths[0], plugin)

    def decode(self, data: bytes) -> PluginInfo:
        """Return a support of version 1.1.0, whatever the plugin printed."""
        return plugin_supports("1.1.0")


class Parts:
    """The measured calls, from a bare spawn to a whole ADD."""

    def __init__(self, plugins: Path, folder: Path) -> None:
        self._plugins = [str(plugins)]
        self._plugin = str(plugins / documents.PLUGINS[0])
        self._net = conf_list_from_bytes(documents.CHAIN.encode())
        self._request = self._net.plugins[0].raw
        self._env = {**os.environ, "CNI_COMMAND": "ADD"}
        self._folder = folder
        self._ways: dict[Spawn, RawExec] = {way: RawExec(spawn=way) for way in get_args(Spawn)}

    def cni(
        self, exec: Instantly | None, cache: CacheStore | None, way: Spawn = "posix"
    ) -> Callable[[int], Awaitable[object]]:
        """Return a function that adds a new container with each call."""
        spawn = way if exec is None else None
        cni = CNIConfig(self._plugins, exec=exec, cache=cache or self._files(), spawn=spawn)
        numbers = itertools.count()  # each container once
        return lambda _: cni.add_network_list(self._net, container(next(numbers)))

    def _files(self) -> FileCache:
        return FileCache(tempfile.mkdtemp(dir=self._folder), durable=False)

    async def bare(self, _: int) -> None:
        """Start a process and wait for it, and block the event loop meanwhile."""
        files = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        pid = os.posix_spawn(self._plugin, [self._plugin], self._env, file_actions=files)
        os.waitpid(pid, 0)

    async def popen(self, _: int) -> None:
        """Do the same with `subprocess.run`."""
        subprocess.run(
            [self._plugin], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self._env
        )

    async def open_process(self, _: int) -> None:
        """Do the same with `anyio.open_process`, without pipes and without blocking."""
        null = subprocess.DEVNULL
        process = await anyio.open_process(
            [self._plugin],
            stdin=null,
            stdout=null,
            stderr=null,
            env=self._env,
            start_new_session=True,
        )
        await process.wait()

    def plugin(self, way: Spawn) -> Callable[[int], Awaitable[object]]:
        """Return a function that calls a plugin with `RawExec`."""
        exec = self._ways[way]
        return lambda _: exec.exec_plugin(self._plugin, self._request, self._env)


async def _measure(call: Callable[[int], Awaitable[object]], at_once: int) -> Row:
    best: list[Row] = []
    await in_flight(20, at_once, call)
    for _ in range(_ROUNDS):
        meter = Meter()
        await in_flight(_CALLS, at_once, call)
        best.append(meter.each(_CALLS))
    return sorted(best, key=lambda row: row.cpu or 0)[len(best) // 2]


async def _functions(call: Callable[[int], Awaitable[object]]) -> float:
    await call(0)
    profile = cProfile.Profile()
    with profile:
        for number in range(_COUNTED):
            await call(number)
    return sum(entry.callcount for entry in profile.getstats()) / _COUNTED


async def _table(parts: Parts) -> list[str]:
    bare = await _measure(parts.bare, 1)
    lines = [
        "|  | time | CPU of ours | CPU, bare spawns | function calls |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]

    async def line(title: str, call: Callable[[int], Awaitable[object]], at_once: int) -> None:
        row = await _measure(call, at_once)
        assert row.cpu is not None
        assert bare.cpu is not None
        lines.append(
            f"| {title} | {row.value * 1e6:.0f} µs | {row.cpu * 1e6:.0f} µs "
            f"| {row.cpu / bare.cpu:.1f} | {await _functions(call):.0f} |"
        )

    await line("`posix_spawn` and `waitpid`", parts.bare, 1)
    await line("`subprocess.run`", parts.popen, 1)
    for at_once in (1, 16):
        await line(
            f"`anyio.open_process` and `wait`, {at_once} at a time", parts.open_process, at_once
        )
        for way in get_args(Spawn):
            title = f"a plugin called by `RawExec`, {way}, {at_once} at a time"
            await line(title, parts.plugin(way), at_once)
    await line(
        "ADD, its 3 plugins answering at once, cache in memory",
        parts.cni(Instantly(), MemoryCache()),
        16,
    )
    await line("the same, cache in files", parts.cni(Instantly(), None), 16)
    for at_once in (1, 16):
        for way in get_args(Spawn):
            title = f"ADD, 3 plugins, {way}, {at_once} at a time"
            await line(title, parts.cni(None, None, way), at_once)
    return lines


def _profile(parts: Parts) -> list[str]:
    profile = cProfile.Profile()

    async def run() -> None:
        call = parts.cni(None, None)
        await in_flight(20, 16, call)
        profile.enable()
        await in_flight(_CALLS, 16, call)
        profile.disable()

    anyio.run(run)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(_PROFILED)
    rows = [row.rstrip() for row in text.getvalue().splitlines() if row.strip()]
    rows = rows[next(number for number, row in enumerate(rows) if "ncalls" in row) :]
    return ["```text", *(_PLACE.sub(r"\1", row) for row in rows), "```"]


def main(arguments: list[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parts", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="a document with marks in it")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with Scratch(programs(), None) as scratch:
        parts = Parts(scratch.plugins, scratch.path)
        text = "\n".join([*anyio.run(_table, parts), "", *_profile(parts)])
    print(text)
    if options.write:
        document.write(options.write, text, document.PARTS)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Kill a runtime at random moments of its ADDs and DELs, recover, and look for what is left.

Two kinds of kills take turns. One kills only the runtime, and its plugins keep running during the
recovery. The other kills the runtime and all its plugins, as the OOM killer and the end of a cgroup
do. The leftovers of a plugin that was killed during a write of its own are counted separately.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio

from cni_async import (
    CNIConfig,
    CNIError,
    CorruptRecordError,
    FileCache,
    GCArgs,
    GCAttachment,
    conf_list_from_bytes,
)
from cni_async.cache.record import decode_record
from tests.e2e.host import Host
from tests.support.processes import processes_with
from tests.support.wait import eventually_blocking

from .tally import leaks_table

ROOT = Path(__file__).parents[2]
CONTAINERS = 4
# The most seconds until a runtime is killed; an ADD takes half of that.
LONGEST_LIFE = 0.5
# Seconds by which some ADDs are delayed, so that a DEL that does not wait for them comes first.
SLOWNESS = 0.15


@dataclass
class Deaths:
    """The figures of a series of kills."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    alive: int = 0
    orphans: int = 0
    longest_recovery: float = 0.0
    own: Counter[str] = field(default_factory=Counter)
    leaks: dict[str, list[str]] = field(
        default_factory=lambda: {
            kind: []
            for kind in (
                "addresses",
                "interfaces",
                "unreadable records",
                "attachments that were not recovered",
                "what is left at the end",
            )
        }
    )
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing is left."""
        return not any(self.leaks.values())

    def table(self) -> str:
        """Return all figures for people to read."""
        kinds = ", ".join(f"{count} of {kind}" for kind, count in self.kills.items())
        lines = [
            f"kills: seed {self.seed}, {self.kills.total()} in {self.seconds:.0f} s ({kinds})",
            f"  attachments whose ADD was cut short: {self.recovered}, "
            f"that were there: {self.alive}",
            f"  plugins that outlived their runtime: {self.orphans}; "
            f"longest recovery: {self.longest_recovery:.2f} s",
            "  left by plugins that were killed in a write of their own: "
            + (", ".join(f"{name} {count}" for name, count in self.own.items()) or "0"),
            *leaks_table(self.leaks),
        ]
        return "\n".join(lines)


class _Scene:
    """A host with containers and a network, and the runtimes that work on them."""

    def __init__(self, folder: Path, plugins: Path, deaths: Deaths, random: Random) -> None:
        self.host = Host(folder, plugins)
        self.deaths = deaths
        self._random = random
        self.boxes = [self.host.container(f"box{number}") for number in range(CONTAINERS)]
        self._blank = {box.id: box.links() for box in self.boxes}
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipam": self.host.host_local("10.89.0.0/24"),
        }
        document = {"cniVersion": "1.1.0", "name": "net", "plugins": [bridge]}
        self._network = json.dumps(document)
        self.net = conf_list_from_bytes(self._network.encode())
        self._lock_file = folder / "locks"

    def run(self, seconds: float) -> subprocess.Popen[str]:
        """Start a runtime, and return it so many seconds after it has begun to work."""
        self.host.slow_down("bridge", self._random.choice([0, SLOWNESS]))
        order = {
            "path": [str(self.host.plugins)],
            "cache": str(self.host.cache),
            "lock_file": str(self._lock_file),
            "network": self._network,
            "seed": self._random.random(),
            "containers": {box.id: str(box.namespace) for box in self.boxes},
            "backend": self._random.choice(["asyncio", "trio"]),
        }
        runtime = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.runtime", json.dumps(order)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert runtime.stdout is not None
        assert runtime.stdout.readline() == "ready\n"
        time.sleep(seconds)
        return runtime

    def wait_for_orphans(self) -> None:
        """Wait until all plugins have ended.

        `recover` waits only for those of unfinished ADDs, not for a DEL of a complete attachment.
        """
        plugins = str(self.host.plugins)
        eventually_blocking(lambda: processes_with(plugins), lambda left: not left)

    def kill_plugins(self) -> None:
        """Kill the plugins and their children."""

        def kill() -> dict[int, str]:
            left = processes_with(str(self.host.plugins))
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return left

        eventually_blocking(kill, lambda left: not left)

    async def recover(self) -> set[str] | None:
        """Recover as a restarted runtime does, and return the containers that are attached then.

        Return `None` if the recovery fails.
        """
        deaths = self.deaths
        cni = CNIConfig(
            # The plugins here are scripts that execute the real ones.
            [*self.host.cni.path, self.host.real_plugins],
            cache=FileCache(self.host.cache, durable=False),
            timeout=30,
            lock_file=self._lock_file,
        )
        began = time.monotonic()
        try:
            deaths.recovered += len(await cni.recover(delete=True))
            deaths.longest_recovery = max(deaths.longest_recovery, time.monotonic() - began)
            rest = await cni.get_cached_attachments()
            valid = [GCAttachment(one.container_id, one.ifname) for one in rest]
            await cni.gc_network_list(self.net, GCArgs(valid))
        except CNIError as error:
            deaths.leaks["attachments that were not recovered"].append(str(error))
            return None
        deaths.alive += len(rest)
        return {one.container_id for one in rest}

    def look(self, attached: set[str]) -> None:
        """Count what plugins and the cache hold for containers that are not attached."""
        leaks = self.deaths.leaks
        for path in (self.host.cache / "results").glob("*-*"):
            try:
                decode_record(path.read_bytes())
            except CorruptRecordError as error:
                leaks["unreadable records"].append(f"{path.name}: {error}")
        self.deaths.own["empty files of host-local"] += self.host.forget_torn_notes()
        for address, whose in self.host.reserved_for().items():
            if whose[0] not in attached:
                leaks["addresses"].append(f"{address} of {whose}")
        for box in self.boxes:
            if box.id not in attached and (links := box.links() - self._blank[box.id]):
                leaks["interfaces"].append(f"{links} in {box.id}")

    async def clear(self) -> None:
        """Detach all containers, and count what is left."""
        for one in await self.host.cni.get_cached_attachments():
            await self.host.cni.del_attachment(one)
        self.deaths.own["empty files of host-local"] += self.host.forget_torn_notes()
        left = self.host.wait_until_clean()
        # The next writer removes the files that killed writers left, unless they are too young.
        unfinished = self.host.cache / "results" / ".tmp"
        for path in unfinished.iterdir():
            os.utime(path, (0, 0))
        rt = self.boxes[0].at()
        await CNIConfig(self.host.cni.path, cache_dir=self.host.cache).add_network_list(
            self.net, rt
        )
        await self.host.cni.del_network_list(self.net, rt)
        left.pop("records", None)
        left |= self.host.wait_until_clean()
        self.deaths.leaks["what is left at the end"] += [f"{k}: {v}" for k, v in left.items()]


def kill_runtimes(folder: Path, plugins: Path, *, kills: int, seed: int) -> Deaths:
    """Kill so many runtimes, one after the other, on one host.

    Args:
        folder: an empty directory.
        plugins: the reference plugins.
        kills: the number of runtimes.
        seed: for all random decisions.
    """
    started = time.monotonic()
    random = Random(seed)
    deaths = Deaths(seed)
    scene = _Scene(folder, plugins, deaths, random)
    try:
        for number in range(kills):
            runtime = scene.run(random.uniform(0, LONGEST_LIFE))
            with runtime:
                os.killpg(runtime.pid, signal.SIGKILL)
            killed_too = bool(number % 2)
            kind = "the runtime and its plugins" if killed_too else "the runtime alone"
            deaths.kills[kind] += 1
            if killed_too:
                scene.kill_plugins()
            else:
                deaths.orphans += len(processes_with(str(scene.host.plugins)))
            torn = deaths.own.total()
            attached = anyio.run(scene.recover)
            # A plugin that was still running may have created something that has no record.
            scene.wait_for_orphans()
            if attached is not None:
                scene.look(attached)
            assert killed_too or deaths.own.total() == torn, "nobody has interrupted a plugin"
        anyio.run(scene.clear)
    finally:
        scene.host.close()
    deaths.seconds = time.monotonic() - started
    return deaths

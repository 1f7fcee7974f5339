"""The networks and containers of a soak, and what plugins hold for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from cni_async import (
    AttachmentKey,
    CNIConfig,
    NetworkAttachment,
    NetworkConfigList,
    RuntimeConf,
    conf_list_from_bytes,
)
from cni_async.capabilities import PortMapping, capability_args
from cni_async.types import Result
from tests.e2e.host import Host
from tests.support.faulty import FaultyPlugins
from tests.support.processes import processes_with

from .steering import FaultyCache, Running, Steering, WatchedExec
from .tally import Tally
from .verdicts import Verdicts

# Seconds: a deadline that a plugin without a fault never misses.
PATIENT = 60.0


def network(name: str, *plugins: Any) -> NetworkConfigList:
    """Return a network with these plugins."""
    document = {"cniVersion": "1.1.0", "name": name, "plugins": plugins}
    return conf_list_from_bytes(json.dumps(document).encode())


class World:
    """Networks and containers, and three ways to work on them.

    Attributes:
        rolling: rolls back an ADD that failed.
        plain: does not roll back, as libcni does not.
        calm: injects no faults into plugins, and has a long deadline.
        nets: the networks by their names.
        wild: the containers that `plain` may add, and whose records may be damaged. In the end
            they need a DEL with the network's configuration. Plugins may hold nothing for any
            other container without a readable record.
        shaken: the attachments with an operation that did not finish, so that CHECK may fail;
            each with the `clock` at which that operation failed.
        clock: numbers the beginnings and the failures of operations.
        recorded: the address in each attachment's record after the last operation on it, "" for
            none; without the attachments whose address is uncertain.
        at_work: the number of operations in progress on each attachment.
        over: whether no more operations begin.
        foreign: the names of foreign files in the cache that do not hold a valid record.
        suffix: marks the operations of this world in the tally.
        marks: strings that all plugins of this world have in their environment.
        busy: the plugins that the soak may open for writing.
    """

    suffix = ""
    over = False
    marks: list[str]
    busy: list[Path]

    def __init__(
        self,
        nets: list[NetworkConfigList],
        keys: list[AttachmentKey],
        wild: set[str],
        cache: Path,
        lock_file: Path,
        path: list[str],
        random: Random,
        tally: Tally,
        *,
        durable: bool,
        ends: Path | None,
        timeout: float,
        grace: float,
    ) -> None:
        self.nets = {net.name: net for net in nets}
        self.keys = keys
        self.wild = wild
        self.results = cache / "results"
        self.shaken: dict[AttachmentKey, int] = {}
        self.recorded = {key: "" for key in keys if key.container_id not in wild}
        self.at_work = Counter[AttachmentKey]()
        self.foreign: set[str] = set()
        self.clock = 0
        self.steering = Steering(random, tally, share=0.12)
        self._tally = tally
        running = Running(tally)
        verdicts = None if ends is None else Verdicts(ends, tally)

        def records(*, durable: bool) -> FaultyCache:
            return FaultyCache(cache, self.steering, tally, wild, self.shake, durable=durable)

        def config(
            steer: Callable[[str], str], timeout: float, records: FaultyCache, **options: Any
        ) -> CNIConfig:
            exec = WatchedExec(
                steer, tally, running, verdicts, timeout=timeout, grace=grace, max_output=100_000
            )
            return CNIConfig(path, exec=exec, cache=records, lock_file=lock_file, **options)

        def no_fault(command: str) -> str:
            return ""

        steer = no_fault if ends is None else self.steering.plugin
        quick = records(durable=False)
        kept = records(durable=True) if durable else quick
        # A cache that is not durable writes in the event loop's own thread if the disk was fast
        # within the last second (docs/reliability.md). A disk that freezes then stalls the loop.
        self.rolling = config(steer, timeout, kept, rollback=True, cleanup_timeout=PATIENT)
        self.plain = config(steer, timeout, kept)
        self.calm = config(no_fault, PATIENT, quick, cleanup_timeout=PATIENT)

    def shake(self, *keys: AttachmentKey) -> None:
        """Note that these attachments may be incomplete."""
        self.clock += 1
        self.shaken.update(dict.fromkeys(keys, self.clock))

    def rt(self, key: AttachmentKey) -> RuntimeConf:
        """Return the runtime configuration of an attachment."""
        return RuntimeConf(key.container_id, "/run/netns/none", key.ifname)

    def cni(self, key: AttachmentKey, random: Random) -> CNIConfig:
        """Return the `CNIConfig` to add an attachment with."""
        plain = key.container_id in self.wild and random.random() < 0.5
        return self.plain if plain else self.rolling

    def owned(self) -> set[AttachmentKey]:
        """Return the attachments for which plugins hold something."""
        raise NotImplementedError

    def left(self) -> dict[str, set[str]]:
        """Return, by kind, what plugins still hold once no attachment is left."""
        raise NotImplementedError

    def processes(self) -> list[str]:
        """Return the plugins that run, and their children."""
        return [each for mark in self.marks for each in processes_with(mark).values()]

    def records(self) -> set[str]:
        """Return the names of all files in the cache, except its temporary directory."""
        return {path.name for path in self.results.glob("*")} - {".tmp"}

    def temporary_files(self) -> set[str]:
        """Return the names of the cache's temporary files."""
        return {path.name for path in self.results.glob(".tmp/*")}

    def close(self) -> None:
        """Release everything."""


class FakeWorld(World):
    """Fake plugins that commit every fault."""

    def __init__(
        self, folder: Path, caches: Path, random: Random, tally: Tally, *, durable: bool
    ) -> None:
        self._plugins = FaultyPlugins(folder / "plugins")
        self._plugins.install("one", "two", "three")
        self.marks = [str(self._plugins.folder)]
        self.busy = [self._plugins.folder / name for name in ("one", "two", "three")]
        nets = [
            network("red", {"type": "one"}, {"type": "two"}, {"type": "three"}),
            network("green", {"type": "two"}, {"type": "three"}),
            network("blue", {"type": "one"}),
            network("white", {"type": "two"}, {"type": "one"}),
        ]
        wild = {f"wild{number}" for number in range(10)}
        containers = sorted(wild) + [f"tame{number}" for number in range(60)]
        keys = [
            AttachmentKey(net.name, container, ifname)
            for net in nets
            for container in containers
            for ifname in ("eth0", "eth1")
        ]
        super().__init__(
            nets,
            keys,
            wild,
            caches / "fake",
            folder / "locks",
            self._plugins.path,
            random,
            tally,
            durable=durable,
            ends=self._plugins.ends,
            timeout=0.75,
            grace=0.15,
        )

    def owned(self) -> set[AttachmentKey]:
        return {
            AttachmentKey(note.network, note.container_id, note.ifname)
            for note in self._plugins.notes()
        }

    def left(self) -> dict[str, set[str]]:
        return {"ledger entries": {str(note) for note in self._plugins.notes()}}


class RealWorld(World):
    """The plugins bridge, host-local and portmap on a network of their own.

    The driver cancels operations and the cache has faults, but the plugins have none: the library
    is not to blame for what a plugin leaves when it is killed.
    """

    suffix = ", real plugins"

    def __init__(
        self,
        folder: Path,
        caches: Path,
        plugins: Path,
        random: Random,
        tally: Tally,
        *,
        durable: bool,
    ) -> None:
        folder.mkdir()
        self._host = Host(folder, plugins)
        self.marks = [str(self._host.plugins)]
        self.busy = []
        host_local = self._host.host_local("10.89.0.0/24")
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": host_local}
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        nets = [network("net", bridge, portmap)]
        self._boxes = {f"box{number}": self._host.container(f"box{number}") for number in range(6)}
        self._blank = {name: box.links() for name, box in self._boxes.items()}
        keys = [AttachmentKey("net", box, "eth0") for box in self._boxes]
        wild = {"box0", "box1"}
        super().__init__(
            nets,
            keys,
            wild,
            caches / "real",
            folder / "locks",
            [str(self._host.plugins)],
            random,
            tally,
            durable=durable,
            ends=None,
            timeout=PATIENT,
            grace=PATIENT,
        )

    def rt(self, key: AttachmentKey) -> RuntimeConf:
        port = 8000 + list(self._boxes).index(key.container_id)
        args = capability_args(port_mappings=[PortMapping(port, 80, "tcp")])
        return self._boxes[key.container_id].at(key.ifname, capability_args=args)

    def owned(self) -> set[AttachmentKey]:
        self._tally.own["empty files of host-local"] += self._host.forget_torn_notes()
        whose = self._host.reserved_for().values()
        owned = {AttachmentKey("net", container, ifname) for container, ifname in whose}
        return owned | {
            AttachmentKey("net", name, "eth0")
            for name, box in self._boxes.items()
            if box.links() != self._blank[name]
        }

    def left(self) -> dict[str, set[str]]:
        self._tally.own["empty files of host-local"] += self._host.forget_torn_notes()
        left = self._host.wait_until_clean()
        kinds = {
            "addresses": ["addresses"],
            "interfaces": ["links", "interfaces in containers"],
            "iptables rules": ["rules"],
        }
        return {
            name: {str(each) for kind in group for each in left.get(kind, ())}  # type: ignore[attr-defined]
            for name, group in kinds.items()
        }

    def close(self) -> None:
        self._host.close()


def address_in(result: Result | None) -> str:
    """Return the address in an ADD's result, which identifies the ADD, or "" without a result."""
    if result is None:
        return ""
    ips = json.loads(result.to_json()).get("ips")
    return str(ips[0]["address"]) if ips else "no address"


def key_of(one: NetworkAttachment) -> AttachmentKey:
    """Return the key of an attachment."""
    return AttachmentKey(one.network, one.container_id, one.ifname)

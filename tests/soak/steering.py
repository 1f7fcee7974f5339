"""The faults of plugins and of the cache during a soak."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import msgspec

from cni_async import AttachmentKey, CacheError, FileCache, NetworkAttachment, PluginError
from cni_async.invoke import DefaultExec
from tests.support.faulty import CALL, ENDLESS, FAULTS, FOLDER, ODDITIES, VARIABLE

from .foreign import FOREIGN, NETNS
from .tally import PLUGINS, RECORDS, Tally
from .verdicts import Verdicts

# Seconds that the library waits for SIGKILL to take effect.
KILL_WAIT = 0.5
# Each call has an address as its name; this is the first one.
_CALLS = itertools.count(int(IPv4Address("10.0.0.1")))


class Steering:
    """Decides for each call whether it fails and how, until the clean-up begins."""

    def __init__(self, random: Random, tally: Tally, *, share: float) -> None:
        self._random = random
        self._tally = tally
        self._share = share

    def stop(self) -> None:
        """Inject no more faults."""
        self._share = 0

    def plugin(self, command: str) -> str:
        """Return the fault for a plugin to commit, or "" for none."""
        if self._random.random() >= self._share:
            return ""
        # A plugin that hangs takes long, so only a few do.
        kinds = ODDITIES if self._random.random() < 0.2 else FAULTS
        fault = self._random.choice(list(kinds))
        if fault in ENDLESS and self._random.random() < 0.5:
            fault = "fails with words"
        self._tally.faults[fault] += 1
        # No library can detect a plugin that exits with 0 and has not done its work: for DEL, exit
        # 0 means success. So this plugin does its work first.
        lies = command in {"DEL", "GC", "CHECK"} and "exit 0" in FAULTS.get(fault, "")
        return f"{'late' if lies else self._random.choice(['early', 'late'])}:{fault}"

    def cache(self, operation: str) -> int:
        """Return the errno with which an operation of the cache fails, or zero."""
        if self._random.random() >= self._share / 4:
            return 0
        number = self._random.choice([errno.EIO, errno.ENOSPC, errno.EDQUOT])
        self._tally.faults[f"cache {operation}: {errno.errorcode[number]}"] += 1
        return number

    def corruption(self, record: bytes) -> bytes:
        """Return a record, at times damaged."""
        if self._random.random() >= self._share / 2:
            return record
        kind = self._random.choice(["emptied", "truncated", "flipped"])
        self._tally.faults[f"record {kind}"] += 1
        place = self._random.randrange(len(record))
        if kind == "flipped":
            flipped = bytes([record[place] ^ 1 << self._random.randrange(8)])
            return record[:place] + flipped + record[place + 1 :]
        return b"" if kind == "emptied" else record[:place]


class FaultyCache(FileCache):
    """A `FileCache` on a disk that is full at times, or fails, or damages records."""

    def __init__(
        self,
        folder: Path,
        steering: Steering,
        tally: Tally,
        corruptible: Collection[str],
        stays: Callable[[AttachmentKey], None],
        *,
        durable: bool,
    ) -> None:
        """Wrap a cache directory.

        Args:
            folder: libcni's cache directory.
            steering: decides what goes wrong.
            tally: records how long the calls take.
            corruptible: the containers whose records may be damaged.
            stays: called with an attachment whose record may outlive its DEL.
            durable: as in `FileCache`.
        """
        super().__init__(folder, durable=durable)
        self._steering = steering
        self._tally = tally
        self._corruptible = corruptible
        self._stays = stays

    def _fail(self, operation: str, key: AttachmentKey | None) -> None:
        number = self._steering.cache(operation)
        if number:
            name = key.file_name if key else "results"
            raise CacheError(f"{name}: {os.strerror(number).lower()}", path=name)

    async def prepare(self, key: AttachmentKey) -> None:
        self._fail("prepare", key)
        with self._measured():
            await super().prepare(key)

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        self._fail("store", key)
        # A crash of the machine can damage a record.
        if key.container_id in self._corruptible:
            record = self._steering.corruption(record)
        with self._measured():
            await super().store(key, record)

    async def load(self, key: AttachmentKey) -> bytes | None:
        self._fail("load", key)
        with self._measured():
            return await super().load(key)

    async def remove(self, key: AttachmentKey) -> None:
        try:
            self._fail("remove", key)
            with self._measured():
                await super().remove(key)
        except BaseException:  # also a cancellation, while the disk is frozen
            self._stays(key)
            raise

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        self._fail("attachments", None)
        with self._measured():
            return await super().attachments(container_id)

    @contextmanager
    def _measured(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._tally.took(RECORDS, started)


class WatchedExec(DefaultExec):
    """Runs plugins with faults, and reports what the library must not do."""

    def __init__(
        self,
        steer: Callable[[str], str],
        tally: Tally,
        running: Running,
        verdicts: Verdicts | None,
        *,
        timeout: float,
        grace: float,
        max_output: int,
    ) -> None:
        super().__init__(timeout=timeout, grace=grace, max_output=max_output)
        self._steer = steer
        self._tally = tally
        self._running = running
        self._verdicts = verdicts
        self._bound = timeout + grace + KILL_WAIT

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        assert environ is not None
        command = environ["CNI_COMMAND"]
        call = str(IPv4Address(next(_CALLS)))
        folder, plugin = os.path.split(plugin_path)
        environ = {**environ, VARIABLE: self._steer(command), FOLDER: folder, CALL: call}
        self._see_namespace(environ)
        network = msgspec.json.decode(stdin_data).get("name", "")
        with self._running.call(command, network, environ.get("CNI_CONTAINERID", "")):
            started = time.monotonic()
            answer = b""
            failure: PluginError | None = None
            try:
                answer = await super().exec_plugin(plugin_path, stdin_data, environ)
            except PluginError as error:
                failure = error
            finally:
                self._tally.took(PLUGINS, started + self._bound)
            if self._verdicts is not None:
                self._verdicts.compare(call, f"{plugin} {command}", failure)
            if failure is not None:
                raise failure
            return answer

    def _see_namespace(self, environ: Mapping[str, str]) -> None:
        """Report a call for a foreign attachment without the namespace of its record."""
        if environ.get("CNI_CONTAINERID", "").startswith(FOREIGN) and environ["CNI_NETNS"] != NETNS:
            self._tally.violations.append(
                f"{environ['CNI_COMMAND']} of {environ['CNI_CONTAINERID']} is told of no namespace"
            )


class Running:
    """Counts the calls in progress, and reports those that must not run at the same time."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._containers: Counter[str] = Counter()
        self._attaching: Counter[str] = Counter()
        self._collecting: Counter[str] = Counter()
        self._count = 0

    @contextmanager
    def call(self, command: str, network: str, container_id: str) -> Iterator[None]:
        """Count a call during a block, and report it if it must not run beside another."""
        counters = [(self._containers, container_id)] if container_id else []
        if command in {"ADD", "DEL"}:
            counters.append((self._attaching, network))
        elif command == "GC":
            counters.append((self._collecting, network))
        if container_id and self._containers[container_id]:
            self._tally.violations.append(f"two plugins at once for container {container_id}")
        if (command == "GC" and self._attaching[network]) or (
            command in {"ADD", "DEL"} and self._collecting[network]
        ):
            self._tally.violations.append(f"GC and ADD or DEL at once on network {network}")
        for counter, key in counters:
            counter[key] += 1
        self._count += 1
        self._tally.calls += 1
        self._tally.at_once = max(self._tally.at_once, self._count)
        try:
            yield
        finally:
            self._count -= 1
            for counter, key in counters:
                counter[key] -= 1

"""Records that other programs write into a node's cache, and files that are not records."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from cni_async import AttachmentKey, NetworkConfigList

# The prefix of the ids of the containers that those programs attach, and the namespace of all.
FOREIGN = "foreign"
NETNS = "/run/netns/foreign"

_HUGE = 200 * 1024**3
# Levels of JSON: deeper than Python's recursion limit, and deeper than Go reads.
_DEEP = 1000
_TOO_DEEP = 20_000


def go_record(net: NetworkConfigList, key: AttachmentKey, *, netns: bool = True) -> bytes:
    """Return the record that Go's libcni writes: without a namespace before its version 1.2."""
    record: dict[str, Any] = {
        "kind": "cniCacheV1",
        "containerId": key.container_id,
        "config": base64.b64encode(net.raw).decode(),
        "ifName": key.ifname,
        "networkName": key.network,
        **({"netns": NETNS} if netns else {}),
        "result": {
            "cniVersion": "1.1.0",
            "dns": {},
            "interfaces": [{"name": key.ifname, "sandbox": NETNS}],
            "ips": [{"address": "10.99.0.1/24", "interface": 0}],
        },
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _file(change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    def plant(path: Path, record: bytes) -> None:
        path.write_bytes(change(record))

    return plant


def _link(target: str) -> Callable[[Path, bytes], None]:
    def plant(path: Path, record: bytes) -> None:
        path.symlink_to(target)

    return plant


def _link_to_fifo(path: Path, record: bytes) -> None:
    fifo = path.parents[1] / "fifo"
    with suppress(FileExistsError):
        os.mkfifo(fifo)
    path.symlink_to(fifo)


def _huge(path: Path, record: bytes) -> None:
    with path.open("wb") as file:
        file.write(record[:-1])
        file.truncate(_HUGE)


def _deep(levels: int) -> Callable[[bytes], bytes]:
    # msgspec rejects a lone surrogate, and Go accepts it.
    odd = b',"capabilityArgs":{"half":"\\ud800","deep":' + b"[" * levels + b"]" * levels + b"}}"
    return lambda record: record[:-1] + odd


# Whether a record has the container's namespace. If not, its result has it (containerd 1.6).
READABLE: dict[str, bool] = {"Go's": True, "Go's, from before libcni 1.2": False}
# Go reads this one as a record, so the library may remove it; it takes the name of another record.
_IN_PLACE = "deep"
# No attachment can be read from these: the library has to leave them alone.
UNREADABLE: dict[str, Callable[[Path, bytes], None]] = {
    "empty": _file(lambda record: b""),
    "cut off": _file(lambda record: record[: len(record) // 2]),
    "garbage": _file(lambda record: b"\xff\x00{" + record),
    _IN_PLACE: _file(_deep(_DEEP)),
    "too deep": _file(_deep(_TOO_DEEP)),
    "huge and sparse": _huge,
    "of another kind": _file(lambda record: record.replace(b"CacheV1", b"CacheV9")),
    "a bare result": _file(lambda record: b'{"cniVersion":"0.4.0","dns":{}}'),
    "null": _file(lambda record: b"null"),
    "a directory": lambda path, record: path.mkdir(),
    "a link to a FIFO": _link_to_fifo,
    "a link to a device": _link("/dev/zero"),
    "a link to a directory": _link("/proc"),
    "a link to what cannot be read": _link("/proc/self/mem"),
    "a link to itself": lambda path, record: path.symlink_to(path.name),
    "a link to nowhere": _link("/nowhere"),
}


class Hand:
    """Another program, which writes records in place, as Go's libcni does.

    Attributes:
        unreadable: the names of its files that do not hold a valid record.
    """

    def __init__(
        self,
        results: Path,
        nets: list[NetworkConfigList],
        corruptible: list[AttachmentKey],
        random: Random,
    ) -> None:
        """Write into a directory of records.

        Args:
            results: the directory of records.
            nets: the networks to which the program attaches its own containers.
            corruptible: the attachments whose records it overwrites.
            random: for all decisions.
        """
        self._results = results
        self._nets = nets
        self._corruptible = corruptible
        self._random = random
        self.unreadable: set[str] = set()

    def write(self) -> str:
        """Write a file, and return its kind."""
        random = self._random
        kind = random.choice([*READABLE, *UNREADABLE])
        net = random.choice(self._nets)
        # Different names, because a DEL of the foreign container must not remove the odd file.
        container_id = "odd" if kind in UNREADABLE else FOREIGN
        key = AttachmentKey(net.name, f"{container_id}{random.randrange(20)}", "eth0")
        own = kind == _IN_PLACE or (kind in UNREADABLE and random.random() < 0.5)
        if own:
            key = random.choice(self._corruptible)
        path = self._results / key.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(path)
        record = go_record(net, key, netns=READABLE.get(kind, True))
        plant = UNREADABLE.get(kind, lambda path, record: path.write_bytes(record))
        with suppress(OSError):  # the library has just written a record of that name
            plant(path, record)
        if kind in UNREADABLE and not own:
            self.unreadable.add(path.name)
        return kind


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        try:
            path.unlink()
        except IsADirectoryError:
            path.rmdir()

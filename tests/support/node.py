"""A node whose plugins hold a file for each container from ADD to DEL."""

from __future__ import annotations

import base64
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cni_async import CNIConfig, FileCache, RuntimeConf
from cni_async.invoke import DefaultExec
from tests.support.chains import network
from tests.support.scripts import Scripts
from tests.support.wait import eventually, lines

_PLUGIN = """
hang() {
    [ -e "$0.$CNI_COMMAND.hangs" ] || return 0
    sleep 60 &
    echo "$$ $!" >>"$0.$CNI_COMMAND.pids"
    wait
}
held="$store/$CNI_CONTAINERID.${0##*/}"
case $CNI_COMMAND in
ADD)
    echo held >"$held"
    hang
    [ "${0##*/}" != bad ] || { echo '{"code": 100, "msg": "no"}'; exit 1; }
    echo '{"cniVersion": "1.1.0"}' ;;
DEL)
    hang
    : >"$held" ;;
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}' ;;
esac
"""

_A = network("a")


def rt(container_id: str = "c1") -> RuntimeConf:
    """Return a container's runtime configuration, with a namespace that no other test has."""
    return RuntimeConf(container_id, f"/run/netns/of-{os.getpid()}", "eth0")


class Watched(DefaultExec):
    """Runs plugins as processes, and records which calls it began."""

    def __init__(self) -> None:
        super().__init__(grace=30)  # a shell ends at SIGTERM, so no plugin takes that long
        self.begun: list[str] = []

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Run a plugin."""
        assert environ is not None
        self.begun.append(f"{Path(plugin_path).name} {environ['CNI_COMMAND']}")
        return await super().exec_plugin(plugin_path, stdin_data, environ)


class Node:
    """Plugins, the files that they hold, and the cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = folder / "store"
        self._results = folder / "cache" / "results"
        (self._results / ".tmp").mkdir(parents=True, exist_ok=True)
        self._plugins = folder / "plugins"
        if not self._store.exists():  # another process may have made this node
            self._store.mkdir()
            self._plugins.mkdir()
            for name in ("a", "b", "bad"):
                body = f"store={shlex.quote(str(self._store))}\n{_PLUGIN}"
                Scripts(self._plugins).sh(body, name)
        self.exec = Watched()
        self.plain = self.make()
        self.rolling = self.make(rollback=True)

    def make(self, **options: Any) -> CNIConfig:
        """Make another `CNIConfig` with the same plugins and cache."""
        options = {
            "exec": self.exec,
            # A real cache, but without fsync, which is slow.
            "cache": FileCache(self.folder / "cache", durable=False),
            "lock_file": self.folder / "lock",
            **options,
        }
        return CNIConfig([str(self._plugins)], **options)

    def held(self) -> set[str]:
        """Return the files that plugins hold, as in ``{"c1.a"}``."""
        return {file.name for file in self._store.iterdir() if file.stat().st_size}

    def records(self) -> dict[str, bool]:
        """Return, by container, whether its record is of a finished ADD."""
        files = [file for file in self._results.iterdir() if file.name != ".tmp"]
        objects = [json.loads(file.read_bytes()) for file in files]
        return {each["containerId"]: "result" in each for each in objects}

    def put(self, begun: tuple[str, ...], completed: tuple[str, ...]) -> None:
        """Make these attachments of plugin a, and no others.

        Args:
            begun: the containers with an unfinished ADD.
            completed: the containers with a finished ADD.
        """
        for file in (*self._store.iterdir(), *self._results.glob("*-*")):
            file.unlink()
        for container_id in begun + completed:
            (self._store / f"{container_id}.a").write_text("held")
            record: dict[str, Any] = {
                "kind": "cniCacheV1",
                "containerId": container_id,
                "config": base64.b64encode(_A.raw).decode(),
                "ifName": "eth0",
                "networkName": "net",
            }
            if container_id in completed:
                record["result"] = {"cniVersion": "1.1.0"}
            (self._results / f"net-{container_id}-eth0").write_text(json.dumps(record))
        self.exec.begun.clear()

    def hang(self, plugin: str, *commands: str) -> None:
        """Make a plugin hang at these commands, with a child of its own, and at no others.

        Both end at the first signal.
        """
        for command in ("ADD", "DEL"):
            marker = self._plugins / f"{plugin}.{command}.hangs"
            if command in commands:
                marker.touch()
            else:
                marker.unlink(missing_ok=True)

    async def hangs(self, plugin: str, command: str) -> list[int]:
        """Wait until a plugin hangs, and return its process ID and its child's."""
        found = await eventually(lambda: lines(self._plugins / f"{plugin}.{command}.pids"))
        return [int(pid) for pid in found[-1].split()]

    def unfinished_files(self) -> list[Path]:
        """Return the temporary files in the cache."""
        return list((self._results / ".tmp").iterdir())

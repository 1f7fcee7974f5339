"""A "host" for each test: a network of its own, and all that plugins leave on a machine.

Plugins act on the network of the process that starts them. So that they act on the test's host
and on no other, each is a script that enters the host's namespace and there becomes the real
plugin; one that another plugin delegates to (IPAM) is found in the same directory.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any

from cni_async import CNIConfig, RuntimeConf
from tests.support.netns import Namespace, namespace
from tests.support.processes import processes_with
from tests.support.wait import PATIENCE, eventually

# A rule for one attachment has its address or id in it, or is in a chain named by a
# hash; the rest is made once, for all, and stays.
_RULE_OF_AN_ATTACHMENT = re.compile(r"^:CNI-(DN-)?[0-9a-f]{20}|^-A .*( -[sd] |id: )")
# host-local keeps these beside a file for each address.
_NOTE_ON_ADDRESSES = re.compile(r"lock|last_reserved_ip\.\d+")

# Nobody else is there to have an address already, so none is kept waiting a second for it.
_BOOT = """
ip link set lo up
for dad in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >"$dad"; done
"""


@dataclass(frozen=True)
class Container:
    """A container: to CNI it is an id and a network namespace."""

    id: str
    namespace: Namespace

    def at(
        self,
        ifname: str = "eth0",
        *,
        args: Sequence[tuple[str, str]] = (),
        capability_args: Mapping[str, Any] | None = None,
    ) -> RuntimeConf:
        """Return the runtime configuration of an attachment."""
        return RuntimeConf(
            self.id, str(self.namespace), ifname, args=args, capability_args=capability_args or {}
        )

    def links(self) -> set[str]:
        """Return the names of all interfaces."""
        return self.namespace.links()

    def interface(self, name: str = "eth0") -> dict[str, Any]:
        """Return an interface as ``ip`` reports it."""
        found: list[dict[str, Any]]
        found = json.loads(self.namespace.run("ip", "-json", "-detail", "address", "show", name))
        return found[0]

    def addresses(self, ifname: str = "eth0") -> set[IPv4Interface | IPv6Interface]:
        """Return the addresses of an interface, but for the link-local ones."""
        return {
            ip_interface(f"{each['local']}/{each['prefixlen']}")
            for each in self.interface(ifname)["addr_info"]
            if each["scope"] != "link"
        }


class Host:
    """A machine for one test; `leftovers` returns what plugins and the library left on it."""

    def __init__(self, folder: Path, plugins: Path) -> None:
        """Set it up; `close` takes it down.

        Args:
            folder: an empty directory, for all that belongs to it.
            plugins: the reference plugins.
        """
        self._stack = ExitStack()
        self.network = self._stack.enter_context(namespace())
        self.network.run("sh", "-ec", _BOOT)
        self._blank = self.network.links()
        self._containers: dict[str, tuple[Container, ExitStack]] = {}
        self.real_plugins = plugins
        self._held_up = folder / "held-up"
        self.cache = folder / "cache"
        self._addresses = folder / "addresses"
        self._tuning = folder / "tuning"
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        for plugin in plugins.iterdir():
            self._install(plugin.name, 'exec "$@"')
        self.cni = CNIConfig([self.plugins], cache_dir=self.cache, timeout=30)

    def close(self) -> None:
        """Release all namespaces."""
        for container in list(self._containers):
            self.remove(container)
        self._stack.close()

    def container(self, container_id: str = "blue") -> Container:
        """Make a container."""
        stack = ExitStack()
        container = Container(container_id, stack.enter_context(namespace()))
        self._containers[container_id] = container, stack
        return container

    def remove(self, container_id: str) -> None:
        """Remove a container, as if its last process ended."""
        self._containers.pop(container_id)[1].close()

    # The names in network configurations.

    def host_local(self, *ranges: str | Mapping[str, str], **more: Any) -> dict[str, Any]:
        """Configure host-local: an address of each of these subnets or ranges."""
        sets = [[{"subnet": each} if isinstance(each, str) else each] for each in ranges]
        return {"type": "host-local", "dataDir": str(self._addresses), "ranges": sets, **more}

    def tuning(self, **more: Any) -> dict[str, Any]:
        """Configure tuning."""
        return {"type": "tuning", "dataDir": str(self._tuning), **more}

    # The state of the host.

    def links(self) -> set[str]:
        """Return the names of all links that were not there from the beginning."""
        return self.network.links() - self._blank

    def reserved(self) -> set[str]:
        """Return the addresses that host-local holds reserved."""
        return {path.name for path in self._reservations()}

    def reserved_for(self) -> dict[str, tuple[str, ...]]:
        """Return whose they are: container ID and interface name; () for a torn note."""
        return {path.name: tuple(path.read_text().split()) for path in self._reservations()}

    def records(self) -> set[str]:
        """Return the file names of all attachments in the cache, and of unfinished ones."""
        return {path.name for path in (self.cache / "results").rglob("*") if path.is_file()}

    def rules(self) -> list[str]:
        """Return the iptables rules and chains that belong to attachments."""
        saved = "".join(map(self.network.run, ("iptables-save", "ip6tables-save")))
        return [line for line in saved.splitlines() if _RULE_OF_AN_ATTACHMENT.search(line)]

    def leftovers(self) -> dict[str, object]:
        """Return, by kind, what attachments have left; not bridges, which plugins keep."""
        bridges = json.loads(self.network.run("ip", "-json", "link", "show", "type", "bridge"))
        left = {
            "links": self.links() - {bridge["ifname"] for bridge in bridges if bridge},
            "interfaces in containers": {
                f"{container.id}: {name}"
                for container, _ in self._containers.values()
                for name in container.links() - self._blank
            },
            "rules": self.rules(),
            "addresses": self.reserved(),
            "records": self.records(),
            "notes of tuning": {path.name for path in self._tuning.glob("*")},
            "processes": self._processes(),
        }
        return {kind: found for kind, found in left.items() if found}

    def wait_until_clean(self, timeout: float = PATIENCE) -> dict[str, object]:
        """Return `leftovers`, after some time if that takes them away.

        The kernel removes the interfaces of a namespace a little after the namespace.
        """
        deadline = time.monotonic() + timeout
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def forget_torn_notes(self) -> int:
        """Remove the empty notes of plugins that were ended while writing; return how many.

        host-local and tuning create a file and then write it. An empty file does not name its
        owner. One in some hundred cancellations leaves such a file.
        """
        notes = (*self._reservations(), *self._tuning.glob("*"))
        torn = [note for note in notes if note.stat().st_size == 0]
        for note in torn:
            note.unlink()
        return len(torn)

    def _reservations(self) -> list[Path]:
        files = self._addresses.glob("*/*")
        return [file for file in files if not _NOTE_ON_ADDRESSES.fullmatch(file.name)]

    def _processes(self) -> list[str]:
        """List plugins that still run, and their children."""
        # All have our directory of plugins in CNI_PATH.
        return list(processes_with(str(self.plugins)).values())

    # Obstacles.

    def uninstall(self, plugin: str) -> None:
        """Remove a plugin."""
        (self.plugins / plugin).unlink()

    def hold_up(self, plugin: str, *, after: bool) -> None:
        """Make a plugin's ADD take forever: before it does anything, or after it did it all."""
        work = '"$@"' if after else ":"
        hold = f"touch {shlex.quote(str(self._held_up))}; exec sleep 600"
        self._install(plugin, f'[ "$CNI_COMMAND" != ADD ] && exec "$@"\n{work}\n{hold}')

    def slow_down(self, plugin: str, seconds: float) -> None:
        """Make a plugin's ADD wait before it does anything."""
        self._install(plugin, f'[ "$CNI_COMMAND" != ADD ] || sleep {seconds}\nexec "$@"')

    async def held_up(self) -> None:
        """Wait until a plugin is held up."""
        await eventually(self._held_up.exists)

    def _install(self, plugin: str, script: str) -> None:
        # No "--": like an interpreter, nsenter is known for a plugin by its few words.
        enter = ["nsenter", f"--net={self.network}", str(self.real_plugins / plugin)]
        path = self.plugins / plugin
        path.write_text(f"#!/bin/sh\nset -- {shlex.join(enter)}\n{script}\n")
        path.chmod(0o755)

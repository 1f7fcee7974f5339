"""Plugins of a runtime that was killed in the middle of a call.

SIGKILL hits the runtime and nobody else: the plugin that it waited for runs on. A DEL that does
not wait for the ADD it undoes comes too early, and what that ADD still does nobody knows of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

import anyio

from ._threads import in_thread
from .attachment import added_with
from .cache import AttachmentKey, NetworkAttachment
from .errors import PluginError

# How often it is looked again: first soon, then less often.
_FIRST_TICK: Final = 0.01
_LAST_TICK: Final = 0.2
_COMMANDS: Final = {b"CNI_COMMAND=ADD": "ADD", b"CNI_COMMAND=DEL": "DEL"}

_Owner = tuple[str, str, str]  # container ID, interface name and network namespace


async def wait_for_orphans(
    attachments: Iterable[NetworkAttachment], *, within: float
) -> dict[AttachmentKey, PluginError]:
    """Wait until no plugin works on any of these attachments.

    A plugin is known by its environment, by its name, and by being the leader of its session, as
    all are that `RawExec` starts; a daemon that it leaves behind is no leader of the plugin's name.
    Processes of which the system does not tell us that are not seen.

    Args:
        attachments: whose.
        within: seconds to wait.

    Returns:
        for each attachment that a plugin works on still, an error that says so.
    """
    wanted: dict[_Owner, list[tuple[AttachmentKey, frozenset[str]]]] = {}
    for one in attachments:
        if net := added_with(one):
            key = AttachmentKey(one.network, one.container_id, one.ifname)
            types = frozenset(plugin.network.type for plugin in net.plugins)
            wanted.setdefault((one.container_id, one.ifname, one.netns), []).append((key, types))

    def look() -> dict[AttachmentKey, PluginError]:
        return {
            key: _still_runs(plugin, command, pid)
            for owner, command, pid, names in _leaders_of(wanted)
            for key, types in wanted[owner]
            for plugin in types & names
        }

    running: dict[AttachmentKey, PluginError] = {}
    limiter = anyio.CapacityLimiter(1)  # the default one may be taken by who knows what
    tick = _FIRST_TICK
    with anyio.move_on_after(within):
        while wanted:
            # What /proc tells of a process that hangs in the kernel can be long in coming.
            try:
                running = await in_thread(look, limiter=limiter)
            except OSError:
                # There is no thread to be had; nearly always /proc does answer.
                running = look()
            if not running:
                break
            await anyio.sleep(tick)
            tick = min(2 * tick, _LAST_TICK)
    return running


def _still_runs(plugin: str, command: str, pid: int) -> PluginError:
    return PluginError(
        f"plugin {plugin} still runs (process {pid}), for a runtime that is gone",
        plugin=plugin,
        command=command,
        retryable=True,
    )


def _leaders_of(owners: Iterable[_Owner]) -> Iterator[tuple[_Owner, str, int, frozenset[str]]]:
    """Find leaders of a session that ADD or DEL: for whom, which, the process, its names."""
    # A DEL may have been told of no namespace, as it may be gone; another one is another
    # container's, of a runtime that uses the same IDs.
    marks = [
        (frozenset(map(os.fsencode, (f"CNI_CONTAINERID={id}", f"CNI_IFNAME={ifname}", netns))), of)
        for of in owners
        for id, ifname, where in [of]
        for netns in {f"CNI_NETNS={where}", "CNI_NETNS="}
    ]
    for pid in _pids():
        try:
            if os.getsid(pid) != pid:
                continue
            environ = _strings(pid, "environ")
            commands = environ & _COMMANDS.keys()
            if not commands:
                continue
            # A script's interpreter comes first, and may have options.
            words = _strings(pid, "cmdline")
        except OSError:
            continue  # it has just ended, or is none of our business
        names = frozenset(os.path.basename(os.fsdecode(word)) for word in words)
        for mark, owner in marks:
            if mark <= environ:
                yield owner, _COMMANDS[min(commands)], pid, names


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _strings(pid: int, name: str) -> frozenset[bytes]:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return frozenset(file.read().split(b"\0"))

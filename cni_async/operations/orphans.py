"""Plugins of a runtime that was killed in the middle of a call.

SIGKILL ends only the runtime. The plugin it was waiting for keeps running, and the child that it
was starting still executes its plugin. A DEL that does not wait for the ADD it undoes comes too
early, and no record shows the later changes of that ADD.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Final, NamedTuple

import anyio
import msgspec

from cni_async._async.threads import in_thread
from cni_async.errors import PluginError
from cni_async.model.attachment import AttachmentKey, NetworkAttachment

from .recorded import recorded_network

# Seconds between looks: short at first, then longer.
_FIRST_TICK: Final = 0.01
_LAST_TICK: Final = 0.2
_COMMANDS: Final = {b"CNI_COMMAND=ADD": "ADD", b"CNI_COMMAND=DEL": "DEL"}
# /proc appends this to the path of an executable that was removed.
_DELETED: Final = " (deleted)"

# include/linux/sched.h: no execve() since the fork; a kernel thread.
_PF_FORKNOEXEC: Final = 0x40
_PF_KTHREAD: Final = 0x200000
# Seconds from the fork to the execution of a plugin, or from SIGKILL to the end of one, on the
# busiest machine; usually less than a thousandth of that.
_LONGEST_START: Final = 2.0

_Owner = tuple[str, str, str]  # container ID, interface name and network namespace


async def wait_for_orphans(
    attachments: Iterable[NetworkAttachment], path: Sequence[str] = (), *, within: float
) -> dict[AttachmentKey, PluginError]:
    """Wait until no plugin works on any of these attachments.

    A plugin is recognized by its environment, by its executable, and as the leader of its session,
    as are all that `RawExec` starts. The caller also waits for a process whose work cannot be
    identified, but at most two seconds unless it was such a plugin before. Only processes of this
    user and this PID namespace are examined: any user can choose the environment of a process, and
    can make reading it never end.

    Args:
        attachments: the attachments to wait for.
        path: the directories with plugins, besides those in the CNI_PATH of a process.
        within: seconds to wait.

    Returns:
        an error for each attachment that a plugin still works on.
    """
    watch = _Watch(attachments, path)
    running: dict[AttachmentKey, PluginError] = {}
    limiter = anyio.CapacityLimiter(1)  # the default one may be exhausted by other work
    tick = _FIRST_TICK
    clean_looks = 0
    with anyio.move_on_after(within):
        while watch.wanted:
            # Reading /proc can take long for a process that hangs in the kernel.
            try:
                running = await in_thread(watch.look, limiter=limiter)
            except OSError:
                # No thread can be started; /proc nearly always answers.
                running = watch.look()
            # A plugin that executes another program between the two halves of a look is in neither.
            clean_looks = 0 if running or watch.unknown else clean_looks + 1
            if clean_looks == 2:
                break
            await anyio.sleep(tick)
            tick = min(2 * tick, _LAST_TICK)
    return running


class _Watch:
    """Looks for plugins that work on attachments.

    Attributes:
        wanted: the keys of the attachments and the types of their plugins, by owner.
        unknown: the processes of the last look that may be such a plugin.
    """

    def __init__(self, attachments: Iterable[NetworkAttachment], path: Sequence[str]) -> None:
        self.wanted: dict[_Owner, list[tuple[AttachmentKey, frozenset[str]]]] = {}
        for one in attachments:
            if net := recorded_network(one):
                key = AttachmentKey(one.network, one.container_id, one.ifname)
                types = frozenset(plugin.network.type for plugin in net.plugins)
                owner = (one.container_id, one.ifname, one.netns)
                self.wanted.setdefault(owner, []).append((key, types))
        self.unknown: set[_Process] = set()
        self._path = path
        self._began = time.monotonic()
        self._at_first: frozenset[_Process] | None = None
        self._seen: dict[int, str] = {}

    def look(self) -> dict[AttachmentKey, PluginError]:
        """Return an error for each attachment that a plugin works on now."""
        # First: a process that executes its plugin meanwhile is seen below. A process that starts
        # later is not a child of a runtime that is gone.
        found = _unidentified()
        if self._at_first is None:
            self._at_first = found
        elif time.monotonic() - self._began > _LONGEST_START:
            self._at_first = frozenset()
        self.unknown = {one for one in found if one in self._at_first or one.pid in self._seen}
        running: dict[AttachmentKey, PluginError] = {}
        for owner, command, pid in _session_leaders(self.wanted):
            for key, types in self.wanted[owner]:
                for plugin in types:
                    # A plugin seen before may be a script that has since executed another program.
                    if self._seen.get(pid) == plugin or _runs(pid, plugin, self._path):
                        self._seen[pid] = plugin
                        running[key] = _still_runs(plugin, command, pid)
        return running


def _still_runs(plugin: str, command: str, pid: int) -> PluginError:
    return PluginError(
        f"plugin {plugin} still runs (process {pid}), for a runtime that is gone",
        plugin=plugin,
        command=command,
        retryable=True,
    )


def _session_leaders(owners: Iterable[_Owner]) -> Iterator[tuple[_Owner, str, int]]:
    """Find session leaders that run ADD or DEL: yield the owner, the command and the PID."""
    # A DEL may have an empty namespace, as the namespace may be gone; another namespace belongs to
    # another container, of a runtime that uses the same IDs.
    marks: list[tuple[frozenset[bytes], _Owner]] = []
    for owner in owners:
        container_id, ifname, where = owner
        for netns in {where, ""}:
            variables = (
                f"CNI_CONTAINERID={container_id}",
                f"CNI_IFNAME={ifname}",
                f"CNI_NETNS={netns}",
            )
            with suppress(ValueError):  # a lone surrogate: no process has one
                marks.append((frozenset(map(os.fsencode, variables)), owner))
    try:
        ours = _Rights.of("self")
    except OSError:
        return
    for pid in _pids():
        try:
            if os.getsid(pid) != pid or _Rights.of(pid) != ours:
                continue
            environ = frozenset(_strings(pid, "environ"))
        except OSError:
            continue  # it has just ended, or is not readable for this user
        commands = environ & _COMMANDS.keys()
        if not commands:
            continue
        for mark, owner in marks:
            if mark <= environ:
                yield owner, _COMMANDS[min(commands)], pid


class _Process(NamedTuple):
    """A process, distinguished from a later one with the same PID.

    Attributes:
        pid: its process ID.
        forked: when it was forked, in ticks of the kernel's clock.
    """

    pid: int
    forked: int


def _unidentified() -> frozenset[_Process]:
    """Find processes whose work cannot be identified at this moment.

    - Until it executes its plugin, the child of a runtime has the runtime's memory, and so its
      command line and environment. The workers of a program that forks look the same, but are
      older, or sleep.
    - Within execve() a process has no command line or environment for a moment. A plugin may be a
      script that executes another program.
    - A process that is killed loses them with its first thread; another one may be in the kernel,
      and make an interface before it ends.
    """
    try:
        ours = _Rights.of("self")
        ticks = os.sysconf("SC_CLK_TCK")
        youngest = (time.clock_gettime(time.CLOCK_BOOTTIME) - _LONGEST_START) * ticks
    except (OSError, ValueError, AttributeError):  # a /proc that is not Linux's
        return frozenset()
    found: set[_Process] = set()
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
            # proc_pid_stat(5): "pid (comm) state ppid …"; comm may hold anything, parentheses too.
            fields = stat[stat.rindex(b")") + 2 :].split()
            state, flags, threads, forked = fields[0], *map(int, itemgetter(6, 17, 19)(fields))
            if flags & _PF_KTHREAD or (state == b"Z") != (threads > 1) or _Rights.of(pid) != ours:
                continue
            if state in {b"R", b"D"}:
                is_child = flags & _PF_FORKNOEXEC and forked >= youngest
                is_unknown = is_child or _strings(pid, "cmdline") == [b""]
            else:
                is_unknown = state == b"Z"
            if is_unknown:
                found.add(_Process(pid, forked))
        except OSError:
            continue  # it has just ended, or is not readable for this user
    return frozenset(found)


class _Rights(msgspec.Struct, frozen=True):
    """The users and PID namespace of a process, from the kernel; the process cannot choose them.

    Attributes:
        users: its real and effective user ID; they differ in a set-user-ID program.
        namespace: its PID namespace, as device and inode; those below ours can be seen, too.
    """

    users: tuple[bytes, bytes]
    namespace: tuple[int, int]

    @classmethod
    def of(cls, pid: int | str) -> _Rights:
        with open(f"/proc/{pid}/status", "rb") as file:
            [ids] = [line for line in file if line.startswith(b"Uid:")]
        _, real, effective, *_ = ids.split()
        try:
            namespace = os.stat(f"/proc/{pid}/ns/pid")
        except FileNotFoundError:  # a kernel without PID namespaces, or it has just ended
            return cls((real, effective), (0, 0))
        return cls((real, effective), (namespace.st_dev, namespace.st_ino))


def _runs(pid: int, plugin: str, path: Sequence[str]) -> bool:
    """Return whether a process runs a plugin, even if the plugin's file was replaced since."""
    try:
        executable = _Executable.of(pid)
        words = [os.fsdecode(word) for word in _strings(pid, "cmdline")]
        environ = [os.fsdecode(each) for each in _strings(pid, "environ")]
        folder = os.readlink(f"/proc/{pid}/cwd")  # its runtime's, unless it has left it
    except OSError:
        return False
    variables: dict[str, str] = {}
    for each in environ:
        name, _, value = each.partition("=")
        variables[name] = value
    own = [os.path.join(folder, each) for each in variables.get("CNI_PATH", "").split(":") if each]
    places = {
        os.path.abspath(os.path.join(directory, plugin))
        for directory in [*filter(None, path), *own]
        if _can_exist(directory) and _can_exist(plugin)
    }
    if words[0] in places:
        # A plugin is started under this name, but another program may use the name too. A plugin's
        # file may have been moved since, or a symlink on its path changed.
        folders = {os.path.realpath(os.path.dirname(place)) for place in places}
        return (
            executable.name == plugin
            or executable.folder in folders
            or any(executable.is_file(place) for place in places)
        )
    if executable.name == plugin and any(executable.is_file(place) for place in places):
        return True  # it was given another name
    # The kernel starts a script's interpreter with at most one argument and the script's path.
    return (
        len(words) > 1
        and words[-1] in places
        and _interprets(executable, words, variables.get("PATH", os.defpath))
    )


def _can_exist(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except ValueError:  # a lone surrogate
        return False


def _interprets(executable: _Executable, words: list[str], path: str) -> bool:
    """Return whether an executable is the interpreter of the script named by the last word."""
    try:
        with open(words[-1], "rb", opener=_open_at_once) as file:
            first = file.readline(256)
    except OSError:
        first = b""
    if not first.startswith(b"#!"):
        # The script was removed, or a program is in its place.
        return len(words) <= 3
    interpreter, *arguments = os.fsdecode(first[2:].partition(b"\0")[0]).split() or [""]
    if executable.is_file(interpreter):
        return len(words) <= 3
    if os.path.basename(interpreter) != "env":
        return False
    # env(1) becomes another program, and with -S passes it arguments.
    programs = (each for each in arguments if each[0] != "-" and "=" not in each)
    found = shutil.which(next(programs, ""), path=path)
    return found is not None and executable.is_file(found)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # does not block on a FIFO


class _Executable(msgspec.Struct, frozen=True):
    """The file that a process executes.

    Attributes:
        path: its path, also if it was removed.
        file: its device and inode.
    """

    path: str
    file: tuple[int, int]

    @classmethod
    def of(cls, pid: int) -> _Executable:
        link = f"/proc/{pid}/exe"
        found = os.stat(link)
        return cls(os.readlink(link).removesuffix(_DELETED), (found.st_dev, found.st_ino))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path)

    def is_file(self, path: str) -> bool:
        """Return whether it is the file at this path, or was until that was replaced."""
        try:
            found = os.stat(path)
            if (found.st_dev, found.st_ino) == self.file:
                return True
        except OSError:
            pass
        return os.path.realpath(path) == self.path


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _strings(pid: int, name: str) -> list[bytes]:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().removesuffix(b"\0").split(b"\0")

"""Looking at processes that are not our children."""

from __future__ import annotations

import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is more than a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def is_asleep(pid: int) -> bool:
    """Tell whether a process waits for something, and not in the middle of a vfork."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0] == "S"


def processes_with(mark: str) -> dict[int, str]:
    """Return the processes, zombies excepted, that have a text in their environment."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode(errors="replace")
        except OSError:
            continue  # it just ended
    return found


def wait_until_gone(*pids: int, timeout: float = 2) -> bool:
    """Wait for processes to end (a kill takes effect a little later); tell whether all did."""
    deadline = time.monotonic() + timeout
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True

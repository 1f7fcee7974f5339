"""Looking at processes that are not our children."""

from __future__ import annotations

import signal
from pathlib import Path

from .wait import PATIENCE, eventually, eventually_blocking


def ignore_no_signals() -> None:
    """Undo what this process has inherited, and what all that it starts would inherit.

    nohup ignores SIGHUP, a shell's background jobs SIGINT and SIGQUIT, and a supervisor may ignore
    any.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


def state(pid: int) -> str:
    """Return the letter for what a process is doing, as in /proc/PID/stat; "X" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def command(pid: int) -> str:
    """Return the command line of a process; "" for a zombie, or if there is none."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
        )
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is more than a zombie."""
    return state(pid) not in "ZX"


def is_asleep(pid: int) -> bool:
    """Tell whether a process waits for something, and not in the middle of a vfork."""
    return state(pid) == "S"


async def comes_to_rest(pid: int) -> None:
    """Wait until a process is asleep at ten looks, one after the other.

    A signal then hardly hits it in the middle of something.
    """
    looks = 0

    def count() -> int:
        nonlocal looks
        looks = looks + 1 if is_asleep(pid) else 0
        return looks

    await eventually(count, lambda looks: looks >= 10, within=2 * PATIENCE, every=0.02)


def is_stopped(pid: int) -> bool:
    """Tell whether a signal has stopped a process."""
    return state(pid) == "T"


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


def wait_until_gone(*pids: int, timeout: float = PATIENCE) -> bool:
    """Wait for processes to end: a kill takes effect a little later, on a busy machine later still.

    Raises:
        AssertionError: they do not; says which. So it never returns False.
    """
    eventually_blocking(
        lambda: [pid for pid in pids if is_running(pid)], lambda left: not left, within=timeout
    )
    return True

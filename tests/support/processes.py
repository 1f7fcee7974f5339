"""The states and signals of processes, also of those that are not our children."""

from __future__ import annotations

import signal
from pathlib import Path

from .wait import PATIENCE, eventually, eventually_blocking


def ignore_no_signals() -> None:
    """Restore the usual handlers of signals that this process was started to ignore.

    Its children would inherit that. nohup ignores SIGHUP, a shell's background jobs ignore SIGINT
    and SIGQUIT, and a supervisor may ignore any signal.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, usual)


def state(pid: int) -> str:
    """Return the letter of a process's state from /proc/PID/stat, or "X" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def command(pid: int) -> str:
    """Return the command line of a process, or "" for a zombie and without a process."""
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
    """Return whether a process exists and is not a zombie."""
    return state(pid) not in "ZX"


def is_asleep(pid: int) -> bool:
    """Return whether a process sleeps interruptibly, so not during a vfork."""
    return state(pid) == "S"


async def comes_to_rest(pid: int) -> None:
    """Wait until a process is asleep at ten looks in a row.

    A signal then hardly interrupts it at work.
    """
    looks = 0

    def count() -> int:
        nonlocal looks
        looks = looks + 1 if is_asleep(pid) else 0
        return looks

    await eventually(count, lambda looks: looks >= 10, within=2 * PATIENCE, every=0.02)


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped a process."""
    return state(pid) == "T"


def processes_with(mark: str) -> dict[int, str]:
    """Return the command lines of the processes, except zombies, with a text in the environment."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode(errors="replace")
        except OSError:
            continue  # the process has just ended
    return found


def wait_until_gone(*pids: int, timeout: float = PATIENCE) -> bool:
    """Wait until processes have ended: SIGKILL takes effect later, above all on a busy machine.

    Raises:
        AssertionError: they do not end in time; the message has them. The result is never False.
    """
    eventually_blocking(
        lambda: [pid for pid in pids if is_running(pid)], lambda left: not left, within=timeout
    )
    return True

"""A disk that freezes now and then, as during a snapshot (FIFREEZE).

The disk is a file with ext4, mounted through a loop device in a mount namespace of this process.
"""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.support.wait import eventually_blocking

from .background import background
from .tally import Tally

# Seconds: longer than the ten for which the library waits for the disk.
LENGTH = 12.0
FIRST = 2.0
PAUSE = (4.0, 16.0)

_CLONE_NEWNS = 0x00020000
# The shell unfreezes the disk even if its parent is killed: the parent cannot end while one of its
# threads waits for the disk.
_FREEZER = """
while read -r seconds; do
    fsfreeze --freeze "$1"
    sleep "$seconds"
    fsfreeze --unfreeze "$1"
    echo
done
"""


def why_no_disk() -> str | None:
    """Return why no disk can be frozen here, or `None` if one can."""
    if os.geteuid() != 0:
        return "a disk that can be frozen needs root"
    if subprocess.run(["losetup", "--find"], capture_output=True).returncode:
        return "a disk that can be frozen needs a loop device"
    return None


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Mount a disk during a block, and return where.

    Threads that exist already stay in the old mount namespace, and would write to the directory
    below the mount. So this function waits until all worker threads have ended; trio keeps idle
    ones for ten seconds.
    """
    eventually_blocking(_worker_threads, lambda threads: not threads)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * 1024**2)
    _run("mount", "--make-rprivate", "/")
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(place))
    try:
        yield place
    finally:
        _run("umount", "--lazy", str(place))


@contextmanager
def frozen_now_and_then(place: Path, random: Random, tally: Tally) -> Iterator[None]:
    """Freeze a disk again and again, for `LENGTH` seconds each time, during a block."""
    with subprocess.Popen(
        ["sh", "-c", _FREEZER, "sh", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as freezer:

        def run(over: threading.Event) -> None:
            pause = FIRST
            while not over.wait(pause):
                assert freezer.stdin is not None
                assert freezer.stdout is not None
                tally.thawed = math.inf
                with tally.force.holds("frozen-disk"):
                    freezer.stdin.write(b"%g\n" % LENGTH)
                    assert freezer.stdout.readline(), "the freezer has ended"
                tally.thawed = time.monotonic()
                tally.conditions["the disk was frozen"] += 1
                pause = random.uniform(*PAUSE)

        # In a thread, because the event loop itself may wait for the disk.
        with background(run):
            yield


def _worker_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("Trio", "AnyIO"))]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)

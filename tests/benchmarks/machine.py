"""Describe the machine of the measurements."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def describe(scratch: Path) -> dict[str, str]:
    """Return the facts that the results depend on, by name.

    Args:
        scratch: the directory of the caches.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "machine": f"{len(os.sched_getaffinity(0))} cores of {_processor()}, {memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}, caches on {_file_system(scratch)}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    command = ["stat", "--file-system", "--format=%T", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown file system"

"""A real file system that is frozen for a while, as for a snapshot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.interrupted import LOOPS
from tests.support.require import require

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_frozen_file_system_does_late(loop: str) -> None:
    require(os.geteuid() == 0, "freezing a file system needs root")
    for tool in ("mkfs.ext4", "fsfreeze", "unshare"):
        require(shutil.which(tool), f"there is no {tool}")
    program = subprocess.run(
        ["unshare", "--mount", sys.executable, "-W", "error", "-m", "tests.programs.frozen", loop],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    require(not program.stdout, f"a file system cannot be frozen here: {program.stdout}")

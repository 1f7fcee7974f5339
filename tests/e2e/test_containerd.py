"""Debian's containerd and the library on one node: neither disturbs the other.

containerd has records of its own libcni, one of before 1.2, for which no other place but
/var/lib/cni can be named. So the node has namespaces of its own, in which all of it runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.go_programs import CannotBuildError, build
from tests.support.require import require

from .containerd_node import CANNOT, SCENARIOS

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
PROGRAMS = {"cri": {"cri": ".", "pause": "./pause"}}
# The shell stays, as process 1 of them: it reaps what containerd leaves.
SETUP = """
for directory in /run /var/lib/cni; do
    [ -d $directory ] || directory=/var/lib
    mount -t tmpfs tmpfs $directory
done
mkdir -p /run/netns
ip link set lo up
"$@"
exit
"""


@pytest.fixture(scope="module")
def programs() -> Path:
    """Provide the client that plays kubelet, and what runs in a sandbox."""
    for tool in ("containerd", "containerd-shim-runc-v2", "ctr", "runc"):
        require(shutil.which(tool), f"no {tool}: apt-get install containerd runc")
    try:
        return build("cri", SUPPORT, PROGRAMS)
    except CannotBuildError as error:
        require(False, f"a client for containerd cannot be built: {error}")
        raise


@pytest.fixture
def cgroup() -> Iterator[str]:
    """Provide the name of the control group for sandboxes, which is taken away."""
    name = f"cni-async-{uuid4()}"
    yield name
    deadline = time.monotonic() + 10
    while groups := list(Path("/sys/fs/cgroup").glob(f"**/{name}/**/")):
        for group in sorted(groups, reverse=True):  # those inside come first
            with suppress(OSError):  # what ran in it is on its way out still
                group.rmdir()
        assert time.monotonic() < deadline, groups


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_containerd_and_the_library(
    scenario: str, backend: str, cgroup: str, plugin_dir: Path, programs: Path, tmp_path: Path
) -> None:
    own = ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    script = [sys.executable, "-m", "tests.e2e.containerd_node", scenario, backend, cgroup]
    places = map(str, (tmp_path, plugin_dir, programs))
    done = subprocess.run(
        ["unshare", *own, "sh", "-ec", SETUP, "sh", *script, *places],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    log = tmp_path / "log"
    said = log.read_text()[-4000:] if log.exists() else ""
    require(done.returncode != CANNOT, f"containers cannot run here: {done.stdout.strip()}")
    assert done.returncode == 0, f"{said}\n{done.stdout}\n{done.stderr}"

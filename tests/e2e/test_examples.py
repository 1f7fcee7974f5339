"""The examples and README's ten lines, run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
# Examples use the machine's own directories; these are what lies there for them only.
SANDBOX = """
set -e
for directory in /run /var/lib/cni /etc/cni /opt; do
    mkdir -p $directory && mount -t tmpfs tmpfs $directory
done
mkdir -p /opt/cni /etc/cni/net.d /run/netns
ln -s "$CNI_PATH" /opt/cni/bin
ip link set lo up
"$@"
test -z "$(ip netns list)" || { echo "namespaces are left"; exit 1; }
test -z "$(ls /var/lib/cni/results)" || { echo "cache records are left"; exit 1; }
addresses=$(find /var/lib/cni/networks -name '*.*.*.*')
test -z "$addresses" || { echo "addresses are left: $addresses"; exit 1; }
"""


def run_sandboxed(plugin_dir: Path, *command: str) -> str:
    """Run a command with /run, /opt, /etc/cni and /var/lib/cni of its own, on a network, too."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", SANDBOX, "sh", *command],
        cwd=ROOT,
        env={**os.environ, "CNI_PATH": str(plugin_dir), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ("quickstart_asyncio.py", '"address": "10.89.1.2/24"'),
        ("quickstart_trio.py", "address 10.89.2.2 in 10.89.2.0/24, gateway 10.89.2.1"),
        ("two_containers.py", "the server says: hello 10.89.3."),
        ("port_mapping.py", "10.89.4.1:8080 says: hello from inside"),
        ("sandboxes.py", "second: all sandboxes have ended, 0 attachments are left"),
    ],
)
def test_example(plugin_dir: Path, example: str, says: str) -> None:
    assert says in run_sandboxed(plugin_dir, sys.executable, f"examples/{example}")


def test_ten_lines_of_the_readme(plugin_dir: Path, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = dict(re.findall(r"```(python|json)\n(.*?)```", text, re.DOTALL)[::-1])
    network = tmp_path / "10-mynet.conflist"
    network.write_text(blocks["json"])
    program = tmp_path / "ten_lines.py"
    program.write_text(blocks["python"])
    script = 'cp "$1" /etc/cni/net.d/; ip netns add blue; "$2" "$3"; ip netns del blue'
    printed = run_sandboxed(
        plugin_dir, "sh", "-ec", script, "sh", str(network), sys.executable, str(program)
    )
    assert printed == "10.90.0.2/24 on eth0, gateway 10.90.0.1\n"


def test_the_readme_with_a_namespace_of_its_own(plugin_dir: Path, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```(python|json)\n(.*?)```", text, re.DOTALL)
    [network] = [block for kind, block in blocks if kind == "json"]
    [program] = [block for kind, block in blocks if "netns.new()" in block]
    (tmp_path / "10-mynet.conflist").write_text(network)
    # The gateway answers, and ping(8) may not be installed.
    (tmp_path / "program.py").write_text(
        program.replace('["ping", "-c1", "10.90.0.1"]', '["true"]')
    )
    script = 'cp "$1" /etc/cni/net.d/; "$2" "$3"'
    words = (str(tmp_path / "10-mynet.conflist"), sys.executable, str(tmp_path / "program.py"))
    printed = run_sandboxed(plugin_dir, "sh", "-ec", script, "sh", *words)
    assert printed.splitlines()[0].startswith("lo 127.0.0.1/8")
    assert printed.splitlines()[1].startswith("eth0 10.90.0.2/24")


def test_demo_runs_the_real_thing(plugin_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        env={**os.environ, "CNI_PATH": str(plugin_dir)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The real thing" in done.stdout
    assert done.stdout.count("taken back") == len(["asyncio", "trio"])

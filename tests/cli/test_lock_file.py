"""`cni-async --lock-file`: the order of operations between processes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from cni_async.cli.options import Given
from tests.support.command import NETNS, Cli
from tests.support.recorder import Answer
from tests.support.wait import eventually_blocking


@pytest.mark.parametrize(
    "words", [["add", "net", NETNS], ["check", "net", NETNS], ["del", "net", NETNS], ["gc", "net"]]
)
def test_it_waits_for_another_process(words: list[str], cli: Cli, tmp_path: Path) -> None:
    """A command calls no plugin while another command's plugin runs."""
    lock_file = ("--lock-file", str(tmp_path / "lock"))
    cli.network("one")
    cli.plugins.plugin("one", {"ADD": Answer(sleep=1.5)})
    adding = cli.start("add", "net", NETNS, *lock_file)
    eventually_blocking(cli.plugins.calls)
    cli.plugins.plugin("one")
    done = cli(*words, *(["--all"] if words[0] == "gc" else []), *lock_file)
    assert (done.code, done.err) == (0, "")
    _, err = adding.communicate(timeout=60)
    assert (adding.returncode, err) == (0, "")
    first, *others = cli.plugins.calls()
    assert first.ended is not None
    assert others
    assert all(call.started > first.ended for call in others)


@pytest.mark.parametrize("command", ["add", "check", "del"])
def test_one_that_cannot_be_used(command: str, cli: Cli, tmp_path: Path) -> None:
    """The command fails before it calls a plugin."""
    cli.network("one")
    done = cli(command, "net", NETNS, "--lock-file", str(tmp_path / "missing" / "lock"))
    assert done.code == 1
    assert f"cannot lock {tmp_path}/missing/lock: " in done.err
    assert cli.plugins.calls() == []


def test_the_line_to_run_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line has the lock file's absolute path, as it may be run in any directory."""
    monkeypatch.chdir(tmp_path)
    given = Given(net="net", netns=NETNS, netconf_path="/etc/cni/net.d", ifname="eth0")
    assert "--lock-file" not in given.undo_line()
    given = Given(net="net", netns=NETNS, netconf_path="/", ifname="eth0", lock_file="a lock")
    assert given.undo_line().endswith(f" --lock-file '{tmp_path}/a lock'")
    assert given.cni(BytesIO())._locks._file == f"{tmp_path}/a lock"

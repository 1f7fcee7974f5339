"""``cni-async netns``: create, remove and list network namespaces."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cni_async import netns
from tests.support.command import Cli
from tests.support.require import require


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Run the command on each event loop that it offers."""
    require(os.geteuid() == 0, "creating network namespaces needs root")
    backend: str = request.param
    return backend


def test_add_list_and_rm(cli: Cli, tmp_path: Path, backend: str) -> None:
    where = ("--dir", str(tmp_path / "netns"), "--backend", backend)
    code, out, err = cli("netns", "add", "web", *where)
    assert (code, err) == (0, "")
    ns = netns.at(tmp_path / "netns" / "web")
    device, inode = ns.inode
    shown = {"name": "web", "path": ns.path, "device": device, "inode": inode}
    assert json.loads(out) == shown
    code, out, err = cli("netns", "list", *where)
    assert (code, json.loads(out), err) == (0, [shown], "")
    assert cli.on_terminal("netns", "list", *where) == (0, f"{ns.path}\n", "")
    # By its path, as the other commands take it.
    assert cli.on_terminal("netns", "rm", ns.path, *where) == (0, f"{ns.path}: removed\n", "")
    assert cli("netns", "rm", "web", *where) == (0, "", "")
    assert cli.on_terminal("netns", "list", *where) == (0, "no network namespaces\n", "")
    assert cli.on_terminal("netns", "add", "web", *where) == (0, f"{ns.path}\n", "")
    assert cli("netns", "rm", "web", *where).code == 0
    assert os.listdir(tmp_path / "netns") == []


def test_a_name_that_is_taken(cli: Cli, tmp_path: Path, backend: str) -> None:
    path = tmp_path / "web"
    path.write_text("something else")
    where = ("--dir", str(tmp_path), "--backend", backend)
    assert cli("netns", "add", "web", *where) == (
        1,
        "",
        f"cannot create network namespace {path}: File exists\n",
    )
    assert cli("netns", "rm", "web", *where) == (
        1,
        "",
        f"cannot remove network namespace {path}: it is not a network namespace\n",
    )
    assert path.read_text() == "something else"


def test_a_name_that_no_file_can_have(cli: Cli, tmp_path: Path, backend: str) -> None:
    where = ("--dir", str(tmp_path), "--backend", backend)
    assert cli("netns", "add", "a/b", *where) == (
        1,
        "",
        "'a/b' cannot be the name of a network namespace\n",
    )

"""The search for a plugin's executable.

The tests cover section S of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from cni_async.errors import CNIError, PluginError, PluginNotFoundError
from cni_async.invoke import DefaultExec, RawExec, find_in_path


def make(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho found\n")
    path.chmod(mode)
    return str(path)


def refused(plugin: str, paths: list[str]) -> PluginNotFoundError:
    with pytest.raises(PluginNotFoundError) as caught:
        find_in_path(plugin, paths)
    return caught.value


@pytest.mark.parametrize(
    ("plugin", "paths", "text"),
    [
        ("", [], "no plugin name provided"),
        ("", ["/x"], "no plugin name provided"),
        ("a/b", [], "invalid plugin name: a/b"),
        ("/a", ["/x"], "invalid plugin name: /a"),
        ("../a", ["/x"], "invalid plugin name: ../a"),
        ("a/", ["/x"], "invalid plugin name: a/"),
        ("a", [], "no paths provided"),
    ],
)
def test_item_203_order_of_checks(plugin: str, paths: list[str], text: str) -> None:
    error = refused(plugin, paths)
    assert str(error) == text
    assert error.plugin == plugin
    assert error.paths == tuple(paths)
    assert isinstance(error, CNIError)
    assert not isinstance(error, PluginError)


def test_item_204_the_first_directory_wins(tmp_path: Path) -> None:
    second, third = make(tmp_path / "b" / "bridge"), make(tmp_path / "c" / "bridge")
    paths = [str(tmp_path / name) for name in "abc"]
    assert find_in_path("bridge", paths) == second
    assert find_in_path("bridge", paths[::-1]) == third


def test_item_204_symlinks_are_followed(tmp_path: Path) -> None:
    """The link's path is returned: multi-call executables depend on the name of the call."""
    make(tmp_path / "real" / "multi")
    (tmp_path / "bridge").symlink_to("real/multi")
    (tmp_path / "link").symlink_to(".")
    assert find_in_path("bridge", [str(tmp_path)]) == str(tmp_path / "bridge")
    assert find_in_path("bridge", [str(tmp_path / "link")]) == str(tmp_path / "link" / "bridge")


def test_item_204_only_regular_files(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "bridge").mkdir()
    os.mkfifo(tmp_path / "b" / "bridge")
    (tmp_path / "c" / "bridge").symlink_to("nowhere")
    expected = make(tmp_path / "d" / "bridge")
    assert find_in_path("bridge", [str(tmp_path / name) for name in "abcd"]) == expected


def test_item_205_not_found() -> None:
    paths = ["/no/x", "/no/y z", '/no/q"uote']
    error = refused("a", paths)
    assert str(error) == 'failed to find plugin "a" in path [/no/x /no/y z /no/q"uote]'
    assert (error.plugin, error.paths) == ("a", tuple(paths))
    assert str(refused('"\n', ["/no"])) == r'failed to find plugin "\"\n" in path [/no]'


@pytest.mark.anyio
async def test_item_206_and_207_not_executable(tmp_path: Path) -> None:
    """A file that is not executable is found, hides the good one, and fails when it is run."""
    first = make(tmp_path / "a" / "bridge", 0o644)
    make(tmp_path / "b" / "bridge")
    exec = RawExec()
    path = await exec.find_in_path("bridge", [str(tmp_path / "a"), str(tmp_path / "b")])
    assert path == first
    with pytest.raises(PluginError) as caught:
        await exec.exec_plugin(path, b"", None)
    assert str(caught.value) == (
        f"netplugin failed with no error message: fork/exec {first}: permission denied"
    )


def test_item_208_an_empty_element_is_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "here" / "bridge")
    expected = make(tmp_path / "there" / "bridge")
    monkeypatch.chdir(tmp_path / "here")
    assert find_in_path("bridge", ["", str(tmp_path / "there")]) == expected
    assert str(refused("bridge", ["", ""])) == 'failed to find plugin "bridge" in path [ ]'


@pytest.mark.parametrize("directory", [".", "./", "../here", "..//here/."])
def test_item_208_a_relative_directory_gives_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """The path is absolute, so that $PATH does not matter when the plugin is executed."""
    expected = make(tmp_path / "here" / "bridge")
    monkeypatch.chdir(tmp_path / "here")
    assert find_in_path("bridge", [directory]) == expected


def test_no_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make(tmp_path / "there" / "bridge")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert find_in_path("bridge", [".", str(tmp_path / "there")]) == expected


def test_dots_after_a_symlink(tmp_path: Path) -> None:
    """The path is cleaned lexically, as in Go: the file that is checked is the one executed."""
    make(tmp_path / "far" / "bridge")
    (tmp_path / "far" / "away").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "away")
    paths = [str(tmp_path / "near" / "link" / "..")]
    refused("bridge", paths)
    expected = make(tmp_path / "near" / "bridge")
    assert find_in_path("bridge", paths) == expected


@pytest.mark.parametrize("name", [".", "..", "no\0name"])
def test_item_209_impossible_names(tmp_path: Path, name: str) -> None:
    assert str(refused(name, [str(tmp_path)])).startswith("failed to find plugin ")


@pytest.mark.parametrize("name", ["back\\slash", "with space", "ünïcode", "-x", ".hidden"])
def test_item_209_odd_names(tmp_path: Path, name: str) -> None:
    expected = make(tmp_path / name)
    assert find_in_path(name, [str(tmp_path)]) == expected


def test_unreadable_directory(tmp_path: Path) -> None:
    """A directory that cannot be read does not end the search."""
    expected = make(tmp_path / "b" / "bridge")
    (tmp_path / "a").write_text("no directory")
    paths = [str(tmp_path / "a"), "/no\0where", "/" + "x" * 300, str(tmp_path / "b")]
    assert find_in_path("bridge", paths) == expected


@pytest.mark.anyio
async def test_exec_finds_the_same(tmp_path: Path) -> None:
    expected = make(tmp_path / "bridge")
    for exec in RawExec(), DefaultExec():
        assert await exec.find_in_path("bridge", (str(tmp_path),)) == expected
        with pytest.raises(PluginNotFoundError, match="no paths provided"):
            await exec.find_in_path("bridge", ())
    with anyio.fail_after(20):
        assert await RawExec().exec_plugin(expected, b"", None) == b"found\n"

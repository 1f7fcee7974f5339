"""Configurations in the wrong place or under a similar name, and files that come and go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from cni_async import (
    ConfigError,
    NoConfigsFoundError,
    NotFoundError,
    conf_from_bytes,
    conf_from_file,
    conf_list_from_bytes,
    conf_list_from_file,
    load_conf,
    load_conf_list,
    load_network_conf,
    network_conf_from_bytes,
    network_plugin_confs_from_files,
)
from cni_async.conf import files

pytestmark = pytest.mark.anyio

Loader: TypeAlias = Callable[[Path, str], Awaitable[Any]]
LOADERS: Final = pytest.mark.parametrize("load", [load_conf, load_conf_list, load_network_conf])

LIST: Final = b'{"cniVersion":"1.0.0","name":"mynet","plugins":[{"type":"bridge"}]}'
SINGLE: Final = b'{"cniVersion":"1.0.0","name":"mynet","type":"bridge"}'
IN_CONFLIST: Final = (
    "this looks like a network configuration list, which belongs into a .conflist file"
)
IN_CONF: Final = "this looks like one plugin's configuration, which belongs into a .conf file"


def notes(error: BaseException) -> list[str]:
    found: list[str] = getattr(error, "__notes__", [])
    return found


@pytest.mark.parametrize("extension", [".conf", ".json"])
@LOADERS
async def test_a_list_in_a_plugins_file(tmp_path: Path, load: Loader, extension: str) -> None:
    path = tmp_path / f"10-mynet{extension}"
    path.write_bytes(LIST)
    with pytest.raises(ConfigError) as caught:
        await load(tmp_path, "mynet")
    assert str(caught.value) == f"error parsing configuration: missing 'type' (in {path})"
    assert notes(caught.value) == [IN_CONFLIST]


@pytest.mark.parametrize("load", [load_conf_list, load_network_conf])
async def test_a_plugin_in_a_lists_file(tmp_path: Path, load: Loader) -> None:
    (tmp_path / "10-mynet.conflist").write_bytes(SINGLE)
    if load is load_network_conf:
        # The list is valid here: its plugins may come from the network's folder.
        with pytest.raises(ConfigError, match="no plugin configs found"):
            await load(tmp_path, "mynet")
        return
    with pytest.raises(ConfigError, match="no 'plugins' key") as caught:
        await load(tmp_path, "mynet")
    assert notes(caught.value) == [IN_CONF]


def test_hints_are_for_the_obvious_only() -> None:
    for read, data, expected in [
        (conf_from_bytes, b'{"name":"n"}', []),
        (conf_from_bytes, b'{"plugins":{}}', []),
        (conf_from_bytes, b"[]", []),
        (conf_from_bytes, b'{"plugins":[]}', [IN_CONFLIST]),
        (conf_list_from_bytes, b'{"name":"n"}', []),
        (conf_list_from_bytes, b'{"name":"n","type":1}', []),
        (conf_list_from_bytes, b'{"type":"t"}', [IN_CONF]),
        (conf_list_from_bytes, b'{"type":"t","plugins":[]}', []),
        (network_conf_from_bytes, b'{"type":"t","name":7}', []),
    ]:
        with pytest.raises(ConfigError) as caught:
            read(data)
        assert notes(caught.value) == expected, data


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mynett", ["did you mean network 'mynet'?"]),
        ("MyNet", ["did you mean network 'mynet'?"]),
        ("other-net", ["did you mean network 'Other-Network'?"]),
        ("something-else", []),
        ("", []),
    ],
)
@LOADERS
async def test_similar_names(tmp_path: Path, load: Loader, name: str, hint: list[str]) -> None:
    (tmp_path / "a.conf").write_bytes(SINGLE)
    (tmp_path / "b.conf").write_text('{"name":"Other-Network","type":"t"}')
    if load is not load_conf:
        (tmp_path / "c.conflist").write_bytes(LIST.replace(b"mynet", b"third"))
    with pytest.raises(NotFoundError) as caught:
        await load(tmp_path, name)
    assert str(caught.value) == f'no net configuration with name "{name}" in {tmp_path}'
    assert notes(caught.value) == hint


async def test_similar_names_among_lists_only(tmp_path: Path) -> None:
    (tmp_path / "c.conflist").write_bytes(LIST)
    with pytest.raises(NotFoundError) as caught:
        await load_conf_list(tmp_path, "mynte")
    assert notes(caught.value) == ["did you mean network 'mynet'?"]


RENAMING: Final = """
import os, select, sys
print(flush=True)
while not select.select([0], [], [], 0)[0]:
    for name in sys.argv[1:]:
        os.rename(name, "x-" + name)
        os.rename("x-" + name, name)
"""


@contextmanager
def renaming(folder: Path, names: list[str]) -> Iterator[None]:
    """Rename files of other networks, in another process, while the block runs."""
    # `multiprocessing` would leave its semaphore tracker as a child of this process.
    command = [sys.executable, "-IS", "-c", RENAMING, *names]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_others_are_renamed_meanwhile(tmp_path: Path) -> None:
    others = [f"{number:02}.conflist" for number in range(10)]
    for name in others:
        (tmp_path / name).write_bytes(LIST.replace(b"mynet", b"other"))
    (tmp_path / "zz.conflist").write_bytes(LIST)
    with renaming(tmp_path, others):
        for _ in range(500):
            assert (await load_conf_list(tmp_path, "mynet")).name == "mynet"


def vanishing(
    monkeypatch: pytest.MonkeyPatch, path: Path, becomes: Path | None = None, times: int = 1
) -> None:
    """Delete or rename a file between listing and reading."""
    list_files = files.conf_files
    left = [times]

    def conf_files(directory: str, extensions: tuple[str, ...]) -> list[str]:
        found = list_files(directory, extensions)
        if str(path) in found and left[0]:
            left[0] -= 1
            if becomes is None:
                path.unlink()
            else:
                path.rename(becomes)
        return found

    monkeypatch.setattr(files, "conf_files", conf_files)


@LOADERS
async def test_a_file_that_is_gone_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Loader
) -> None:
    gone = tmp_path / ("a.conf" if load is load_conf else "a.conflist")
    gone.write_bytes(b"{")
    (tmp_path / "b.conf").write_bytes(SINGLE)
    vanishing(monkeypatch, gone)
    await load(tmp_path, "mynet")
    assert not gone.exists()


@LOADERS
async def test_the_only_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Loader
) -> None:
    gone = tmp_path / "a.conf"
    gone.write_bytes(SINGLE)
    vanishing(monkeypatch, gone)
    with pytest.raises(NoConfigsFoundError):
        await load(tmp_path, "mynet")


@LOADERS
async def test_the_one_that_is_wanted_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Loader
) -> None:
    path = tmp_path / ("a.conf" if load is load_conf else "a.conflist")
    path.write_bytes(SINGLE if load is load_conf else LIST)
    vanishing(monkeypatch, path, path.with_stem("0"))
    await load(tmp_path, "mynet")


async def test_a_search_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_files = files.conf_files

    def conf_files(directory: str, extensions: tuple[str, ...]) -> list[str]:
        return [*list_files(directory, extensions), f"{directory}/never.conf"]

    monkeypatch.setattr(files, "conf_files", conf_files)
    with pytest.raises(NotFoundError):
        await load_conf(tmp_path, "mynet")
    (tmp_path / "mynet").mkdir()
    with pytest.raises(ConfigError, match="no such file or directory"):
        await network_plugin_confs_from_files(tmp_path, "mynet")


async def test_a_plugin_of_the_networks_folder_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mynet"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.conf").write_text(json.dumps({"type": name}))
    vanishing(monkeypatch, folder / "a.conf", folder / "c.conf")
    plugins = await network_plugin_confs_from_files(tmp_path, "mynet")
    assert [plugin.network.type for plugin in plugins] == ["b", "a"]


@LOADERS
async def test_a_link_to_nowhere_stays_an_error(tmp_path: Path, load: Loader) -> None:
    (tmp_path / "a.conf").symlink_to("nowhere")
    (tmp_path / "b.conf").write_bytes(SINGLE)
    with pytest.raises(ConfigError, match="no such file or directory"):
        await load(tmp_path, "mynet")


@pytest.mark.parametrize("read", [conf_from_file, conf_list_from_file])
async def test_a_file_that_was_named_stays_an_error(
    tmp_path: Path, read: Callable[[Path], Awaitable[object]]
) -> None:
    with pytest.raises(ConfigError, match="no such file or directory"):
        await read(tmp_path / "a.conf")

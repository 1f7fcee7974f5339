"""Configurations in files and directories.

See section E and items 12, 13, 33 and 353-358 of docs/maintainers/conformance.md.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from anyio import to_thread

from cni_async.conf import (
    conf_files,
    conf_from_file,
    conf_list_from_bytes,
    conf_list_from_file,
    files,
    load_conf,
    load_conf_list,
    load_network_conf,
    network_conf_from_bytes,
    network_conf_from_file,
    network_plugin_confs_from_files,
)
from cni_async.errors import ConfigError, InvalidIdentifierError, NoConfigsFoundError, NotFoundError
from tests.support.wait import PATIENCE, eventually

pytestmark = pytest.mark.anyio

Reader: TypeAlias = Callable[[Path], Awaitable[Any]]
Loader: TypeAlias = Callable[[Path, str], Awaitable[Any]]

READERS = pytest.mark.parametrize(
    "read", [conf_from_file, conf_list_from_file, network_conf_from_file]
)
LIST_LOADERS = pytest.mark.parametrize("load", [load_conf_list, load_network_conf])
LOADERS = pytest.mark.parametrize("load", [load_conf, load_conf_list, load_network_conf])


def write(path: Path, **document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def single(path: Path, name: str, plugin_type: str = "t") -> Path:
    return write(path, name=name, type=plugin_type)


def several(path: Path, name: str, *types: str, **more: Any) -> Path:
    return write(
        path, name=name, plugins=[{"type": plugin_type} for plugin_type in types or ("t",)], **more
    )


def types(net: Any) -> list[str]:
    return [plugin.network.type for plugin in net.plugins]


# -- one file


@pytest.mark.parametrize("spell", [Path, str])
async def test_items_1_and_29_a_file(tmp_path: Path, spell: Callable[[Path], Any]) -> None:
    path = single(tmp_path / "a.conf", "n")
    assert (await conf_from_file(spell(path))).raw == path.read_bytes()
    path = several(tmp_path / "a.conflist", "n", "a", "b", loadOnlyInlinedPlugins="?")
    net = await conf_list_from_file(spell(path))
    assert (net.raw, types(net)) == (path.read_bytes(), ["a", "b"])
    path = several(tmp_path / "a.conflist", "n", "a", "b", loadOnlyInlinedPlugins=True)
    net = await network_conf_from_file(spell(path))
    assert (net.raw, types(net), net.load_only_inlined_plugins) == (
        path.read_bytes(),
        ["a", "b"],
        True,
    )


@READERS
async def test_items_12_and_33_no_such_file(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "absent"
    with pytest.raises(ConfigError) as caught:
        await read(path)
    assert str(caught.value) == f"error reading {path}: open {path}: no such file or directory"
    assert caught.value.path == str(path)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@READERS
@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
async def test_a_path_that_cannot_be(tmp_path: Path, read: Reader, name: str) -> None:
    with pytest.raises(ConfigError, match="invalid argument"):
        await read(tmp_path / name)


@READERS
async def test_item_13_a_parse_error_names_the_file(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "a.conf"
    path.write_text('{"name":"n","type":"t","ipam":[]')
    with pytest.raises(ConfigError) as caught:
        await read(path)
    assert str(caught.value).startswith("error parsing configuration")
    assert str(caught.value).endswith(f": unexpected end of JSON input (in {path})")
    assert caught.value.path == str(path)


async def test_item_13_with_the_key(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conflist", name="n", plugins=[{"type": "t", "dns": 1}])
    with pytest.raises(ConfigError) as caught:
        await conf_list_from_file(path)
    assert str(caught.value) == (
        "failed to parse plugin config 0: error parsing configuration: "
        f'key "dns" must be an object, not number (in {path})'
    )
    assert (caught.value.key, caught.value.path) == ("dns", str(path))


@READERS
async def test_item_56_a_directory(tmp_path: Path, read: Reader) -> None:
    with pytest.raises(ConfigError) as caught:
        await read(tmp_path)
    assert str(caught.value) == f"error reading {tmp_path}: read {tmp_path}: is a directory"


@READERS
async def test_only_regular_files_are_read(tmp_path: Path, read: Reader) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero")):
        with anyio.fail_after(10), pytest.raises(ConfigError, match="not a regular file") as caught:
            await read(path)
        assert caught.value.path == str(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "s"))
        with pytest.raises(ConfigError, match=r"error reading .*: open "):
            await read(tmp_path / "s")


async def test_links_are_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(single(tmp_path / "a.conf", "n"))
    assert (await conf_from_file(link)).network.name == "n"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="too many levels of symbolic links"):
        await conf_from_file(loop)


@READERS
async def test_a_huge_file_is_refused(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "a.conf"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(ConfigError) as caught:
        await read(path)
    assert str(caught.value) == f"error reading {path}: read {path}: larger than 16777216 bytes"


async def test_a_large_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conf", type="t", x="x" * 10_000_000)
    assert (await conf_from_file(path)).network.type == "t"


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EIO, "input/output error"), (None, "input/output error")]
)
async def test_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, reason: str
) -> None:
    path = single(tmp_path / "a.conf", "n")

    def fail(*_args: object, **_options: object) -> Any:
        raise OSError(number, "x") if number else OSError("x")

    monkeypatch.setattr(files, "open", fail, raising=False)
    with pytest.raises(ConfigError, match=f"error reading {path}: read {path}: {reason}"):
        await conf_from_file(path)


# -- directories


async def test_item_53_listing(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", "c.json", "d.conflist", "sub/e.conf"):
        single(tmp_path / name, "n")
    assert await conf_files(tmp_path, [".conf", ".json"]) == [
        str(tmp_path / name) for name in ("a.conf", "b.conf", "c.json")
    ]
    assert await conf_files(str(tmp_path), [".json", ".conflist"]) == [
        str(tmp_path / name) for name in ("c.json", "d.conflist")
    ]
    assert await conf_files(tmp_path, []) == []
    assert await conf_files(tmp_path / "absent", [".conf"]) == []
    assert await conf_files("", [".conf"]) == []


async def test_item_53_sorted_by_name(tmp_path: Path) -> None:
    # There are so many files that no file system lists them in this order by chance.
    names = [f"{number:02}.conf" for number in range(30)]
    for name in sorted(names, key=lambda name: name[::-1]):
        single(tmp_path / name, "n")
    assert await conf_files(tmp_path, [".conf"]) == [str(tmp_path / name) for name in names]


async def test_item_53_a_relative_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single(tmp_path / "d" / "a.conf", "n")
    monkeypatch.chdir(tmp_path)
    assert await conf_files("./d/", [".conf"]) == ["d/a.conf"]
    assert await conf_files(".", [".conf"]) == []
    assert (await load_conf("d", "n")).network.name == "n"


async def test_item_54_not_a_directory(tmp_path: Path) -> None:
    path = single(tmp_path / "a.conf", "n")
    for call in (conf_files(path, [".conf"]), load_conf(path, "n"), load_conf_list(path, "n")):
        with pytest.raises(ConfigError) as caught:
            await call
        assert str(caught.value) == f"readdirent {path}: not a directory"
        assert isinstance(caught.value.__cause__, NotADirectoryError)
    with pytest.raises(ConfigError, match=f"open {path}/x: not a directory"):
        await conf_files(path / "x", [".conf"])
    with pytest.raises(ConfigError, match=r"open .*: invalid argument"):
        await conf_files("a\0b", [".conf"])


async def test_item_54_unreadable_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError) as caught:
        await conf_files(tmp_path, [".conf"])
    assert str(caught.value) == f"open {tmp_path}: permission denied"


async def test_item_55_extensions(tmp_path: Path) -> None:
    for name in (
        *(".conf", ".h.conflist", "a.CONF", "a.conf~", "conf", "a.conf.bak", "a.b.conf"),
        *("a.", "noext"),
    ):
        single(tmp_path / name, "n")
    assert await conf_files(tmp_path, [".conf", ".conflist"]) == [
        str(tmp_path / name) for name in (".conf", ".h.conflist", "a.b.conf")
    ]
    assert await conf_files(tmp_path, ["."]) == [str(tmp_path / "a.")]
    assert await conf_files(tmp_path, [""]) == [str(tmp_path / "conf"), str(tmp_path / "noext")]
    assert await conf_files(tmp_path, ["conf"]) == []


async def test_item_56_directories_and_links_to_them(tmp_path: Path) -> None:
    (tmp_path / "d.conf").mkdir()
    assert await conf_files(tmp_path, [".conf"]) == []
    (tmp_path / "link.conf").symlink_to(tmp_path / "d.conf")
    (tmp_path / "dangling.conf").symlink_to(tmp_path / "absent")
    link = tmp_path / "link.conf"
    assert await conf_files(tmp_path, [".conf"]) == [str(tmp_path / "dangling.conf"), str(link)]
    (tmp_path / "dangling.conf").unlink()
    with pytest.raises(ConfigError) as caught:
        await load_conf(tmp_path, "n")
    assert str(caught.value) == f"error reading {link}: read {link}: is a directory"


async def test_item_57_an_extension_twice(tmp_path: Path) -> None:
    path = str(single(tmp_path / "a.conf", "n"))
    assert await conf_files(tmp_path, [".conf", ".conf"]) == [path, path]


async def test_names_that_are_no_text(tmp_path: Path) -> None:
    for name in (b"\xff.conf", "\U0001f600.conf".encode(), b"a.conf"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text('{"type":"t"}')
    paths = await conf_files(tmp_path, [".conf"])
    assert [os.path.basename(os.fsencode(path)) for path in paths] == [
        b"a.conf",
        "\U0001f600.conf".encode(),
        b"\xff.conf",
    ]
    for path in paths:
        assert (await conf_from_file(path)).network.type == "t"


# -- finding a network


async def test_item_58_the_first_of_that_name(tmp_path: Path) -> None:
    single(tmp_path / "20.conf", "n", "second")
    single(tmp_path / "10.json", "n", "first")
    single(tmp_path / "05.conf", "other")
    assert (await load_conf(tmp_path, "n")).network.type == "first"
    assert (await load_conf(str(tmp_path), "other")).network.type == "t"


@LOADERS
async def test_items_59_and_64_nothing_there(tmp_path: Path, load: Loader) -> None:
    (tmp_path / "readme.txt").write_text("x")
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NoConfigsFoundError) as caught:
            await load(directory, "n")
        assert str(caught.value) == f"no net configurations found in {directory}"
        # 66
        assert caught.value.dir == str(directory)
        assert not isinstance(caught.value, NotFoundError)


@LOADERS
async def test_item_60_no_such_name(tmp_path: Path, load: Loader) -> None:
    single(tmp_path / "a.conf", "n")
    with pytest.raises(NotFoundError) as caught:
        await load(tmp_path, 'no"pe')
    assert str(caught.value) == f'no net configuration with name "no"pe" in {tmp_path}'
    # 66
    assert (caught.value.dir, caught.value.name) == (str(tmp_path), 'no"pe')
    assert not isinstance(caught.value, NoConfigsFoundError)


@LIST_LOADERS
async def test_item_64_lists_but_no_match(tmp_path: Path, load: Loader) -> None:
    several(tmp_path / "a.conflist", "n")
    with pytest.raises(NotFoundError) as caught:
        await load(tmp_path, "x")
    assert (caught.value.dir, caught.value.name) == (str(tmp_path), "x")
    with pytest.raises(NoConfigsFoundError):
        await load_conf(tmp_path, "n")


@LOADERS
async def test_item_61_malformed_neighbours(tmp_path: Path, load: Loader) -> None:
    extension = "conf" if load is load_conf else "conflist"
    make = single if load is load_conf else several
    make(tmp_path / f"20.{extension}", "n")
    (tmp_path / f"30.{extension}").write_text("{")
    assert await load(tmp_path, "n")
    broken = tmp_path / f"10.{extension}"
    broken.write_text("{")
    with pytest.raises(ConfigError) as caught:
        await load(tmp_path, "n")
    assert caught.value.path == str(broken)
    assert "unexpected end of JSON input" in str(caught.value)


@LOADERS
async def test_item_62_a_list_by_another_extension(tmp_path: Path, load: Loader) -> None:
    path = several(tmp_path / "a.json", "n")
    with pytest.raises(ConfigError) as caught:
        await load(tmp_path, "n")
    assert str(caught.value) == f"error parsing configuration: missing 'type' (in {path})"


@LIST_LOADERS
async def test_item_63_lists_come_first(tmp_path: Path, load: Loader) -> None:
    single(tmp_path / "10.conf", "n", "single")
    single(tmp_path / "11.conf", "only", "single")
    several(tmp_path / "90.conflist", "n", "list")
    several(tmp_path / "91.conflist", "n", "later")
    assert types(await load(tmp_path, "n")) == ["list"]
    # 73: a list made of a single configuration.
    net = await load(tmp_path, "only")
    assert (net.name, net.cni_version, types(net)) == ("only", "", ["single"])
    assert net.raw == (
        b'{"cniVersion":"","name":"only","plugins":[{"name":"only","type":"single"}]}'
    )


@LOADERS
async def test_item_65_not_below(tmp_path: Path, load: Loader) -> None:
    single(tmp_path / "sub" / "a.conf", "n")
    several(tmp_path / "sub" / "a.conflist", "n")
    with pytest.raises(NoConfigsFoundError):
        await load(tmp_path, "n")


# -- the network's own folder


@pytest.fixture
def drop_ins(tmp_path: Path) -> Path:
    """Provide a network with one plugin in its list and two in its folder."""
    several(tmp_path / "a.conflist", "n", "inline", cniVersion="1.0.0")
    write(tmp_path / "n" / "20.conf", type="second", b=1.0, a=2)
    write(tmp_path / "n" / "10.conf", type="first")
    write(tmp_path / "n" / "10.json", type="unseen")
    write(tmp_path / "n" / "sub.conf" / "10.conf", type="unseen")
    return tmp_path


async def test_item_353_drop_ins(drop_ins: Path) -> None:
    path = drop_ins / "a.conflist"
    plugins = await network_plugin_confs_from_files(drop_ins, "n")
    assert [plugin.network.type for plugin in plugins] == ["first", "second"]
    assert plugins[1].raw == (drop_ins / "n" / "20.conf").read_bytes()
    for net in (await network_conf_from_file(path), await load_network_conf(drop_ins, "n")):
        assert types(net) == ["inline", "first", "second"]
        assert net.plugins[1:] == plugins
    assert await network_plugin_confs_from_files(drop_ins, "other") == []
    # The functions of v1.2.3 do not read the folder.
    for net in (await conf_list_from_file(path), await load_conf_list(drop_ins, "n")):
        assert types(net) == ["inline"]
        assert net.raw == path.read_bytes()


async def test_item_353_only_inlined(drop_ins: Path) -> None:
    path = several(drop_ins / "a.conflist", "n", "inline", loadOnlyInlinedPlugins="True")
    net = await network_conf_from_file(path)
    assert types(net) == ["inline"]
    assert net.raw == path.read_bytes()


async def test_item_354_drop_ins_only(drop_ins: Path) -> None:
    write(drop_ins / "a.conflist", name="n")
    net = await load_network_conf(drop_ins, "n")
    assert types(net) == ["first", "second"]
    with pytest.raises(ConfigError, match="no 'plugins' key"):
        await load_conf_list(drop_ins, "n")


async def test_item_355_none_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conflist", name="n")
    for call in (network_conf_from_file(path), load_network_conf(tmp_path, "n")):
        with pytest.raises(ConfigError) as caught:
            await call
        assert str(caught.value) == f"no plugin configs found (in {path})"


async def test_item_356_the_neighbours_folder_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "10.conflist", name="without")
    write(tmp_path / "11.conflist", name="../evil")
    several(tmp_path / "12.conflist", "broken")
    write(tmp_path / "broken" / "a.conf", nothing=1)
    several(tmp_path / "20.conflist", "n", "mine")
    assert types(await load_network_conf(tmp_path, "n")) == ["mine"]


@pytest.mark.parametrize("name", ["../evil", "", ".", "..", "/etc", "a/b", "n\n"])
async def test_item_357_folders_are_not_left(tmp_path: Path, name: str) -> None:
    write(tmp_path / "evil" / "a.conf", type="evil")
    directory = tmp_path / "net.d"
    path = several(directory / "a.conflist", name)
    with pytest.raises(InvalidIdentifierError):
        await network_plugin_confs_from_files(directory, name)
    for call in (network_conf_from_file(path), load_network_conf(directory, name)):
        with pytest.raises(ConfigError, match="network name") as caught:
            await call
        assert str(caught.value).startswith("error parsing configuration list: ")
        assert (caught.value.key, caught.value.path) == ("name", str(path))
        assert isinstance(caught.value.__cause__, InvalidIdentifierError)
    # If the folder is not read, the name is validated only on use, see item 18.
    several(path, name, loadOnlyInlinedPlugins=True)
    assert (await network_conf_from_file(path)).name == name


async def test_item_358_the_bytes_hold_all_plugins(drop_ins: Path) -> None:
    net = await load_network_conf(drop_ins, "n")
    assert json.loads(net.raw) == {
        "cniVersion": "1.0.0",
        "name": "n",
        "plugins": [{"type": "inline"}, {"type": "first"}, {"a": 2, "b": 1, "type": "second"}],
    }
    for again in (conf_list_from_bytes(net.raw), network_conf_from_bytes(net.raw)):
        assert (again.name, again.cni_version) == (net.name, net.cni_version)
        assert [plugin.network for plugin in again.plugins] == [
            plugin.network for plugin in net.plugins
        ]


async def test_a_malformed_drop_in(drop_ins: Path) -> None:
    path = drop_ins / "n" / "30.conf"
    path.write_text("{}")
    for call in (
        network_plugin_confs_from_files(drop_ins, "n"),
        network_conf_from_file(drop_ins / "a.conflist"),
        load_network_conf(drop_ins, "n"),
    ):
        with pytest.raises(ConfigError) as caught:
            await call
        assert str(caught.value) == f"error parsing configuration: missing 'type' (in {path})"


async def test_a_folder_that_is_none(tmp_path: Path) -> None:
    several(tmp_path / "a.conflist", "n")
    folder = tmp_path / "n"
    folder.touch()
    with pytest.raises(ConfigError) as caught:
        await load_network_conf(tmp_path, "n")
    assert str(caught.value) == (
        f"failed to read plugin config files in {folder}: readdirent {folder}: not a directory"
    )


# -- threads


async def test_one_hop_to_a_thread(drop_ins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hops = 0
    run_sync = to_thread.run_sync

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal hops
        hops += 1
        return await run_sync(*args, **kwargs)

    monkeypatch.setattr(to_thread, "run_sync", counted)
    await load_network_conf(drop_ins, "n")
    assert hops == 1


async def test_a_dead_disk_does_not_hold_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, write_end = os.pipe()
    begun, is_over = threading.Event(), threading.Event()

    def read(_path: str) -> bytes:
        begun.set()
        os.read(release, 1)
        is_over.set()
        return b""

    monkeypatch.setattr(files, "_read_file", read)
    try:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(conf_from_file, tmp_path)
                await eventually(begun.is_set)
                group.cancel_scope.cancel()
        assert not is_over.is_set()
    finally:
        os.write(write_end, b"x")
        os.close(write_end)
        await eventually(is_over.is_set)  # otherwise the thread could read from another file
        os.close(release)


async def test_two_dots_lead_where_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "10.conf").write_text('{"type": "t", "name": "n"}')
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    directory = f"{tmp_path}/link/.."
    assert len(await conf_files(directory, [".conf"])) == 1
    assert (await load_conf(directory, "n")).network.type == "t"

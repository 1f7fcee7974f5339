"""A lock file that is removed or replaced, or that has another name: still one order."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from cni_async import CacheError, CNIConfig
from cni_async.operations.order import Locks
from cni_async.testing import FakeExec
from tests.support.chains import RT, network
from tests.support.crowd import Crowd, attachment, collection, container, nobody_left
from tests.support.holder import holder, is_queueing

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    async with nobody_left():
        yield


def remove(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    fresh = file.with_name("fresh")
    fresh.touch(0o600)
    fresh.rename(file)


LOSES_ITS_NAME = pytest.mark.parametrize("change", [remove, replace])


@LOSES_ITS_NAME
async def test_who_waited_for_the_old_one_waits_for_the_new_one(
    tmp_path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "lock"
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(file))
        with holder("c", file) as old:
            assert await old.says() == "inside"
            await crowd.arrive("one", container())
            await crowd.arrive("two", container())
            change(file)
            with holder("c", file) as new:
                # A process that begins now cannot know of the old file.
                assert await new.says() == "inside"
                old.tell()
                await crowd.has_inside()
                assert crowd._locks.is_busy("s", "c")
                new.tell()
                await crowd.has_inside("one")
                # Nor may the old lock be held beside processes that know only the new file.
                with holder("c", file) as newer:
                    await is_queueing(file, "container", "c")
                    await crowd.has_inside("one")
                    crowd.tell("one")
                    assert await newer.says() == "inside"
                    await crowd.has_inside()
                    newer.tell()
                    await crowd.has_inside("two")
        await crowd.end()
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage() for each in warnings] == [
        f"lock file {file} was removed or replaced: operations that began before are not waited for"
    ]


@LOSES_ITS_NAME
async def test_who_is_in_here_is_waited_for_here(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """This holds for any cache, and whether or not another operation came in between."""
    file = tmp_path / "lock"
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(file))
        await crowd.arrive("one", attachment(scope="one"))
        await crowd.has_inside("one")
        change(file)
        await crowd.arrive("between", container("d"))
        await crowd.has_inside("one", "between")
        await crowd.arrive("two", attachment(scope="two"))
        await crowd.arrive("gc", collection(scope="three"))
        await crowd.has_inside("one", "between")
        assert crowd._locks.is_busy("s", "c")
        crowd.tell("one")
        await crowd.has_inside("two", "between")
        await crowd.end("gc")


async def test_busy_in_either(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    locks = Locks(file)
    with holder("c", file) as old:
        assert await old.says() == "inside"
        async with container("mine")(locks):
            replace(file)
            with holder("d", file) as new:
                assert await new.says() == "inside"
                assert locks.is_busy("s", "c")
                assert locks.is_busy("s", "d")
                assert not locks.is_busy("s", "e")
                assert locks.is_busy("s", "mine")


async def test_its_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    locks = Locks(folder / "lock")
    async with container()(locks):
        remove(folder / "lock")
        folder.rmdir()
        with pytest.raises(CacheError, match=r"cannot lock .*/run/lock: no such file or directory"):
            async with container("d")(locks):
                pass
        folder.mkdir()
        async with container("d")(locks):
            pass


async def test_replaced_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if only the inode number changes each time. The operation does not retry forever."""
    file = tmp_path / "lock"
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    with pytest.raises(CacheError) as caught:
        async with container()(Locks(file)):
            pass
    assert str(caught.value) == f"cannot lock {file}: it is replaced again and again"
    assert caught.value.path == str(file)
    assert not Locks(file).is_busy("s", "c")


# -- which file is locked


async def test_the_current_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    locks = Locks("lock")
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache_dir=tmp_path / "cache", lock_file="lock")
    monkeypatch.chdir(second)
    async with container()(locks):
        await cni.add_network_list(network("a"), RT)
        assert Locks(first / "lock").is_busy("s", "c")
    assert os.listdir(first) == ["lock"]
    assert os.listdir(second) == []


async def test_no_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(CacheError) as caught:
        Locks("lock")
    assert str(caught.value) == "cannot lock lock: no such file or directory"
    async with container()(Locks(tmp_path / "lock")):
        pass


async def test_dots_behind_a_symlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there" / "below")
    monkeypatch.chdir(tmp_path)
    async with container()(Locks("link/../lock")):
        pass
    assert (tmp_path / "there" / "lock").exists()


@pytest.mark.parametrize("link", ["symlink", "hard link", "folder"])
async def test_two_names_of_one_lock_file(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    file, other = folder / "lock", tmp_path / "other"
    file.touch()
    if link == "symlink":
        other.symlink_to(file)
    elif link == "hard link":
        other.hardlink_to(file)
    else:
        other.symlink_to(folder)
        other /= "lock"
    async with anyio.create_task_group() as group:
        ours, theirs = Crowd(group, Locks(file)), Crowd(group, Locks(other))
        await ours.arrive("one", attachment(scope="one"))
        await ours.has_inside("one")
        await theirs.arrive("two", attachment(scope="two"))
        await theirs.arrive("gc", collection(scope="two"))
        await theirs.has_inside()
        assert theirs._locks.is_busy("two", "c")
        ours.tell("one")
        await theirs.has_inside("two")
        await theirs.end("gc")


async def test_a_frozen_file_system_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.12 O_CREAT waits there, even where the file exists."""
    file = tmp_path / "lock"
    file.touch()
    flags: list[int] = []
    really_open = os.open

    def spy(path: str, how: int, *more: int) -> int:
        flags.append(how)
        return really_open(path, how, *more)

    monkeypatch.setattr(os, "open", spy)
    async with container()(Locks(file)):
        pass
    assert flags
    assert not any(how & os.O_CREAT for how in flags)

"""DEL when the namespace's path leads to another kind of file, as it does after a reboot."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from cni_async import CNIConfig, DefaultExec, GCArgs, RuntimeConf
from cni_async._async import disk
from cni_async._async.disk import Disk
from cni_async._async.threads import Threads
from cni_async.invoke import namespace
from cni_async.invoke.namespace import is_something_else
from tests.support.chains import network, runtime
from tests.support.recorder import Answer, Recorder

pytestmark = pytest.mark.anyio

NET = network("a", "b")
OWN = "/proc/self/ns/net"


@pytest.fixture
def cni(recorder: Recorder, tmp_path: Path) -> CNIConfig:
    recorder.plugin("a")
    recorder.plugin("b")
    return CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path that leads to a namespace until a test replaces it."""
    path = tmp_path / "blue"
    path.symlink_to(OWN)
    return path


def left_without_mount(path: Path) -> None:
    """Replace the namespace as a reboot does if the directory is on a disk."""
    path.unlink()
    path.touch()


def at(path: object) -> RuntimeConf:
    return RuntimeConf("c1", str(path), "eth0")


def sent(recorder: Recorder, command: str = "DEL") -> set[str]:
    return {call.environ["CNI_NETNS"] for call in recorder.calls(command)}


async def test_del(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    await cni.add_network_list(NET, at(path))
    left_without_mount(path)
    await cni.del_network_list(NET, at(path))
    assert recorder.order()[2:] == ["b DEL", "a DEL"]
    assert sent(recorder, "ADD") == {str(path)}
    assert sent(recorder) == {""}
    assert await cni.get_cached_attachments() == []


async def test_it_is_logged(cni: CNIConfig, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left_without_mount(path)
    with caplog.at_level(logging.WARNING):
        await cni.del_network_list(NET, at(path))
    assert caplog.messages == [f"{path} is not a network namespace; DEL goes on without it"]


async def test_del_attachment(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    await cni.add_network_list(NET, at(path))
    left_without_mount(path)
    [attachment] = await cni.get_cached_attachments()
    assert attachment.netns == str(path)
    await cni.del_attachment(attachment)
    assert sent(recorder) == {""}


async def test_gc(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    await cni.add_network_list(NET, at(path))
    left_without_mount(path)
    await cni.gc_network_list(NET, GCArgs())
    assert sent(recorder) == {""}


async def test_the_end_of_a_block(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    async with cni.attachment(NET, at(path)):
        left_without_mount(path)
    assert sent(recorder) == {""}


async def test_rollback(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    """The rollback also handles a path that never led to a namespace."""
    left_without_mount(path)
    recorder.plugin("b", {"ADD": Answer(exit_code=1)})
    with pytest.raises(Exception, match="exit status 1"):
        await cni.add_network_list(NET, at(path))
    assert sent(recorder, "ADD") == {str(path)}
    assert sent(recorder) == {""}
    assert await cni.get_cached_attachments() == []


async def test_only_on_del(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    await cni.add_network_list(NET, at(path))
    left_without_mount(path)
    await cni.check_network_list(NET, at(path))
    assert sent(recorder, "CHECK") == {str(path)}


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
async def test_whatever_it_is(
    cni: CNIConfig, recorder: Recorder, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "odd"
    make(path)
    await cni.del_network_list(NET, at(path))
    assert sent(recorder) == {""}


async def test_a_path_that_can_lead_nowhere(
    cni: CNIConfig, recorder: Recorder, tmp_path: Path
) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    (tmp_path / "file").touch()
    for path in (circle, tmp_path / "file" / "net", tmp_path / ("x" * 300), "/n\0x"):
        recorder.forget()
        await cni.del_network_list(NET, at(path))
        assert sent(recorder) == {""}


async def test_what_is_missing_is_left_to_the_plugins(
    cni: CNIConfig, recorder: Recorder, tmp_path: Path
) -> None:
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "gone")
    for path in (tmp_path / "gone", dangling, "/proc/0/ns/net"):
        recorder.forget()
        await cni.del_network_list(NET, at(path))
        assert sent(recorder) == {str(path)}


async def test_a_namespace_is_sent(cni: CNIConfig, recorder: Recorder, path: Path) -> None:
    for one in (path, OWN, f"/proc/{os.getpid()}/ns/net"):
        recorder.forget()
        await cni.del_network_list(NET, at(one))
        assert sent(recorder) == {str(one)}


async def test_an_exec_of_ones_own_may_see_other_files(tmp_path: Path) -> None:
    fake = runtime()
    path = tmp_path / "odd"
    path.touch()
    await fake.cni.del_network_list(NET, at(path))
    assert {call.environ["CNI_NETNS"] for call in fake.exec.calls} == {str(path)}


async def test_libcnis_own_exec_does_not(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a")
    path = tmp_path / "odd"
    path.touch()
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", exec=DefaultExec())
    await cni.del_network_list(network("a"), at(path))
    assert sent(recorder) == {""}


@pytest.mark.parametrize("error", [PermissionError, OSError])
def test_what_cannot_be_looked_at_is_not_known_to_be_something_else(
    monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def stat(path: str) -> os.stat_result:
        raise error

    monkeypatch.setattr("cni_async.invoke.namespace.os", SimpleNamespace(stat=stat))
    assert not is_something_else("/run/netns/blue")


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(namespace, "_OWN", str(tmp_path / "no"))
    assert not is_something_else(str(tmp_path))


async def test_a_file_system_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, cni: CNIConfig, recorder: Recorder, tmp_path: Path
) -> None:
    """The file system blocks neither the event loop nor, for ever, the DEL."""
    asked, answer = threading.Event(), threading.Event()

    def hangs(path: str) -> bool:
        asked.set()
        return answer.wait(60)

    monkeypatch.setattr(namespace, "is_something_else", hangs)
    monkeypatch.setattr(namespace, "_PATIENCE", 0.05)
    try:
        with anyio.fail_after(30):
            await cni.del_network_list(NET, at(tmp_path))
    finally:
        answer.set()
    assert asked.is_set()
    assert sent(recorder) == {str(tmp_path)}


async def test_only_what_is_in_memory_is_asked_in_the_event_loop_s_thread(
    monkeypatch: pytest.MonkeyPatch, cni: CNIConfig, recorder: Recorder, tmp_path: Path
) -> None:
    """Only paths in memory are checked in the event loop's thread, once they have proved fast."""
    threads: list[bool] = []

    def look(path: str) -> bool:
        threads.append(threading.current_thread() is threading.main_thread())
        return False

    monkeypatch.setattr(namespace, "is_something_else", look)
    monkeypatch.setattr(namespace, "_MEMORY", Disk())
    for name in ("_SLOW", "_SLOW_IN_THREAD", "_FAST_FOR"):
        monkeypatch.setattr(disk, name, 60)  # this machine may be slow
    monkeypatch.setattr(os.path, "islink", lambda path: path == "/run/netns/link")
    inline: dict[object, bool] = {
        tmp_path: False,
        "/run/netns/a": False,
        "/proc/1/ns/net": True,
        "/var/run/netns/b": True,
        "/run/netns/link": False,
        "/run/user/1/blue": False,
        "/proc/1/root/mnt/blue": False,
    }
    for path in inline:
        await cni.del_network_list(NET, at(path))
    assert threads == list(inline.values())


async def test_no_thread_to_be_had(
    monkeypatch: pytest.MonkeyPatch, cni: CNIConfig, recorder: Recorder, tmp_path: Path
) -> None:
    async def visit(*_: object) -> bool:
        raise OSError

    monkeypatch.setattr(Threads, "visit", visit)
    await cni.del_network_list(NET, at(tmp_path))
    assert sent(recorder) == {str(tmp_path)}

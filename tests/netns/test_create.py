"""`new`, `create`, `remove` and `list`: they do what `ip netns` does, and leave nothing behind."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import netns
from cni_async.netns import NetNSError, kernel, mounted
from tests.support.require import require
from tests.support.scripts import open_fds
from tests.support.steps import cancelled_after

pytestmark = pytest.mark.anyio


def mounts(directory: Path) -> list[str]:
    """Return the mount points in a directory."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [where for where in (line.split()[1] for line in lines) if f"{directory}/" in where]


def left(directory: Path) -> tuple[list[str], list[str]]:
    """Return what namespaces have left in a directory: files and mounts."""
    return (os.listdir(directory) if directory.exists() else [], mounts(directory))


def netns_threads() -> list[str]:
    """Return the threads that are in a namespace or on the way there."""
    return [each.name for each in threading.enumerate() if each.name == "cni_async.netns"]


async def test_a_namespace_for_a_block(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        assert ns.name is not None
        assert ns.name.startswith("cni-")
        assert ns.path == str(directory / ns.name)
        assert os.fspath(ns) == ns.path
        assert await ns.exists()
        assert not ns.same_as(netns.current())
        assert mounts(directory) == [ns.path]
        [loopback] = await ns.interfaces()
        assert (loopback.name, loopback.up) == ("lo", True)
    assert left(directory) == ([], [])
    assert not await ns.exists()


async def test_without_loopback_and_with_another_prefix(directory: Path) -> None:
    async with netns.new(prefix="vm-", dir=directory, loopback=False) as ns:
        assert ns.name is not None
        assert ns.name.startswith("vm-")
        [loopback] = await ns.interfaces()
        assert not loopback.up
        await ns.loopback_up()
        [loopback] = await ns.interfaces()
        assert loopback.up


async def test_the_block_fails(directory: Path) -> None:
    with pytest.raises(LookupError):
        async with netns.new(dir=directory):
            raise LookupError
    assert left(directory) == ([], [])


async def test_the_block_has_removed_it_already(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        await netns.remove(ns)
    assert left(directory) == ([], [])


async def test_a_thousand_leave_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend_name: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process is started")

    for module, name in ((os, "fork"), (os, "posix_spawn"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, refuse)
    async with netns.new(dir=directory):
        pass  # the event loop has its worker thread now
    threads, fds = len(os.listdir("/proc/self/task")), open_fds()

    async def several() -> None:
        for _ in range(250 if anyio_backend_name == "asyncio" else 25):
            async with netns.new(dir=directory):
                pass

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(several)
    assert left(directory) == ([], [])
    assert netns_threads() == []
    assert open_fds() == fds
    # anyio keeps a worker for each of the four tasks.
    assert len(os.listdir("/proc/self/task")) <= threads + 4


async def test_it_is_where_ip_netns_looks() -> None:
    require(os.geteuid() == 0, "creating network namespaces needs root")
    assert netns.RUN_DIR == "/run/netns"
    name = f"cni-test-{os.getpid()}"
    ns = await netns.create(name)
    try:
        said = await anyio.run_process(["ip", "netns", "exec", name, "ip", "-o", "link"])
        assert b"LOOPBACK,UP" in said.stdout
        assert ns in await netns.list()
    finally:
        await netns.remove(ns)
    assert ns not in await netns.list()


async def test_another_mount_namespace_sees_it(run_dir: Path) -> None:
    """A runtime in another mount namespace, e.g. a daemon of systemd, gets what is mounted."""
    async with netns.new(dir=run_dir):
        pass  # the run_dir is shared from now on
    script = f"echo ready; read line; stat -f -c %T {run_dir}/web"
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script]
    async with await anyio.open_process(command) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert await process.stdout.receive() == b"ready\n"
        ns = await netns.create("web", dir=run_dir)
        await process.stdin.send(b"\n")
        assert await process.stdout.receive() == b"nsfs\n"
        await process.wait()
    await netns.remove(ns)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0b", "x" * 256, "ü" * 128])
async def test_names_that_no_file_can_have(directory: Path, name: str) -> None:
    with pytest.raises(NetNSError, match="name"):
        await netns.create(name, dir=directory)
    assert not directory.exists()


async def test_a_name_that_is_no_string(directory: Path) -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="name must be a string, not int"):
        await netns.create(wrong, dir=directory)


async def test_a_name_that_is_taken(directory: Path) -> None:
    ns = await netns.create("web", dir=directory)
    with pytest.raises(NetNSError, match=r"cannot create .*/web: File exists") as caught:
        await netns.create("web", dir=directory)
    assert (caught.value.path, caught.value.errno) == (ns.path, errno.EEXIST)
    assert await ns.exists()
    assert await netns.create("web", dir=directory, exist_ok=True) == ns
    await netns.remove(ns)


async def test_a_file_that_a_reboot_has_left(directory: Path) -> None:
    directory.mkdir()
    (directory / "web").touch()
    with pytest.raises(NetNSError, match="File exists"):
        await netns.create("web", dir=directory)
    ns = await netns.create("web", dir=directory, exist_ok=True)
    assert await ns.exists()
    await netns.remove(ns)
    assert left(directory) == ([], [])


async def test_a_file_of_another_program_stays(directory: Path) -> None:
    directory.mkdir()
    (directory / "data").write_text("data")
    (directory / "link").symlink_to(directory / "data")
    (directory / "folder").mkdir()
    for name in ("data", "link", "folder"):
        with pytest.raises(NetNSError, match="it is not a network namespace"):
            await netns.create(name, dir=directory, exist_ok=True)
        with pytest.raises(NetNSError, match=r"it is (not a network namespace|a link)"):
            await netns.remove(directory / name)
    assert (directory / "data").read_text() == "data"
    assert sorted(os.listdir(directory)) == ["data", "folder", "link"]


async def test_a_link_to_a_namespace_is_not_removed(directory: Path) -> None:
    ns = await netns.create("web", dir=directory)
    link = directory / "link"
    link.symlink_to(ns.path)
    with pytest.raises(NetNSError, match="it is a link"):
        await netns.remove(link)
    assert await ns.exists()
    await netns.remove(ns)
    with pytest.raises(NetNSError, match="it is a link"):
        await netns.remove(netns.current())


async def test_remove_succeeds_if_nothing_is_there(directory: Path) -> None:
    await netns.remove(directory / "web")
    ns = await netns.create("web", dir=directory)
    await netns.remove(ns)
    await netns.remove(ns)
    (directory / "web").touch()  # a crash between umount and unlink leaves it
    await netns.remove(str(directory / "web"))
    assert left(directory) == ([], [])


async def test_two_namespaces_at_one_path(directory: Path) -> None:
    ns = await netns.create("web", dir=directory)
    other = await netns.create("other", dir=directory)
    await other.run(kernel.bind_own, ns.path)
    assert mounts(directory).count(ns.path) == 2
    await netns.remove(ns)
    await netns.remove(other)
    assert left(directory) == ([], [])


async def test_list(directory: Path) -> None:
    assert await netns.list(directory) == []
    b = await netns.create("b", dir=directory)
    a = await netns.create("a", dir=directory)
    (directory / "empty").touch()
    (directory / "folder").mkdir()
    os.mkfifo(directory / "fifo")
    (directory / "nowhere").symlink_to("nothing")
    assert await netns.list(str(directory)) == [a, b]
    with pytest.raises(NetNSError, match="Not a directory"):
        await netns.list(directory / "empty")
    await netns.remove(a)
    await netns.remove(b)


@pytest.mark.parametrize("step", ["unshare", "set_loopback_up", "bind_own"])
async def test_a_step_that_the_kernel_refuses(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(kernel, step, refuse)
    with pytest.raises(NetNSError, match="CAP_SYS_ADMIN") as caught:
        await netns.create("web", dir=directory)
    assert str(caught.value) == (
        f"cannot create network namespace {directory}/web: Operation not permitted "
        '(it needs CAP_SYS_ADMIN: run as root, or in "unshare -Urnm")'
    )
    assert left(directory) == ([], [])


async def test_no_thread_can_be_started(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with netns.new(dir=directory) as ns:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NetNSError, match="no thread can be started"):
            await netns.create("web", dir=directory)
        with pytest.raises(NetNSError, match="no thread can be started"):
            await ns.run(print)
        monkeypatch.undo()
    assert left(directory) == ([], [])


async def test_another_process_holds_the_lock(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the lock of `ip netns add` is bounded."""
    monkeypatch.setattr(mounted, "_LOCK_ATTEMPTS", 2)
    run_dir.mkdir()
    fd = os.open(run_dir, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        with pytest.raises(NetNSError, match="another process holds the lock"):
            await netns.create("web", dir=run_dir)
    finally:
        os.close(fd)
    assert left(run_dir) == ([], [])
    async with netns.new(dir=run_dir):
        pass


async def test_many_at_once_share_one_directory(run_dir: Path) -> None:
    """Only the first caller mounts the directory on itself."""
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(partial(netns.create, f"ns{number}", dir=run_dir))
    assert len(await netns.list(run_dir)) == 20
    lines = Path("/proc/self/mounts").read_text().splitlines()
    assert [line.split()[1] for line in lines].count(str(run_dir)) == 1
    for ns in await netns.list(run_dir):
        await netns.remove(ns)


@pytest.mark.parametrize("by_task", [False, True], ids=["scope", "task"])
@pytest.mark.parametrize("step", range(1, 9))
async def test_cancelled_after_any_step(
    directory: Path, anyio_backend_name: str, step: int, *, by_task: bool
) -> None:
    if by_task and anyio_backend_name == "trio":
        return  # only asyncio has task.cancel()

    async def create() -> None:
        await netns.create("web", dir=directory)

    async def block() -> None:
        async with netns.new(dir=directory):
            await anyio.sleep(0)

    outcome = await cancelled_after(step, create, by_task=by_task)
    if outcome.cancelled:
        assert left(directory) == ([], [])
    else:
        assert outcome.error is None
        await netns.remove(directory / "web")
    outcome = await cancelled_after(step, block, by_task=by_task)
    assert outcome.error is None
    assert left(directory) == ([], [])
    assert netns_threads() == []


async def test_without_root(directory: Path, tmp_path: Path) -> None:
    """A user without privileges can do all of it below ``unshare -Urnm``."""
    code = """
import sys, anyio
from cni_async import netns
async def main():
    async with netns.new(dir=sys.argv[1]) as ns:
        print(await ns.exists(), [each.name for each in await ns.interfaces()])
    print(await netns.list(sys.argv[1]))
anyio.run(main)
"""
    command = ["unshare", "-Urnm", sys.executable, "-c", code, str(directory)]
    done = await anyio.run_process(command, check=False)
    if done.returncode and b"unshare" in done.stderr:
        require(False, f"no user namespaces: {done.stderr.decode()}")
    assert (done.stdout, done.stderr) == (b"True ['lo']\n[]\n", b"")


async def test_the_second_thing_that_fails_does_not_hide_the_first(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the block fails, and the removal too, the traceback has both."""

    def refuse(path: str) -> None:
        raise OSError(errno.EIO, "I/O error")

    async def block() -> None:
        async with netns.new(dir=directory):
            monkeypatch.setattr(kernel, "unmount", refuse)
            raise LookupError("the block's")

    with pytest.raises(NetNSError, match="cannot remove network namespace") as caught:
        await block()
    context = caught.value.__context__
    while context is not None and not isinstance(context, LookupError):
        context = context.__context__
    assert str(context) == "the block's"

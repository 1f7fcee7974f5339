"""`NetNS`: its identity, the processes and interfaces in it, and calls that run inside it."""

from __future__ import annotations

import os
import socket
import threading
from ipaddress import ip_interface
from pathlib import Path

import anyio
import pytest

from cni_async import RuntimeConf, netns
from cni_async.netns import NetNSError, kernel
from tests.support.wait import PATIENCE

pytestmark = pytest.mark.anyio


async def test_a_namespace_at_a_path(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        assert netns.at(ns.path) == ns
        assert netns.at(Path(ns.path)) == ns
        link = directory.with_name("link")
        link.symlink_to(ns.path)
        assert netns.at(link) != ns
        assert netns.at(link).same_as(ns)
        assert RuntimeConf("web", ns, "eth0").netns == ns.path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/passwd", "/etc/passwd is not a network namespace"),
        ("/", "/ is not a network namespace"),
        ("/proc/self/ns/mnt", "/proc/self/ns/mnt is not a network namespace"),
        ("/dev/null", "/dev/null is not a network namespace"),
        ("/nowhere", "no network namespace at /nowhere: No such file or directory"),
        ("/etc/passwd/x", "no network namespace at /etc/passwd/x: Not a directory"),
    ],
)
async def test_no_namespace_at_a_path(path: str, text: str) -> None:
    with pytest.raises(NetNSError) as caught:
        netns.at(path)
    assert (str(caught.value), caught.value.path) == (text, path)


async def test_a_path_with_a_nul() -> None:
    with pytest.raises(NetNSError, match="no network namespace at"):
        netns.at("a\0b")


async def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NetNSError, match="is not a network namespace"):
        netns.at(tmp_path / "fifo")


async def test_the_namespace_of_a_process() -> None:
    own = netns.of_pid(os.getpid())
    assert own.path == f"/proc/{os.getpid()}/ns/net"
    assert own.name is None
    assert own.same_as(netns.current())
    assert os.getpid() in await own.processes()
    with pytest.raises(NetNSError, match="No such file or directory"):
        netns.of_pid(2**22 + 1)


async def test_the_namespace_of_a_thread(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        inside = await ns.run(netns.current)
        assert inside.same_as(ns)
    # The thread ends, and its path with it; the kernel may take a moment.
    with anyio.fail_after(PATIENCE):
        while await inside.exists():
            await anyio.sleep(0.01)


async def test_a_path_that_is_used_again_is_another_namespace(directory: Path) -> None:
    ns = await netns.create("web", dir=directory)
    keep = await ns.run(socket.socket)  # keeps the old namespace, so its inode, alive
    await netns.remove(ns)
    again = await netns.create("web", dir=directory)
    assert ns != again
    assert not await ns.exists()
    assert await again.exists()
    await netns.remove(again)
    keep.close()


async def test_run(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        names, thread = await ns.run(
            lambda: ([name for _, name in socket.if_nameindex()], threading.current_thread())
        )
        assert names == ["lo"]
        assert not thread.is_alive()
        assert await ns.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(FileNotFoundError, match="nowhere"):  # its own error, as it is
            await ns.run(open, "/nowhere")
        with pytest.raises(SystemExit):
            await ns.run(lambda: (_ for _ in ()).throw(SystemExit(3)))
    with pytest.raises(NetNSError, match=r"cannot enter .*: No such file or directory"):
        await ns.run(print)


async def test_the_callers_thread_stays_where_it_is(directory: Path) -> None:
    before = netns.current()
    async with netns.new(dir=directory) as ns:
        await ns.run(print)
    assert netns.current() == before


async def test_a_cancelled_caller_waits_for_the_function(directory: Path) -> None:
    begun, end = threading.Event(), threading.Event()
    ended: list[bool] = []

    def function() -> None:
        begun.set()
        end.wait(10)
        ended.append(True)

    async with netns.new(dir=directory) as ns, anyio.create_task_group() as group:
        group.start_soon(ns.run, function)
        await anyio.to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
        end.set()
    assert ended == [True]


async def test_processes(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        assert await ns.processes() == []
        command = ns.command(["sh", "-c", "echo ready; read line"])
        assert command[:2] == ["nsenter", f"--net={ns.path}"]
        async with await anyio.open_process(command) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert await process.stdout.receive() == b"ready\n"
            assert await ns.processes() == [process.pid]
            await process.stdin.send(b"\n")
        assert await ns.processes() == []


async def test_interfaces(directory: Path) -> None:
    async with netns.new(dir=directory) as ns:
        for words in (
            "link add v0 address 02:00:00:00:00:01 mtu 1400 type veth peer name v1",
            "addr add 10.1.0.5/16 dev v0",
            "addr add 10.1.0.6/32 dev v0",
            "addr add 2001:db8::5/64 dev v0 nodad",
            "addr add 10.2.0.1 peer 10.2.0.2/32 dev v1",
            "link set v0 up",
        ):
            await anyio.run_process(ns.command(["ip", *words.split()]))
        loopback, v1, v0 = await ns.interfaces()
    assert (loopback.name, loopback.mtu, loopback.up) == ("lo", 65536, True)
    assert loopback.addresses == (ip_interface("127.0.0.1/8"), ip_interface("::1/128"))
    assert (v0.name, v0.mac, v0.mtu, v0.up) == ("v0", "02:00:00:00:00:01", 1400, True)
    assert set(v0.addresses) == set(
        map(ip_interface, ["10.1.0.5/16", "10.1.0.6/32", "2001:db8::5/64"])
    )
    assert (v1.name, v1.up) == ("v1", False)
    assert v1.addresses == (ip_interface("10.2.0.1/32"),)
    assert loopback.index < v1.index < v0.index


async def test_many_interfaces(directory: Path) -> None:
    """The kernel's answer comes in several parts."""
    async with netns.new(dir=directory) as ns:
        batch = "".join(f"link add v{n} type veth peer name w{n}\n" for n in range(150))
        await anyio.run_process(ns.command(["ip", "-batch", "-"]), input=batch.encode())
        names = {each.name for each in await ns.interfaces()}
    assert names == {"lo", *(f"{side}{n}" for side in "vw" for n in range(150))}


async def test_no_rights(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    async with netns.new(dir=directory) as ns:
        monkeypatch.setattr(kernel, "enter", refuse)
        with pytest.raises(NetNSError, match=r"cannot enter .*CAP_SYS_ADMIN"):
            await ns.interfaces()

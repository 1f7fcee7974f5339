"""The environment in which a plugin starts, the cost of a call, and concurrent calls."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import pytest

from cni_async.errors import OutputLimitError, PluginError, PluginTimeoutError
from cni_async.invoke import RawExec, Spawn, start_posix
from tests.support import starts
from tests.support.program import run_program
from tests.support.scripts import Scripts, children, has_children, open_fds, skip_on, wait_for_fds

pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

NO_MESSAGE = "netplugin failed with no error message: "
HANG = 60
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    """Check that a test leaves no children (zombies included) and no file descriptors."""
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


async def run(path: str, environ: Mapping[str, str] | None = None) -> str:
    with anyio.fail_after(20):
        return (await RawExec().exec_plugin(path, b"{}", environ)).decode()


# The resources of the child


async def test_no_file_descriptors(scripts: Scripts, tmp_path: Path) -> None:
    """The child has only stdin, stdout and stderr, even if we have inheritable descriptors."""
    skip_on("uvloop", "uvloop hands on what an application has made inheritable", "anyio")
    if start_posix._CLOSEFROM is None:
        starts.skip_with("posix", "without that it hands on what is inheritable")
    (tmp_path / "secret").touch()
    path = scripts.python("import os\nprint(sorted(os.listdir('/proc/self/fd')))")
    fd = os.open(tmp_path / "secret", os.O_RDONLY)
    try:
        os.set_inheritable(fd, True)
        # The last descriptor belongs to the listing itself.
        assert await run(path) == "['0', '1', '2', '3']\n"
    finally:
        os.close(fd)


async def test_real_pipes(scripts: Scripts) -> None:
    """The streams are pipes. Sockets cannot be opened again, and files may be shared."""
    path = scripts.sh("for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done")
    kinds = [line.split(":")[0] for line in (await run(path)).splitlines()]
    assert kinds == ["pipe"] * 3


async def test_session_and_terminal(scripts: Scripts) -> None:
    """The plugin has its own session, leads its process group, and has no terminal."""
    path = scripts.python(
        """
        import os
        print(os.getpid() == os.getsid(0) == os.getpgrp())
        try:
            os.open("/dev/tty", os.O_RDWR)
        except OSError as error:
            print(error.errno)
        """
    )
    assert await run(path) == f"True\n{errno.ENXIO}\n"


async def test_signal_dispositions(scripts: Scripts) -> None:
    """Python ignores SIGPIPE and SIGXFSZ; a plugin must not ignore them, or it never notices."""
    status = await run(scripts.sh("exec grep -E '^Sig(Ign|Blk)' /proc/self/status"))
    masks = dict(line.split() for line in status.splitlines())
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert not int(masks["SigIgn:"], 16) & 1 << (number - 1)
    assert int(masks["SigBlk:"], 16) == 0


async def test_item_232_no_shell_and_no_arguments(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is executed by its path, in our working directory."""
    monkeypatch.chdir(scripts.folder)
    path = scripts.sh('echo "$#" "$0"; pwd', "a $(plugin); with *")
    assert await run(path) == f"0 {path}\n{scripts.folder}\n"


async def test_item_201_own_environment(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNI_ASYNC_TEST", "inherited \udcff")
    assert await run(scripts.sh('printf %s "$CNI_ASYNC_TEST" | od -An -tx1 -j9')) == " 20 ff\n"


@pytest.mark.parametrize("kind", [dict, MappingProxyType])
async def test_given_environment(
    scripts: Scripts, kind: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> None:
    """The plugin gets this environment and nothing else."""
    environ = {"A": "b=c;d\n", "EMPTY": ""}
    path = scripts.sh("cat /proc/$$/environ; exit")
    assert await run(path, kind(environ)) == "A=b=c;d\n\0EMPTY=\0"


# The cost for our process


async def test_nothing_is_left_after_any_ending(scripts: Scripts) -> None:
    """After calls of every kind, no child and no additional descriptor is left."""
    good = scripts.sh("exec cat", "good")
    bad = scripts.sh("echo no >&2; exit 1", "bad")
    slow = scripts.sh(f"exec sleep {HANG}", "slow")
    loud = scripts.sh("exec yes", "loud")
    unable = scripts.sh("exit", "unable")
    os.chmod(unable, 0o644)
    await run(good)  # opens the descriptors that the process keeps for ever
    before = open_fds()
    for _ in range(10):
        await run(good)
        with pytest.raises(PluginError):
            await run(bad)
        with pytest.raises(PluginError):
            await run(unable)
        with pytest.raises(PluginTimeoutError):
            await RawExec(timeout=0.01).exec_plugin(slow, bytes(200000), None)
        with pytest.raises(OutputLimitError):
            await RawExec(max_output=9).exec_plugin(loud, b"", None)
        with anyio.move_on_after(0.01) as scope:
            await RawExec().exec_plugin(slow, b"", None)
        assert scope.cancelled_caught
    assert open_fds() == before


@pytest.mark.parametrize("spare", range(14))
async def test_too_few_file_descriptors(scripts: Scripts, spawn: Spawn, spare: int) -> None:
    """The call succeeds or raises a clear, retryable error; no descriptor is leaked."""
    skip_on("uvloop", "uvloop itself leaks descriptors when there are too few", "anyio")
    path = scripts.sh("exec cat")
    await run(path)
    top = max(open_fds()) + 1
    fillers = []
    while (fd := os.open("/dev/null", os.O_RDONLY)) <= top:
        fillers.append(fd)
    fillers.append(fd)
    before = open_fds()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1 + spare, limits[1]))
        # The call needs three pipes. Popen needs another and may get only half of it.
        if spare < (6 if spawn == "posix" else 7):
            with pytest.raises(PluginError) as caught:
                await run(path)
            assert str(caught.value) == f"{NO_MESSAGE}fork/exec {path}: too many open files"
            assert caught.value.retryable
        else:
            assert await run(path) == "{}"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        after = open_fds()
        for fd in fillers:
            os.close(fd)
    assert after == before


async def test_a_hundred_calls_at_once(scripts: Scripts) -> None:
    """Each call gets the answer to its own input."""
    path = scripts.sh('sleep 0.5; echo "$CNI_CONTAINERID"; exec cat')
    before = open_fds()
    answers: dict[int, bytes] = {}
    at_once = 0

    async def call(number: int) -> None:
        environ = {**os.environ, "CNI_CONTAINERID": str(number)}
        answers[number] = await RawExec().exec_plugin(path, b"%d" % (number * number), environ)

    with anyio.fail_after(HANG - 5):
        async with anyio.create_task_group() as calls:
            for number in range(100):
                calls.start_soon(call, number)
            while len(answers) < 100:
                at_once = max(at_once, len(children()))
                await anyio.sleep(0.05)
    assert at_once > 1
    assert answers == {number: b"%d\n%d" % (number, number * number) for number in range(100)}
    assert open_fds() == before


async def test_a_hundred_calls_cancelled(scripts: Scripts) -> None:
    """All calls return soon, and no plugin is left."""
    path = scripts.sh(f"exec sleep {HANG}")
    before = open_fds()
    with anyio.fail_after(HANG - 5):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as calls:
                for _ in range(100):
                    calls.start_soon(RawExec(grace=HANG).exec_plugin, path, b"", None)
                while len(children()) < 100:
                    await anyio.sleep(0.05)
                scope.cancel()
    assert scope.cancelled_caught
    assert open_fds() == before


# The event loop belongs to the application


async def test_event_loop_is_not_touched(scripts: Scripts) -> None:
    """The signal handlers, the policy and its child watchers belong to the application."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    state = dict(vars(policy)) if policy else None
    await run(scripts.sh("exit"))
    with pytest.raises(PluginTimeoutError):
        await RawExec(timeout=0.1).exec_plugin(scripts.sh(f"sleep {HANG} & sleep 9"), b"", None)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    assert getattr(asyncio.events, "_event_loop_policy", None) is policy
    assert (dict(vars(policy)) if policy else None) == state


async def test_event_loops_in_threads(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """Calls and cancellations work in any thread, and in several at a time."""
    path = scripts.sh("exec cat", "fast")
    slow = scripts.sh(f"exec sleep {HANG}", "slow")
    failures: list[BaseException] = []

    async def work() -> None:
        with anyio.fail_after(30):
            for _ in range(5):
                assert await RawExec().exec_plugin(path, b"{}", None) == b"{}"
                with anyio.move_on_after(0.05) as scope:
                    await RawExec().exec_plugin(slow, b"", None)
                assert scope.cancelled_caught

    def thread() -> None:
        backend, options = anyio_backend
        try:
            anyio.run(work, backend=backend, backend_options=options)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        await anyio.sleep(0.01)
    assert not failures


async def test_no_standard_streams(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """In a daemon that has closed 0, 1 and 2, our pipes get these numbers and calls still work."""
    path = scripts.sh("echo warn >&2; exec cat")
    code = f"""
        import os
        import anyio
        from cni_async.invoke.exec import default_exec
        from tests.support import starts
        starts.inherit()
        async def main():
            os.closerange(0, 3)
            open_fds = []
            for stdin in b"{{}}", bytes(200000), b"{{}}":
                answer = await default_exec().exec_plugin({path!r}, stdin, None)
                assert answer == stdin, answer
                open_fds.append(os.listdir("/proc/self/fd"))
                with open({str(scripts.folder / "log")!r}, "a") as log:
                    log.write("done\\n")
            assert open_fds[1] == open_fds[2], open_fds
        backend, options = {anyio_backend!r}
        anyio.run(main, backend=backend, backend_options=options)
    """
    assert run_program(code=textwrap.dedent(code)).returncode == 0
    assert scripts.read("log") == "done\n" * 3


async def test_starts_in_many_threads(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """Calls work on uvloop too, which refuses simultaneous starts and then loses descriptors."""
    path = scripts.sh("exec cat")
    failures: list[BaseException] = []

    async def work() -> None:
        for _ in range(20):
            assert await RawExec().exec_plugin(path, b"{}", None) == b"{}"

    def thread() -> None:
        backend, options = anyio_backend
        try:
            anyio.run(work, backend=backend, backend_options=options)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread) for _ in range(6)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        await anyio.sleep(0.01)
    assert not failures


async def test_another_thread_starts_a_process(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On uvloop, a start by the application can interfere; the error is retryable."""

    async def race(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("Racing with another loop to spawn a process.")

    starts.skip_with("posix", "any number of threads can do that at once")
    monkeypatch.setattr(anyio, "open_process", race)
    path = scripts.sh("exit")
    with pytest.raises(PluginError) as caught:
        await run(path)
    assert str(caught.value) == (f"{NO_MESSAGE}fork/exec {path}: resource temporarily unavailable")
    assert caught.value.retryable
    assert caught.value.__notes__ == [
        f"{path}: uvloop starts processes in one thread at a time; another one did just then"
    ]

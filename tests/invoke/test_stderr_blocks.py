"""A stderr, or a caller's writer, that accepts no data for a while or for ever."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async.errors import PluginError
from cni_async.invoke import RawExec, stderr as stderr_module
from cni_async.invoke.exec import default_exec
from tests.support.program import run_program
from tests.support.scripts import Scripts, has_children, open_fds, wait_for_fds
from tests.support.wait import eventually

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HANG = 60
# The extra time that a slow machine may add to any wait.
SLACK = 5.0


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


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def writing() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cni_async stderr"]


class Full:
    """A full pipe without a reader, in the place of stderr."""

    def __init__(self, *, blocking: bool) -> None:
        self.ours, self.end = os.pipe()
        os.set_blocking(self.end, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(self.end, bytes(4096))
        except BlockingIOError:
            pass
        os.set_blocking(self.end, blocking)

    def read(self) -> bytes:
        """Return as much as the pipe holds."""
        return os.read(self.ours, self.filled)


@contextmanager
def full_stderr(monkeypatch: pytest.MonkeyPatch, *, blocking: bool) -> Iterator[Full]:
    pipe = Full(blocking=blocking)
    with monkeypatch.context() as patch:
        stream = io.TextIOWrapper(open(pipe.end, "wb"), write_through=True)  # noqa: SIM115
        patch.setattr(sys, "stderr", stream)
        try:
            yield pipe
        finally:
            while pipe.filled and stderr_module._PROCESS_STDERR._is_working:
                pipe.read()
            stream.close()
            os.close(pipe.ours)


@pytest.mark.parametrize("blocking", [True, False])
async def test_stderr_that_nobody_reads(
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    blocking: bool,
) -> None:
    """The first answer comes after a moment, the next one at once; the log reports the loss."""
    path = scripts.sh("echo hi >&2; echo done")
    bad = scripts.sh("echo why >&2; exit 1", "bad")
    with full_stderr(monkeypatch, blocking=blocking) as pipe:
        started = time.monotonic()
        assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
        assert time.monotonic() - started < stderr_module._PATIENCE + SLACK
        threads = threading.active_count()
        started = time.monotonic()
        for _ in range(20):
            assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
        assert time.monotonic() - started < 20 * stderr_module._PATIENCE / 2 + SLACK
        with pytest.raises(PluginError) as caught:
            await default_exec().exec_plugin(bad, b"", None)
        assert caught.value.stderr == "why\n"
        # Before Python 3.12 asyncio has a thread for each child, which ends a little later.
        await eventually(lambda: threading.active_count() <= threads)
        assert [record.name for record in caplog.records] == ["cni_async.invoke.exec"]
        assert caplog.messages == ["stderr of plugins is dropped: it is not being read"]
        # The pipe is read again, and the write that was blocked gets through.
        assert pipe.read() == bytes(pipe.filled)
        assert pipe.read() == b"hi\n"
        until(lambda: len(caplog.records) == 2, "nobody says that it goes on")
        assert (
            caplog.messages[1]
            == f"stderr of plugins is read again; {20 * 3 + 4} bytes were dropped"
        )
        until(lambda: not stderr_module._PROCESS_STDERR._is_working, "the thread does not end")
        assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
        assert pipe.read() == b"hi\n"


async def test_calls_at_once(scripts: Scripts, caplog: pytest.LogCaptureFixture) -> None:
    """All calls wait until the same moment, and one thread waits for the stuck writer."""
    release = threading.Event()
    taken: list[bytes] = []

    class Blocking:
        def write(self, data: bytes) -> None:
            release.wait(HANG)
            taken.append(data)

    exec = RawExec(stderr=Blocking())
    path = scripts.sh("echo hi >&2; echo done")
    most = 0
    answers: list[bytes] = []

    async def call() -> None:
        answers.append(await exec.exec_plugin(path, b"", None))

    started = time.monotonic()
    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(call)
        while len(answers) < 20:
            most = max(most, len(writing()))
            await anyio.sleep(0.01)
    assert time.monotonic() - started < stderr_module._PATIENCE + 2 * SLACK
    assert answers == [b"done\n"] * 20
    assert most == 1
    assert caplog.messages == ["stderr of plugins is dropped: it is not being read"]
    release.set()
    until(lambda: taken, "the writer does not go on")
    # Count only our threads: those of trio wait ten seconds for more work.
    until(lambda: not writing(), "a thread is left")
    assert taken == [b"hi\n"]


async def test_a_writer_that_is_slow_and_not_stuck(scripts: Scripts) -> None:
    """No data is dropped."""
    taken = b""

    class Slow:
        def write(self, data: bytes) -> None:
            nonlocal taken
            time.sleep(0.1)
            taken += data

    exec = RawExec(stderr=Slow())
    path = scripts.sh("echo hi >&2; echo done")
    async with anyio.create_task_group() as calls:
        for _ in range(4):
            calls.start_soon(exec.exec_plugin, path, b"", None)
    assert taken == b"hi\n" * 4


async def test_what_a_writer_raises(scripts: Scripts) -> None:
    """A caller's mistake is not hidden."""

    class Wrong:
        def write(self, data: bytes) -> None:
            raise LookupError("wrong")

    with pytest.raises(LookupError, match="wrong"):
        await RawExec(stderr=Wrong()).exec_plugin(scripts.sh("echo hi >&2"), b"", None)


@pytest.mark.parametrize("handler", ["", "logging.basicConfig()"])
async def test_the_log_goes_there_too(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]], handler: str
) -> None:
    """Neither the event loop nor the end of the program waits for the line in the log."""
    path = scripts.sh("echo hi >&2; echo done")
    code = f"""
        import logging, sys
        import anyio
        from cni_async.invoke.exec import default_exec
        {handler}
        async def main():
            for _ in range(3):
                print(await default_exec().exec_plugin({path!r}, b"", None), flush=True)
        backend, options = {anyio_backend!r}
        anyio.run(main, backend=backend, backend_options=options)
    """
    pipe = Full(blocking=True)
    try:
        done = run_program(code=textwrap.dedent(code), stderr=pipe.end)
    finally:
        os.close(pipe.end)
        os.close(pipe.ours)
    assert (done.returncode, done.stdout) == (0, "b'done\\n'\n" * 3)


async def test_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The call succeeds; only the stderr data is dropped."""
    taken: list[bytes] = []

    class Sink:
        def write(self, data: bytes) -> None:
            taken.append(data)

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", NoThread)
    forwarder = stderr_module.forwarder(Sink())
    await forwarder.forward(b"lost")
    assert not taken
    assert caplog.messages == ["stderr of plugins is dropped: it is not being read"]
    monkeypatch.undo()
    await forwarder.forward(b"hi")
    assert taken == [b"hi"]


def test_a_forked_child_begins_anew() -> None:
    """The child waits neither for its parent's thread nor for the data of that thread."""
    code = """if True:
        import anyio, os, threading
        from cni_async.invoke import stderr
        stuck = threading.Event()
        class Blocking:
            def write(self, data):
                if data == b"first":
                    stuck.set()
                    threading.Event().wait()
                os.write(2, data)
        forwarder = stderr.forwarder(Blocking())
        anyio.run(forwarder.forward, b"first")
        assert stuck.is_set()
        anyio.run(forwarder.forward, b"dropped")
        if not (pid := os.fork()):
            anyio.run(forwarder.forward, b"warn")
            os._exit(0)
        os.waitpid(pid, 0)
    """
    done = run_program(code=code, warnings="ignore")
    assert done.returncode == 0
    assert done.stderr.endswith("warn")
    assert "first" not in done.stderr


def test_where_the_log_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a stream whose descriptor accepts nothing would block."""
    log = logging.getLogger("cni_async.invoke.exec")
    pipe = Full(blocking=True)
    try:
        with open(pipe.end, "w", closefd=False) as full:
            monkeypatch.setattr(log, "propagate", False)
            for stream, blocks in ((full, True), (io.StringIO(), False)):
                handler = logging.StreamHandler(stream)
                log.addHandler(handler)
                assert stderr_module._log_blocks() is blocks
                log.removeHandler(handler)
                # Without any handler, a warning goes to stderr.
                monkeypatch.setattr(sys, "stderr", stream)
                assert stderr_module._log_blocks() is blocks
    finally:
        os.close(pipe.end)
        os.close(pipe.ours)


class Slotted:
    """A writer that is not hashable and cannot be weakly referenced."""

    __slots__ = ("release", "taken")

    def __init__(self) -> None:
        self.release = threading.Event()
        self.taken: list[bytes] = []

    def __eq__(self, other: object) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.release.wait(HANG)
        self.taken.append(data)


async def test_one_thread_for_a_writer_whoever_has_it(scripts: Scripts) -> None:
    """Calls with separate runners share a writer's thread; another writer has another thread."""
    writer, other = Slotted(), Slotted()
    path = scripts.sh('echo "$CNI_CONTAINERID" >&2')

    def threads() -> int:
        return [each.name for each in threading.enumerate()].count("cni_async stderr")

    async def call(number: int, writer: Slotted) -> None:
        await RawExec(stderr=writer).exec_plugin(path, b"", {"CNI_CONTAINERID": str(number)})

    async with anyio.create_task_group() as calls:
        for number in range(8):
            calls.start_soon(call, number, writer)
        calls.start_soon(call, 8, other)
    assert threads() == 2
    # No runner waits for a writer that is known to be stuck.
    started = time.monotonic()
    for number in range(9, 12):
        await call(number, writer)
    assert time.monotonic() - started < stderr_module._PATIENCE * 2 + SLACK
    for each in (writer, other):
        each.release.set()
    until(lambda: not threads(), "a thread does not end")
    assert len(writer.taken) == len(other.taken) == 1
    for number in range(3):
        await call(number, writer)
    assert writer.taken[1:] == [b"0\n", b"1\n", b"2\n"]


def test_what_is_kept_of_a_writer() -> None:
    """The library forgets the writer once no runner uses it."""
    writer = Slotted()
    exec = RawExec(stderr=writer)
    assert exec._stderr is RawExec(stderr=writer)._stderr
    del exec
    gc.collect()
    assert id(writer) not in stderr_module._OF_WRITER

"""Input and output of a plugin, and how it ends by itself.

The tests cover section U of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from cni_async.errors import OutputLimitError, PluginError, PluginTimeoutError
from cni_async.invoke import DefaultExec, RawExec, pipes as pipes_module
from cni_async.invoke.exec import default_exec
from cni_async.invoke.process import run_process
from tests.support.processes import is_running, is_stopped, wait_until_gone
from tests.support.program import run_program
from tests.support.scripts import Scripts, has_children, open_fds, skip_on, wait_for_fds
from tests.support.wait import LIMITS, PATIENCE, eventually, eventually_blocking

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

KIB = 1024
MIB = 1024 * KIB
NO_MESSAGE = "netplugin failed with no error message: "
# A hang takes longer than the tests wait.
SOON = PATIENCE
HANG = 60


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


class Sink:
    """Collects the forwarded stderr."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


async def run(
    path: str, stdin: bytes = b"{}", *, timeout: float | None = None, max_output: int = 64 * MIB
) -> bytes:
    """Run a plugin that must finish soon."""
    with anyio.fail_after(SOON):
        return await RawExec(timeout=timeout, max_output=max_output).exec_plugin(path, stdin, None)


def numbered(size: int) -> bytes:
    """Return data in which a missing or repeated piece is noticed."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


# stdin


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB + 1, 5 * MIB])
async def test_item_222_stdin_arrives_whole_and_ends(scripts: Scripts, size: int) -> None:
    """Data that exceeds a pipe goes in and comes out at the same time."""
    data = numbered(size)
    assert await run(scripts.sh("exec cat"), data) == data


async def test_item_222_stdin_is_read_late(scripts: Scripts) -> None:
    data = numbered(MIB)
    assert await run(scripts.sh("sleep 0.1; exec cat"), data) == data


@pytest.mark.parametrize("size", [2, MIB])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("echo done", id="never-read"),
        pytest.param("sleep 0.1; echo done", id="never-read-slow"),
        pytest.param("exec <&-; sleep 0.1; echo done", id="closed-at-once"),
        pytest.param("head -c 1 > /dev/null; echo done", id="read-in-part"),
        pytest.param("exec < /dev/null; cat; echo done", id="replaced"),
    ],
)
async def test_item_222_stdin_is_not_read(scripts: Scripts, body: str, size: int) -> None:
    """The broken pipe is not an error."""
    assert await run(scripts.sh(body), bytes(size)) == b"done\n"


@pytest.mark.parametrize("size", [2, MIB])
async def test_item_222_failure_without_reading_stdin(scripts: Scripts, size: int) -> None:
    """The plugin's error counts, not its unread stdin."""
    path = scripts.sh("""echo '{"code": 7, "msg": "no"}'; exit 1""")
    with pytest.raises(PluginError, match=r"^no$") as caught:
        await run(path, bytes(size))
    assert caught.value.code == 7


async def test_stdin_of_the_wrong_type(scripts: Scripts) -> None:
    """A caller's mistake leaves no open file descriptors."""
    before = open_fds()
    with pytest.raises(TypeError):
        await RawExec().exec_plugin(scripts.sh("exit"), "text", None)  # type: ignore[arg-type]
    assert open_fds() == before


# stdout and stderr


@pytest.mark.parametrize("size", [0, 64 * KIB, 64 * KIB + 1, MIB, 10 * MIB])
async def test_item_222_stdout_is_captured_whole(scripts: Scripts, size: int) -> None:
    (scripts.folder / "output").write_bytes(data := numbered(size))
    assert await run(scripts.sh(f"exec cat {scripts.folder}/output")) == data


async def test_output_comes_in_pieces(scripts: Scripts) -> None:
    path = scripts.sh("for i in 1 2 3; do head -c 100000 /dev/zero; sleep 0.05; done")
    assert await run(path) == bytes(300000)


async def test_both_streams_fill_up(scripts: Scripts) -> None:
    sink = Sink()
    path = scripts.sh("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero")
    with anyio.fail_after(SOON):
        stdout = await RawExec(stderr=sink).exec_plugin(path, numbered(MIB), None)
    assert stdout == sink.data == bytes(1000000)


async def test_streams_opened_again(scripts: Scripts) -> None:
    """Scripts may open /dev/stdout and /dev/stderr, which must not truncate earlier output."""
    sink = Sink()
    path = scripts.sh(
        "echo 1; echo 2 > /dev/stdout; echo 3 >> /dev/stdout; "
        "echo a >&2; echo b > /dev/stderr; echo c >> /proc/self/fd/2; cat < /dev/stdin"
    )
    assert await RawExec(stderr=sink).exec_plugin(path, b"in", None) == b"1\n2\n3\nin"
    assert sink.data == b"a\nb\nc\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("size", [1000, 200000])
async def test_item_233_output_up_to_the_limit(scripts: Scripts, stream: str, size: int) -> None:
    await run(scripts.sh(f"head -c {size} /dev/zero > /dev/{stream}"), max_output=size)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("size", [1000, 200000])
async def test_item_233_one_byte_too_many(scripts: Scripts, stream: str, size: int) -> None:
    """The plugin exited by itself, but half an answer is not an answer."""
    path = scripts.sh(f"head -c {size + 1} /dev/zero > /dev/{stream}")
    with pytest.raises(OutputLimitError) as caught:
        await run(path, max_output=size)
    assert str(caught.value).startswith(f"{NO_MESSAGE}it printed more than {size} bytes (")
    assert not caught.value.retryable


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_item_233_flood(scripts: Scripts, stream: str) -> None:
    """The plugin and its flooding child are gone."""
    path = scripts.sh(f"{scripts.note('pid')}; yes > /dev/{stream}")
    with pytest.raises(OutputLimitError) as caught:
        await run(path, max_output=MIB)
    error = caught.value
    assert str(error) == f"{NO_MESSAGE}it printed more than {MIB} bytes (signal: terminated)"
    assert (error.signal, error.exit_code) == (signal.SIGTERM, None)
    assert not is_running(scripts.number("pid"))
    if stream == "stderr":
        assert error.stderr == "y\n" * (32 * KIB)  # the tail


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_item_233_flood_does_not_stop_for_sigterm(scripts: Scripts, stream: str) -> None:
    """The plugin's output does not fill our memory during its grace."""
    path = scripts.sh(f"trap '' TERM; yes > /dev/{stream}")
    with anyio.fail_after(SOON):
        outcome = await run_process(
            path,
            b"",
            None,
            timeout=None,
            grace=0.1,
            max_output=100000,
            limiter=anyio.CapacityLimiter(1),
        )
    assert outcome.flooded
    assert outcome.returncode == -signal.SIGKILL
    assert len(outcome.stdout) + len(outcome.stderr) == 100000


async def test_item_217_stderr_of_a_success_is_forwarded(scripts: Scripts) -> None:
    sink = Sink()
    path = scripts.sh("printf 'warn\\n\\377 no newline' >&2; echo done")
    assert await RawExec(stderr=sink).exec_plugin(path, b"", None) == b"done\n"
    assert sink.data == b"warn\n\xff no newline"


@pytest.mark.parametrize("stdout", ["", '{"msg": "no"}'])
async def test_item_217_stderr_of_a_failure_is_forwarded_and_kept(
    scripts: Scripts, stdout: str
) -> None:
    sink = Sink()
    path = scripts.sh(f"printf 'why\\377' >&2; printf '{stdout}'; exit 3")
    with pytest.raises(PluginError) as caught:
        await RawExec(stderr=sink).exec_plugin(path, b"", None)
    assert sink.data == b"why\xff"
    assert caught.value.stderr == "why\ufffd"


async def test_item_217_stderr_is_kept_in_part_and_forwarded_whole(scripts: Scripts) -> None:
    sink = Sink()
    (scripts.folder / "output").write_bytes(data := numbered(100000))
    path = scripts.sh(f"cat {scripts.folder}/output >&2; exit 1")
    with pytest.raises(PluginError) as caught:
        await RawExec(stderr=sink).exec_plugin(path, b"", None)
    assert sink.data == data
    assert caught.value.stderr == data[-64 * KIB :].decode()
    assert str(caught.value).endswith("... (100000 bytes)")


async def test_item_217_stderr_of_a_timeout_is_forwarded_and_kept(scripts: Scripts) -> None:
    sink = Sink()
    path = scripts.sh(f"echo why >&2; exec sleep {HANG}")
    for limit in LIMITS:
        with pytest.raises(PluginTimeoutError) as caught:
            await RawExec(stderr=sink, timeout=limit).exec_plugin(path, b"", None)
        if sink.data:
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    assert sink.data == b"why\n"
    assert caught.value.stderr == "why\n"


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("closed file")])
async def test_stderr_cannot_be_forwarded(scripts: Scripts, error: Exception) -> None:
    """The plugin's answer is kept."""

    class Broken:
        def write(self, data: bytes) -> None:
            raise error

    path = scripts.sh("echo warn >&2; echo done")
    assert await RawExec(stderr=Broken()).exec_plugin(path, b"", None) == b"done\n"


async def test_stderr_blocks(scripts: Scripts) -> None:
    """A call that waits for a full terminal can be cancelled."""
    release = threading.Event()

    class Blocking:
        def write(self, data: bytes) -> None:
            release.wait(HANG)

    path = scripts.sh("echo warn >&2; echo done")
    with anyio.fail_after(SOON):
        with anyio.move_on_after(0.3) as scope:
            await RawExec(stderr=Blocking()).exec_plugin(path, b"", None)
        release.set()
    assert scope.cancelled_caught


async def test_no_thread_to_spare(scripts: Scripts) -> None:
    """A plugin, its stderr and its end do not wait for a free worker thread of the application."""
    skip_on("trio", "trio itself starts processes in its worker threads", "anyio")
    release = threading.Event()
    limiter = anyio.to_thread.current_default_thread_limiter()
    sink = Sink()
    async with anyio.create_task_group() as blockers:
        for _ in range(int(limiter.total_tokens)):
            blockers.start_soon(anyio.to_thread.run_sync, release.wait, HANG)
        try:
            with anyio.fail_after(SOON):
                await anyio.wait_all_tasks_blocked()
                assert not limiter.available_tokens
                path = scripts.sh("echo warn >&2; echo done")
                assert await RawExec(stderr=sink).exec_plugin(path, b"", None) == b"done\n"
                assert sink.data == b"warn\n"
                path = scripts.sh(f"sleep {HANG} & trap 'exit 0' TERM; wait")
                with pytest.raises(PluginTimeoutError):
                    await RawExec(timeout=0.5, grace=HANG).exec_plugin(path, b"", None)
        finally:
            release.set()


@pytest.mark.parametrize("exec", [DefaultExec, default_exec])
async def test_item_246_stderr_of_the_process(
    scripts: Scripts, capfd: pytest.CaptureFixture[str], exec: type[DefaultExec]
) -> None:
    """Only the `Exec` that is libcni's default forwards stderr to our own stderr."""
    await exec().exec_plugin(scripts.sh("printf 'warn \\303\\244\\377' >&2"), b"", None)
    assert capfd.readouterr().err == ("warn ä\ufffd" if exec is default_exec else "")


async def test_no_stderr_at_all(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon may have no stderr."""
    monkeypatch.setattr(sys, "stderr", None)
    path = scripts.sh("echo warn >&2; echo done")
    assert await default_exec().exec_plugin(path, b"", None) == b"done\n"


async def test_stderr_without_a_buffer(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have replaced stderr by any text stream."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    path = scripts.sh("printf 'warn \\377' >&2; echo done")
    assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
    assert stream.getvalue() == "warn \ufffd"


async def test_stderr_that_is_more_than_a_file(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A program may have wrapped stderr in a stream that does more than fill its buffer."""

    class Tee(io.TextIOWrapper):
        def write(self, text: str) -> int:
            seen.append(text)
            return len(text)

    seen: list[str] = []
    with open(os.dup(2), "wb") as file, Tee(file) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        path = scripts.sh("echo warn >&2; echo done")
        assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
    assert seen == ["warn\n"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("buffering", [0, -1])
async def test_stderr_that_is_full_for_a_while(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, buffering: int
) -> None:
    """All output passes through a non-blocking pipe, ahead of later output."""
    ours, end = os.pipe()
    os.set_blocking(end, False)
    text: list[bytes] = []

    def lies_there() -> int:
        return int.from_bytes(fcntl.ioctl(ours, termios.FIONREAD, bytes(4)), sys.byteorder)

    def read() -> None:
        with open(ours, "rb") as file:
            # The pipe holds 64 KiB.
            eventually_blocking(lies_there, lambda size: size >= 60000)
            text.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    with open(end, "wb", buffering) as file:
        stream = io.TextIOWrapper(file, write_through=True)
        stream.write("before\n")
        monkeypatch.setattr(sys, "stderr", stream)
        path = scripts.sh("seq 50000 >&2; echo done")
        assert await default_exec().exec_plugin(path, b"", None) == b"done\n"
        await eventually(lies_there, lambda size: not size)  # a write to a full pipe would be lost
        stream.write("after\n")
        stream.flush()
        stream.detach()
    reader.join()
    assert text == [
        b"before\n" + b"".join(b"%d\n" % number for number in range(1, 50001)) + b"after\n"
    ]


def test_stderr_in_a_forked_child() -> None:
    """The child does not wait for another thread of its parent that was writing."""
    code = """if True:
        import os
        from cni_async.invoke import stderr
        with stderr._one_at_a_time:
            if not (pid := os.fork()):
                stderr.ProcessStderr().write(b"warn")
                os._exit(0)
            os.waitpid(pid, 0)
    """
    done = run_program(code=code, warnings="ignore")
    assert (done.returncode, done.stderr) == (0, "warn")


# Grandchildren that keep the pipes open


@pytest.mark.parametrize("ending", ["", "exit 0", "kill -9 $$"])
@pytest.mark.parametrize("closing", ["", "> /dev/null", "2> /dev/null"])
async def test_item_229_grandchild_keeps_the_pipes(
    scripts: Scripts, ending: str, closing: str
) -> None:
    """The answer is available when the plugin has exited; its child is left alone."""
    path = scripts.sh(f"sleep {HANG} {closing} & {scripts.note('pid', '$!')}; echo x; {ending}")
    try:
        if ending.startswith("kill"):
            with pytest.raises(PluginError, match='"x\\\\n"'):
                await run(path)
        else:
            assert await run(path) == b"x\n"
        assert is_running(scripts.number("pid"))
    finally:
        os.kill(scripts.number("pid"), signal.SIGKILL)


async def test_item_229_grandchild_writes_later(scripts: Scripts) -> None:
    """The write fails with a broken pipe, and the call is not affected."""
    path = scripts.python(
        f"""
        import os, time
        if os.fork():
            print("answer")
        else:
            os.setsid()
            while not os.path.exists({str(scripts.folder / "go")!r}):
                time.sleep(0.01)
            with open({str(scripts.folder / "log")!r}, "w") as log:
                for stream in 1, 2:
                    try:
                        os.write(stream, b"late")
                        print("written", file=log)
                    except BrokenPipeError:
                        print("broken", file=log)
            os.rename(log.name, {str(scripts.folder / "log.done")!r})
        """
    )
    assert await run(path) == b"answer\n"
    (scripts.folder / "go").touch()
    await eventually((scripts.folder / "log.done").exists)
    assert scripts.read("log.done") == "broken\nbroken\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_item_229_grandchild_floods(scripts: Scripts, stream: str) -> None:
    """The child may write for ever; the call stops reading when the plugin has exited."""
    path = scripts.sh(f"yes > /dev/{stream} & {scripts.note('pid', '$!')}; exit 0")
    stdout = await run(path)
    assert (stdout != b"") <= (stream == "stdout")
    assert wait_until_gone(scripts.number("pid"), timeout=SOON)


# Exits


@pytest.mark.parametrize("code", [1, 2, 3, 64, 126, 127, 128 + 9, 255])
async def test_item_212_exit_code(scripts: Scripts, code: int) -> None:
    # The long stdin keeps the plugin alive until its pidfd is open. asyncio reports 255 for a lost
    # status, too.
    with pytest.raises(PluginError) as caught:
        await run(scripts.sh(f"cat > /dev/null; exit {code}"), bytes(200000))
    assert str(caught.value) == f"{NO_MESSAGE}exit status {code}"
    assert (caught.value.exit_code, caught.value.signal) == (code, None)


# The texts of Go's syscall.Signal.String.
SIGNALS = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGUSR2: "user defined signal 2",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
    16: "stack fault",
    signal.SIGXCPU: "CPU time limit exceeded",
    signal.SIGXFSZ: "file size limit exceeded",
    signal.SIGVTALRM: "virtual timer expired",
    signal.SIGPROF: "profiling timer expired",
    signal.SIGIO: "I/O possible",
    signal.SIGPWR: "power failure",
    signal.SIGSYS: "bad system call",
    signal.SIGRTMIN: f"signal {int(signal.SIGRTMIN)}",
    signal.SIGRTMAX: f"signal {int(signal.SIGRTMAX)}",
}


@pytest.mark.parametrize("number", SIGNALS)
async def test_item_212_signal(scripts: Scripts, number: int) -> None:
    with pytest.raises(PluginError) as caught:
        await run(scripts.sh(f"ulimit -c 0; kill -{int(number)} $$; sleep {HANG}"))
    assert str(caught.value) == f"{NO_MESSAGE}signal: {SIGNALS[number]}"
    assert (caught.value.exit_code, caught.value.signal) == (None, number)


async def test_output_before_a_signal_counts(scripts: Scripts) -> None:
    with pytest.raises(PluginError, match=r"^why; because$") as caught:
        await run(scripts.sh("""echo '{"msg": "why", "details": "because"}'; kill -9 $$"""))
    assert caught.value.signal == signal.SIGKILL


async def test_stopped_and_continued(scripts: Scripts) -> None:
    """A stop is not an exit."""
    path = scripts.sh(f"{scripts.note('pid')}; kill -STOP $$; echo went on")
    answers: list[bytes] = []

    async def call() -> None:
        answers.append(await run(path))

    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        (pid,) = await scripts.numbers("pid")
        await eventually(lambda: is_stopped(pid))
        await anyio.sleep(0.2)
        assert not answers
        os.kill(pid, signal.SIGCONT)
    assert answers == [b"went on\n"]


def no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    # Patch this module, not `os`: asyncio needs its own pidfds.
    monkeypatch.setattr(pipes_module, "_pidfd_open", pidfd_open)


def no_pidfd_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise AttributeError("module 'os' has no attribute 'pidfd_open'")

    monkeypatch.setattr(pipes_module, "_pidfd_open", pidfd_open)


def no_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll")


@pytest.mark.parametrize("take_away", [no_pidfd, no_pidfd_in_python, no_epoll])
async def test_old_systems(
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    take_away: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """Without notifications about the child, polling finds its output and its exit."""
    with monkeypatch.context() as patch:
        take_away(patch)
        assert await run(scripts.sh("exec cat"), numbered(200000)) == numbered(200000)
        with pytest.raises(PluginError, match="exit status 3"):
            await run(scripts.sh("exit 3"))
        with pytest.raises(PluginTimeoutError, match="terminated"):
            await run(scripts.sh(f"exec sleep {HANG}"), timeout=0.1)


async def test_reaped_at_once(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop may reap a quick plugin before the pidfd is open: the call does not wait."""

    def pidfd_open(pid: int) -> int:
        raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(pipes_module, "_pidfd_open", pidfd_open)
    monkeypatch.setattr(pipes_module, "_TICK", float(HANG))
    assert await run(scripts.sh("echo done")) == b"done\n"
    with pytest.raises(PluginError, match="exit status 3"):
        await run(scripts.sh("exit 3"))


async def test_the_event_loop_is_late(scripts: Scripts) -> None:
    """If exit and deadline are noticed together, the exit counts."""
    path = scripts.sh(f"{scripts.note('pid')}; sleep 0.1; echo just in time")

    async def block(timeout: float) -> None:
        started = time.monotonic()
        (pid,) = await scripts.numbers("pid")
        assert wait_until_gone(pid)
        time.sleep(max(0, started + timeout + 0.1 - time.monotonic()))

    for timeout in LIMITS:
        async with anyio.create_task_group() as others:
            others.start_soon(block, timeout)
            try:
                answer = await RawExec(timeout=timeout).exec_plugin(path, b"", None)
            except PluginTimeoutError:
                # If the plugin had begun, it would have kept the event loop waiting.
                assert not scripts.lines("pid")
                others.cancel_scope.cancel()
            else:
                assert answer == b"just in time\n"
                return
    raise AssertionError("it has not begun")

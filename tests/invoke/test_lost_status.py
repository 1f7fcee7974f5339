"""A child reaped by other code: its exit status comes from the kernel or is reported as lost.

Either SIGCHLD is ignored, by us or by our parent, or a thread reaps every child, as a PID 1 or a
supervisor does. The tests run separate programs, because both affect a whole process.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async.errors import PluginError
from cni_async.invoke import RawExec, child as child_module, pipes as pipes_module
from tests.support import starts
from tests.support.program import ROOT, run_program
from tests.support.scripts import Scripts, has_children, open_fds, skip_on, wait_for_fds

pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

LOST = (
    "netplugin failed with no error message: its exit status is lost, as SIGCHLD is ignored "
    "or something else in this process waits for its children"
)

IGNORED = """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
"""
# uvloop sets its own handler when it first starts a process.
IGNORED_LATER = """
    starts.around(patch, after=lambda _: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
"""
# A thread reaps every child.
REAPED = """
    def reap():
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                time.sleep(0.0005)
    threading.Thread(target=reap, daemon=True).start()
"""
# The event loop is not notified of the end of a child.
UNHEARD = """
    starts.around(patch, after=lambda _: signal.signal(signal.SIGCHLD, lambda *_: None))
"""
NO_RECORD = """
    from cni_async.invoke import child
    child._recorded = lambda pidfd: (None, True)
"""
NO_PIDFD = """
    from cni_async.invoke import pipes
    def pidfd_open(pid):
        raise OSError(errno.ENOSYS, "Function not implemented")
    pipes._pidfd_open = pidfd_open
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


def answers(
    backend: tuple[str, dict[str, Any]],
    prepare: str,
    paths: list[str],
    *,
    timeout: float | None = None,
    ignored: bool = False,
) -> list[str]:
    """Call plugins in a separate program; return how each call ended.

    Args:
        backend: the event loop.
        prepare: code that the program runs first.
        paths: the plugins, called one after the other; zombies are looked for after each.
        timeout: seconds that each call may take; `None` means no limit.
        ignored: whether the program is started with SIGCHLD ignored.
    """
    folder = f"{Path(paths[0]).parent}/watched-"
    code = f"""
        import errno, os, signal, threading, time
        import anyio
        from cni_async.invoke import RawExec
        from cni_async.invoke.pipes import Pipes
        from tests.support import starts
        starts.inherit()
        watch = Pipes.watch
        def watch_and_tell(self, pid):
            pidfd = watch(self, pid)
            open({folder!r} + str(pid), "w").close()
            return pidfd
        Pipes.watch = watch_and_tell
        class patch:  # of nothing that has to be undone
            setattr = setattr
        {{prepare}}
        async def call(path):
            try:
                answer = await RawExec(timeout={timeout}, grace=0.1).exec_plugin(path, b"", None)
            except Exception as error:
                return " ".join(map(str, (
                    type(error).__name__, error.retryable, error.code, error.exit_code,
                    error.signal, error)))
            return answer.decode().strip()
        async def main():
            for path in {paths!r}:
                started = time.monotonic()
                print(await call(path))
                assert time.monotonic() - started < 15, "slow"
                try:
                    left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                except ChildProcessError:
                    left = None
                assert left is None, left
        backend, options = {backend!r}
        anyio.run(main, backend=backend, backend_options=options)
    """
    code = textwrap.dedent(code).replace("{prepare}", textwrap.dedent(prepare))
    if ignored:
        command = ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh", sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT
        )
    else:
        done = run_program(code=code)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    return lines


def records() -> bool:
    """Return whether the kernel keeps exit statuses (Linux 6.15)."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        return child_module._recorded(pidfd)[0] == 0
    finally:
        os.close(pidfd)


STATUS = "netplugin failed with no error message:"
# The bodies of plugins, and how a call of each ends.
ENDINGS = {
    "echo done": "done",
    "exit 7": f"PluginError False 0 7 None {STATUS} exit status 7",
    "exit 255": f"PluginError False 0 255 None {STATUS} exit status 255",
    """echo '{"code": 11, "msg": "no"}'; exit 1""": "PluginError True 11 1 None no",
    "kill -KILL $$": f"PluginError False 0 None 9 {STATUS} signal: killed",
}


def until_watched(scripts: Scripts) -> str:
    """Return shell code that waits until the library has a pidfd of the plugin."""
    return f"until [ -e {scripts.folder}/watched-$$ ]; do sleep 0.01; done"


def endings(scripts: Scripts) -> list[str]:
    """Return plugins with the bodies in `ENDINGS`."""
    return [
        scripts.sh(f"{until_watched(scripts)}; {body}", f"plugin-{number}")
        for number, body in enumerate(ENDINGS)
    ]


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(IGNORED, id="ignored"),
        pytest.param(IGNORED_LATER, id="ignored-later"),
        pytest.param("", id="inherited"),
        pytest.param(REAPED, id="reaped"),
    ],
)
async def test_the_kernel_is_asked(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]], prepare: str
) -> None:
    """The call reports the plugin's own outcome or a lost status, never another outcome."""
    found = answers(anyio_backend, prepare, endings(scripts) * 2, ignored=not prepare)
    for answer, expected in zip(found, [*ENDINGS.values()] * 2, strict=True):
        assert answer == expected or (LOST in answer and not records())


@pytest.mark.parametrize(
    "prepare",
    [IGNORED, REAPED, IGNORED + NO_RECORD, REAPED + NO_PIDFD],
    ids=["ignored", "reaped", "ignored-and-not-recorded", "reaped-and-no-pidfd"],
)
async def test_plugins_that_exit_at_once(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]], prepare: str
) -> None:
    """Some plugins exit before we can look: the status is right or lost, never a success."""
    path = scripts.sh("exit 7")
    for answer in answers(anyio_backend, prepare, [path] * 30):
        assert answer.endswith(": exit status 7") or (LOST in answer and " True 0 None" in answer)


@pytest.mark.parametrize(
    "prepare",
    [IGNORED_LATER + NO_RECORD, IGNORED_LATER + NO_PIDFD],
    ids=["not-recorded", "no-pidfd"],
)
async def test_lost(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]], prepare: str
) -> None:
    """If the kernel cannot report the status, the call raises a retryable error that says so."""
    for answer, body in zip(
        answers(anyio_backend, prepare, endings(scripts)), ENDINGS, strict=True
    ):
        if "code" in body:
            assert answer == f"PluginError True 11 None None {LOST} (it reported: no)"
        else:
            assert answer == f"PluginError True 0 None None {LOST}"


async def test_a_timeout_of_one_that_is_lost(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """The error does not say that the plugin is still running."""
    path = scripts.sh("exec sleep 60")
    for prepare, how in [
        (IGNORED_LATER + NO_RECORD, "its exit status is lost"),
        (IGNORED_LATER + NO_PIDFD, "its exit status is lost"),
        (IGNORED_LATER, "signal: terminated" if records() else "its exit status is lost"),
    ]:
        (answer,) = answers(anyio_backend, prepare, [path], timeout=0.3)
        assert answer.endswith(f": timed out after 0.3 s ({how})")
        assert answer.startswith("PluginTimeoutError True 0 None ")


async def test_nobody_tells_the_event_loop(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """An application's SIGCHLD handler replaces uvloop's: the child is reaped in the end."""
    path = scripts.sh(f"{until_watched(scripts)}; echo done")
    assert answers(anyio_backend, UNHEARD, [path] * 3) == ["done"] * 3


async def test_gone_before_a_pidfd_is_opened(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pidfd missing, asyncio raises ESRCH: the plugin has run, its outcome is unknown."""
    starts.skip_with("posix", "that opens no pidfd in the start")
    skip_on("uvloop", "uvloop opens no pidfds")
    skip_on("trio", "trio ignores the error")
    real = anyio.open_process

    async def open_process(*args: Any, **kwargs: Any) -> None:
        process = await real(*args, **kwargs)
        await process.wait()
        raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(anyio, "open_process", open_process)
    with pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(scripts.sh("echo why >&2; echo done"), b"", None)
    assert str(caught.value) == LOST
    assert (caught.value.retryable, caught.value.exit_code) == (True, None)
    assert caught.value.stderr == "why\n"


async def test_the_number_is_another_process_s(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pidfd of a process that is not our child is not waited for."""
    for loop in ("asyncio", "uvloop"):
        skip_on(loop, "it may have reaped the child, and know how that ended", "anyio")

    def pidfd_open(pid: int) -> int:
        os.waitpid(pid, 0)
        return os.pidfd_open(os.getppid())

    monkeypatch.setattr(pipes_module, "_pidfd_open", pidfd_open)
    with anyio.fail_after(20), pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(scripts.sh("echo done"), b"", None)
    assert str(caught.value) == LOST

"""An application that forks while plugins run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import run_program
from tests.support.scripts import Scripts

pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

HANG = 60


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def words(backend: tuple[str, dict[str, Any]], path: str, stdin: int, body: str) -> str:
    """Call a plugin in a separate program that forks while the plugin runs; return its output.

    Args:
        backend: the event loop.
        path: the plugin, which creates a file named after it with ".runs" appended.
        stdin: the number of bytes on the plugin's stdin.
        body: the program's code that defines `meanwhile`, which gets the coroutine of the call.
    """
    code = f"""
        import multiprocessing, os, signal, sys, threading, time
        import anyio
        from cni_async.invoke import RawExec
        from cni_async.invoke.pipes import Pipes
        from tests.support import starts
        starts.inherit()
        children, started = [], []
        watch = Pipes.watch
        def note_and_watch(self, pid):
            started.append(pid)
            return watch(self, pid)
        Pipes.watch = note_and_watch
        {{body}}
        async def main():
            call = RawExec(grace=0).exec_plugin({path!r}, bytes({stdin}), None)
            async def report():
                with anyio.fail_after(30):
                    print(len(await call))
            async with anyio.create_task_group() as calls:
                calls.start_soon(report)
                # The plugin runs before its start is over. A child forked during the start would
                # inherit the pipe at whose end `subprocess` waits, and keep it open.
                while not started or not os.path.exists({path + ".runs"!r}):
                    await anyio.sleep(0.01)
                meanwhile(call)
                open({path + ".go"!r}, "w").close()
        backend, options = {backend!r}
        try:
            anyio.run(main, backend=backend, backend_options=options)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    """
    code = textwrap.dedent(code).replace("{body}", textwrap.dedent(body))
    done = run_program(code=code, warnings="ignore")
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = f"""
    def meanwhile(call):
        if not (pid := os.fork()):
            time.sleep({HANG})
            os._exit(0)
        children.append(pid)
"""
FORK_IN_A_THREAD = f"""
    def fork():
        if not (pid := os.fork()):
            time.sleep({HANG})
            os._exit(0)
        children.append(pid)
    def meanwhile(call):
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
"""
MULTIPROCESSING = f"""
    def meanwhile(call):
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=({HANG},))
        process.start()
        children.append(process.pid)
"""
# A forked child that ends may close the coroutine that it has inherited.
CLOSE_IN_CHILD = """
    def meanwhile(call):
        if not (pid := os.fork()):
            try:
                call.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
"""


@pytest.mark.parametrize(
    "body",
    [FORK, FORK_IN_A_THREAD, MULTIPROCESSING],
    ids=["fork", "fork-in-a-thread", "multiprocessing"],
)
async def test_stdin_ends_though_a_forked_child_lives(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]], body: str
) -> None:
    """When the program forks, stdin still has more data to come than a pipe holds."""
    plugin = f"{scripts.folder}/plugin"
    path = scripts.sh(
        f"touch {plugin}.runs; until [ -e {plugin}.go ]; do sleep 0.01; done; exec cat"
    )
    assert words(anyio_backend, path, 200000, body) == "200000\n"


async def test_a_forked_child_ends_no_plugin(
    scripts: Scripts, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """The plugin belongs to the parent, even if the child closes its copy of the coroutine."""
    plugin = f"{scripts.folder}/plugin"
    path = scripts.sh(
        f"touch {plugin}.runs; until [ -e {plugin}.go ]; do sleep 0.01; done; echo done"
    )
    assert words(anyio_backend, path, 2, CLOSE_IN_CHILD) == "5\n"


def test_nothing_is_kept() -> None:
    """Pipes that are closed are forgotten."""
    from cni_async.invoke import pipes

    made = pipes.Pipes(b"", 10)
    assert made in pipes._OPEN
    made.close()
    assert not pipes._OPEN

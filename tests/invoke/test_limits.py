"""Too few processes, threads or descriptors: errors are clear, and everything can be undone.

The tests run separate programs: the limits are a process's, and that on processes does not bind
root.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from cni_async._async.threads import in_thread
from cni_async.invoke import Spawn
from tests.programs.interrupted import LOOPS
from tests.programs.limited import WHAT
from tests.support.program import run_program


@pytest.mark.libuv
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("loop", LOOPS)
def test_narrow_circumstances(loop: str, spawn: Spawn, what: str) -> None:
    if (loop, spawn, what) == ("uvloop", "anyio", "few_fds"):
        pytest.skip("uvloop itself leaks descriptors when there are too few")
    done = run_program(loop, what, module="tests.programs.limited", warnings="error")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    if done.stdout:
        pytest.skip(f"cannot become another user: {done.stdout}")


@pytest.mark.anyio
async def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: object, **options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(anyio.to_thread, "run_sync", fail)
    with pytest.raises(OSError, match="resource temporarily unavailable"):
        await in_thread(len, "")


@pytest.mark.anyio
async def test_an_error_of_the_function_itself() -> None:
    def fail() -> None:
        raise RuntimeError("bug")

    assert await in_thread(len, "abc") == 3
    with pytest.raises(RuntimeError, match="bug"):
        await in_thread(fail)


@pytest.mark.anyio
async def test_a_thread_that_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that starts too late does nothing: the caller may have done the opposite since."""
    threads: list[Callable[[], object]] = []

    async def start(call: Callable[[], object], **options: object) -> None:
        threads.append(call)
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio.to_thread, "run_sync", start)
    done: list[int] = []
    with anyio.move_on_after(0):
        await in_thread(done.append, 1)
    with pytest.raises(InterruptedError):
        threads[0]()
    assert done == []

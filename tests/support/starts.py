"""In which of the two ways a test has plugins started where it does not say so itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc

from cni_async.invoke import Spawn, process, start_posix

if TYPE_CHECKING:
    import pytest

_VARIABLE = "TESTS_SPAWN"


def use(spawn: Spawn, patch: pytest.MonkeyPatch) -> None:
    """Start plugins in one way on every event loop, in programs that call `inherit`, too."""
    patch.setattr(process, "_usual_spawn", lambda: spawn)
    patch.setenv(_VARIABLE, spawn)


def inherit() -> None:
    """Start plugins as the test does that runs this program."""
    match os.environ.get(_VARIABLE):
        case "anyio" | "posix" as spawn:
            process.__dict__["_usual_spawn"] = lambda: spawn


@contextmanager
def in_use(spawn: Spawn | None) -> Iterator[None]:
    """Do what `use` does for a block; nothing for None."""
    if spawn is None:
        yield
        return
    import pytest  # here, as programs that need no pytest use this module, too

    with pytest.MonkeyPatch.context() as patch:
        use(spawn, patch)
        yield


def around(
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[int], object] = lambda pid: None,
) -> None:
    """Do something around each start, whichever way it is.

    Args:
        patch: undoes it.
        before: is called first; what it raises is the start's failure.
        after: is called with the process ID.
    """
    open_process, posix_spawn = anyio.open_process, os.posix_spawn
    start_posix.is_available()  # which tries to start something, once

    async def open_with(*args: Any, **options: Any) -> anyio.abc.Process:
        before()
        process = await open_process(*args, **options)
        after(process.pid)
        return process

    def spawn_with(*args: Any, **options: Any) -> int:
        before()
        pid = posix_spawn(*args, **options)
        after(pid)
        return pid

    patch.setattr(anyio, "open_process", open_with)
    patch.setattr(os, "posix_spawn", spawn_with)


def skip_with(spawn: Spawn, reason: str) -> None:
    """Skip a test where plugins are started in a way that cannot do what it asks."""
    if process._usual_spawn() == spawn:
        import pytest  # here, as programs that need no pytest use this module, too

        pytest.skip(reason)

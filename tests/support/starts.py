"""The way in which the library starts plugins in a test that does not choose one itself."""

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
    """Start plugins in one way on every event loop, also in programs that call `inherit`."""
    patch.setattr(process, "_usual_spawn", lambda: spawn)
    patch.setenv(_VARIABLE, spawn)


def inherit() -> None:
    """Start plugins in the way of the test that runs this program."""
    match os.environ.get(_VARIABLE):
        case "anyio" | "posix" as spawn:
            process.__dict__["_usual_spawn"] = lambda: spawn


@contextmanager
def in_use(spawn: Spawn | None) -> Iterator[None]:
    """Do what `use` does during a block; do nothing for `None`."""
    if spawn is None:
        yield
        return
    import pytest  # here, because programs without pytest import this module, too

    with pytest.MonkeyPatch.context() as patch:
        use(spawn, patch)
        yield


def around(
    patch: pytest.MonkeyPatch,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[int], object] = lambda pid: None,
) -> None:
    """Call functions before and after each start of a process, in either way to start them.

    Args:
        patch: undoes this.
        before: called first; the start fails with the error that it raises.
        after: called with the process ID.
    """
    open_process, posix_spawn = anyio.open_process, os.posix_spawn
    start_posix.is_available()  # its first call starts a process, which must not count

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
    """Skip a test if plugins are started in a way that cannot do what it needs."""
    if process._usual_spawn() == spawn:
        import pytest  # here, because programs without pytest import this module, too

        pytest.skip(reason)

"""Processes that seem to the library to sleep uninterruptibly."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from cni_async.invoke import child, pipes

from .wait import eventually


class Undead:
    """A process whose end is never reported."""

    returncode = None

    def __init__(self, process: anyio.abc.Process) -> None:
        self.pid = process.pid

    async def wait(self) -> None:
        await anyio.sleep_forever()


@asynccontextmanager
async def undead() -> AsyncIterator[list[int]]:
    """Make children seem to survive SIGKILL during a block; return their process IDs."""
    victims: list[anyio.abc.Process] = []
    pids: list[int] = []
    open_process, posix_spawn = anyio.open_process, os.posix_spawn

    async def open_undead(*args: Any, **kwargs: Any) -> Undead:
        victims.append(await open_process(*args, **kwargs))
        pids.append(victims[-1].pid)
        return Undead(victims[-1])

    def spawn_undead(*args: Any, **kwargs: Any) -> int:
        pids.append(posix_spawn(*args, **kwargs))
        return pids[-1]

    def pidfd_open(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    def still_runs(pid: int, pidfd: int | None, *, keep: bool) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "open_process", open_undead)
        patch.setattr(os, "posix_spawn", spawn_undead)
        patch.setattr(pipes, "_pidfd_open", pidfd_open)
        patch.setattr(child, "_status", still_runs)
        try:
            yield pids
        finally:
            patch.undo()
            for process in victims:
                await process.wait()
            await eventually(_reap, lambda left: not left)


def _reap() -> int:
    """Reap children as the library's next call does; return how many are left."""
    child.reap_left()
    return len(child._LEFT)

"""Tasks that hold the locks of operations until a test releases them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from cni_async.operations import lockfile, order as locks_module
from cni_async.operations.order import Locks
from tests.support.scripts import open_fds
from tests.support.wait import PATIENCE, eventually

Hold: TypeAlias = Callable[[Locks], AbstractAsyncContextManager[None]]


def attachment(network: str = "n", container: str = "c", scope: str = "s") -> Hold:
    """Hold what an operation on an attachment holds."""
    return lambda locks: locks.attachment(scope, network, container)


def container(container: str = "c", scope: str = "s") -> Hold:
    """Hold what a CHECK holds."""
    return lambda locks: locks.container(scope, container)


def collection(network: str = "n", scope: str = "s") -> Hold:
    """Hold what a GC holds."""
    return lambda locks: locks.collection(scope, network)


@asynccontextmanager
async def nobody_left() -> AsyncGenerator[None]:
    """Check that no lock is held or awaited after a block, and no new file is open."""
    fds = open_fds()
    yield
    assert locks_module._GATES.get({}) == {}
    assert not lockfile._OPEN
    assert lockfile._FILES.get({}) == {}
    assert not open_fds() - fds


class Crowd:
    """Tasks that arrive one after the other, and stay until a test has them leave.

    Attributes:
        came: the tasks that got their locks, in order.
    """

    def __init__(self, group: TaskGroup, locks: Locks) -> None:
        self.came: list[str] = []
        self._group = group
        self._locks = locks
        self._inside: set[str] = set()
        self._leave: dict[str, anyio.Event] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}

    async def arrive(self, name: str, hold: Hold) -> None:
        """Let one more come; it is let in, or waits."""
        self._leave[name] = anyio.Event()
        self._scopes[name] = anyio.CancelScope()
        self._group.start_soon(self._hold, name, hold)
        await _settle()

    async def _hold(self, name: str, hold: Hold) -> None:
        with self._scopes[name]:
            async with hold(self._locks):
                self._inside.add(name)
                self.came.append(name)
                try:
                    await self._leave[name].wait()
                finally:
                    self._inside.remove(name)

    def tell(self, *names: str) -> None:
        """Have some leave, and do not wait for it."""
        for name in names:
            self._leave[name].set()

    def cancel(self, *names: str) -> None:
        """Cancel some, wherever they are."""
        for name in names:
            self._scopes[name].cancel()

    async def has_inside(self, *names: str) -> None:
        """Wait until these are inside, and see that they stay alone."""
        await eventually(lambda: self._inside, lambda inside: inside == set(names))
        if self._locks._file is not None:
            # A task that waits for a lock file looks at it every 50 ms.
            await anyio.sleep(0.12)
        await _settle()
        assert self._inside == set(names)

    async def end(self, *names: str) -> None:
        """Have those who are inside leave, then the others, until these have been inside."""
        with anyio.fail_after(PATIENCE):
            while self._inside or not set(names) <= set(self.came):
                self.tell(*self._inside)
                await anyio.sleep(0.005)


async def _settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()

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
    """Return a hold on the locks of an ADD or DEL of an attachment."""
    return lambda locks: locks.attachment(scope, network, container)


def container(container: str = "c", scope: str = "s") -> Hold:
    """Return a hold on the locks of a CHECK."""
    return lambda locks: locks.container(scope, container)


def collection(network: str = "n", scope: str = "s") -> Hold:
    """Return a hold on the locks of a GC."""
    return lambda locks: locks.collection(scope, network)


@asynccontextmanager
async def nobody_left() -> AsyncGenerator[None]:
    """Check that after a block no task holds or awaits a lock, and no new file is open."""
    fds = open_fds()
    yield
    assert locks_module._GATES.get({}) == {}
    assert not lockfile._OPEN
    assert lockfile._FILES.get({}) == {}
    assert not open_fds() - fds


class Crowd:
    """Tasks that ask for locks one after the other, and hold them until a test releases them.

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
        """Start a task that gets its locks or waits for them."""
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
        """Make these tasks release their locks, without a wait until they have."""
        for name in names:
            self._leave[name].set()

    def cancel(self, *names: str) -> None:
        """Cancel these tasks, whether they hold their locks or wait for them."""
        for name in names:
            self._scopes[name].cancel()

    async def has_inside(self, *names: str) -> None:
        """Wait until exactly these tasks hold their locks, and check that it stays so."""
        await eventually(lambda: self._inside, lambda inside: inside == set(names))
        if self._locks._file is not None:
            # A task that waits for a lock file looks at it every 50 ms.
            await anyio.sleep(0.12)
        await _settle()
        assert self._inside == set(names)

    async def end(self, *names: str) -> None:
        """Release tasks until none holds its locks and each of these has held them."""
        with anyio.fail_after(PATIENCE):
            while self._inside or not set(names) <= set(self.came):
                self.tell(*self._inside)
                await anyio.sleep(0.005)


async def _settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()

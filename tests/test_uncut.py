"""Coroutines that no cancellation cuts short."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from cni_async._uncut import uncut

pytestmark = pytest.mark.anyio

asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
)


class Witness:
    """A coroutine that waits in two ways, and who is told that it has begun."""

    def __init__(self, error: Exception | None = None) -> None:
        self.waits = anyio.Event()
        self.go_on = anyio.Event()
        self.ended = False
        self.begun = 0
        self.error = error

    async def coroutine(self) -> str:
        self.waits.set()
        await anyio.lowlevel.checkpoint()
        await self.go_on.wait()
        await anyio.lowlevel.checkpoint()
        self.ended = True
        if self.error is not None:
            raise self.error
        return "done"

    def has_begun(self) -> None:
        self.begun += 1

    async def uncut(self) -> str:
        return await uncut(self.coroutine(), begun=self.has_begun)


async def test_undisturbed() -> None:
    witness = Witness()
    witness.go_on.set()
    assert await witness.uncut() == "done"
    assert witness.begun == 1


async def test_it_need_not_wait() -> None:
    witness = Witness()

    async def at_once() -> int:
        return 1

    assert await uncut(at_once(), begun=witness.has_begun) == 1
    assert witness.begun == 1


async def test_a_failure() -> None:
    witness = Witness(ValueError("no"))
    witness.go_on.set()
    with pytest.raises(ValueError, match="no"):
        await witness.uncut()
    assert witness.begun == 1


async def cancelled_scope(witness: Witness) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(witness.uncut)
        await witness.waits.wait()
        group.cancel_scope.cancel()
        witness.go_on.set()


async def test_a_cancelled_scope() -> None:
    """It has come to its end."""
    witness = Witness()
    await cancelled_scope(witness)
    assert witness.ended
    assert witness.begun == 1


@asyncio_only
@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_task(times: int) -> None:
    """It has come to its end, and then the cancellation counts."""
    witness = Witness()
    others = asyncio.all_tasks()
    task = asyncio.create_task(witness.uncut())
    await witness.waits.wait()
    # asyncio.run() cancels all when it ends: there are no more than the caller knows of.
    assert asyncio.all_tasks() - others == {task}
    for _ in range(times):
        task.cancel("enough")
        await asyncio.sleep(0.01)
        assert not task.done()
    witness.go_on.set()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert witness.ended
    assert witness.begun == 1


@asyncio_only
async def test_a_cancelled_task_whose_coroutine_fails() -> None:
    """The failure is the cause of the cancellation's error."""
    witness = Witness(ValueError("no"))
    causes: list[BaseException | None] = []

    async def run() -> None:
        try:
            await witness.uncut()
        except asyncio.CancelledError as interruption:
            causes.append(interruption.__cause__)
            raise

    task = asyncio.create_task(run())
    await witness.waits.wait()
    task.cancel()
    await asyncio.sleep(0)
    witness.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert causes == [witness.error]

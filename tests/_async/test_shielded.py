"""Coroutines that no cancellation cuts short."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from cni_async._async.shielded import shielded

pytestmark = pytest.mark.anyio

asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
)


class Witness:
    """A coroutine that waits at checkpoints and for an event, and counts how often it began."""

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

    async def shielded(self) -> str:
        return await shielded(self.coroutine(), begun=self.has_begun)


async def test_undisturbed() -> None:
    witness = Witness()
    witness.go_on.set()
    assert await witness.shielded() == "done"
    assert witness.begun == 1


async def test_it_need_not_wait() -> None:
    witness = Witness()

    async def at_once() -> int:
        return 1

    assert await shielded(at_once(), begun=witness.has_begun) == 1
    assert witness.begun == 1


async def test_a_failure() -> None:
    witness = Witness(ValueError("no"))
    witness.go_on.set()
    with pytest.raises(ValueError, match="no"):
        await witness.shielded()
    assert witness.begun == 1


async def cancelled_scope(witness: Witness) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(witness.shielded)
        await witness.waits.wait()
        group.cancel_scope.cancel()
        witness.go_on.set()


async def test_a_cancelled_scope() -> None:
    """The coroutine runs to its end."""
    witness = Witness()
    await cancelled_scope(witness)
    assert witness.ended
    assert witness.begun == 1


@asyncio_only
@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_task(times: int) -> None:
    """The coroutine runs to its end, and then the cancellation is raised."""
    witness = Witness()
    others = asyncio.all_tasks()
    task = asyncio.create_task(witness.shielded())
    await witness.waits.wait()
    # asyncio.run() cancels all tasks at its end: there must be none that the caller does not
    # know.
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
    """The failure is the cause of the CancelledError."""
    witness = Witness(ValueError("no"))
    causes: list[BaseException | None] = []

    async def run() -> None:
        try:
            await witness.shielded()
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


# Cancel scopes inside the coroutine


class Scoped:
    """A coroutine whose own cancel scope ends its first wait, but not its second."""

    def __init__(self, seconds: float = 60) -> None:
        self.scope = anyio.CancelScope(deadline=anyio.current_time() + seconds)
        self.waits = anyio.Event()
        self.go_on = anyio.Event()
        self.ended = False

    async def coroutine(self) -> None:
        with self.scope:
            self.waits.set()
            await anyio.sleep_forever()
        await self.go_on.wait()
        await anyio.lowlevel.checkpoint()
        self.ended = True


async def test_a_deadline_inside() -> None:
    scoped = Scoped(0.01)
    scoped.go_on.set()
    await shielded(scoped.coroutine())
    assert scoped.scope.cancelled_caught
    assert scoped.ended


async def test_a_deadline_inside_a_cancelled_scope() -> None:
    scoped = Scoped(0.01)
    scoped.go_on.set()
    with anyio.CancelScope() as outer:
        outer.cancel()
        await shielded(scoped.coroutine())
        assert scoped.scope.cancelled_caught
        assert scoped.ended
        await anyio.lowlevel.checkpoint()
    assert outer.cancelled_caught


@asyncio_only
@pytest.mark.parametrize("times", [1, 3])
async def test_a_deadline_inside_after_the_task_was_cancelled(times: int) -> None:
    """The deadline ends only the wait in its scope; the task is cancelled after that."""
    scoped = Scoped(0.1)
    task = asyncio.create_task(shielded(scoped.coroutine()))
    await scoped.waits.wait()
    for _ in range(times):
        task.cancel("enough")
        await asyncio.sleep(0)
    scoped.go_on.set()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert scoped.scope.cancelled_caught
    assert scoped.ended
    assert task.cancelling() == times


@asyncio_only
@pytest.mark.parametrize("order", ["scope, task", "task, scope", "task, scope, task"])
async def test_a_scope_inside_and_the_task_are_cancelled_in_one_turn(order: str) -> None:
    """Both cancellations become one exception in asyncio; neither is lost."""
    scoped = Scoped()
    task = asyncio.create_task(shielded(scoped.coroutine()))
    await scoped.waits.wait()
    await asyncio.sleep(0.01)
    for which in order.split(", "):
        if which == "scope":
            scoped.scope.cancel()
        else:
            task.cancel("enough")
    await asyncio.sleep(0.01)
    scoped.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scoped.scope.cancelled_caught
    assert scoped.ended
    assert task.cancelling() == order.count("task")


@asyncio_only
async def test_in_a_task_that_was_cancelled_before() -> None:
    """The task's count of cancellation requests is unchanged."""
    scoped = Scoped(0.01)
    scoped.go_on.set()

    async def main() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await shielded(scoped.coroutine())

    task = asyncio.create_task(main())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scoped.ended
    assert task.cancelling() == 1


@asyncio_only
async def test_nested() -> None:
    inner, outer = Scoped(0.05), Scoped(0.1)

    async def both() -> None:
        await shielded(inner.coroutine())
        await outer.coroutine()

    task = asyncio.create_task(shielded(both()))
    await inner.waits.wait()
    task.cancel()
    inner.go_on.set()
    outer.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (inner.ended, outer.ended) == (True, True)
    assert task.cancelling() == 1


@asyncio_only
async def test_a_task_group_whose_other_task_fails() -> None:
    """The group reports the failure and nothing else."""
    scoped = Scoped(0.05)

    async def fail() -> None:
        await scoped.waits.wait()
        scoped.go_on.set()
        raise ValueError("no")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await shielded(scoped.coroutine())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert scoped.ended
    assert [str(error) for error in caught.value.exceptions] == ["no"]
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_coroutine_that_is_closed() -> None:
    """The coroutine is closed together with its caller."""
    closed: list[bool] = []

    async def coroutine() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            closed.append(True)

    call = shielded(coroutine())
    call.send(None)
    call.close()
    assert closed == [True]

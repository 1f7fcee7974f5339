"""Concurrent calls, and calls that must run to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from cni_async import CNIError, ConfigError
from cni_async._async.concurrently import run_all
from cni_async._async.shielded import shielded

pytestmark = pytest.mark.anyio

asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
)


async def run_to_completion(call: Callable[[], Awaitable[None]], *, within: float) -> None:
    """Await a call shielded and bounded, as a rollback does."""

    async def in_time() -> None:
        with anyio.fail_after(within):
            await call()

    await shielded(in_time())


class Gauge:
    """Counts the calls that run at the same time."""

    def __init__(self) -> None:
        self.now = self.most = self.finished = 0

    async def call(self, value: int, seconds: float = 0.01) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await anyio.sleep(seconds)
        finally:
            self.now -= 1
        self.finished += 1
        return value


async def fail(error: Exception) -> int:
    await anyio.lowlevel.checkpoint()
    raise error


async def test_nothing() -> None:
    assert await run_all([], limit=1) == []


async def test_results_come_in_the_order_of_the_calls() -> None:
    gauge = Gauge()
    calls = [partial(gauge.call, n, 0.02 - n / 100) for n in range(3)]
    assert await run_all(calls, limit=3) == [0, 1, 2]


@pytest.mark.parametrize("limit", [1, 3])
async def test_calls_begin_in_their_order(limit: int) -> None:
    begun: list[int] = []

    async def call(number: int) -> None:
        begun.append(number)
        await anyio.sleep(0)

    await run_all([partial(call, number) for number in range(20)], limit=limit)
    assert begun == list(range(20))


@pytest.mark.parametrize("limit", [1, 3])
async def test_so_many_run_at_a_time(limit: int) -> None:
    gauge = Gauge()
    assert len(await run_all([partial(gauge.call, n) for n in range(7)], limit=limit)) == 7
    assert gauge.most == limit


async def test_our_errors_stop_nothing() -> None:
    gauge = Gauge()
    first, second = CNIError("first"), ConfigError("second")
    calls = [partial(fail, first), partial(gauge.call, 1), partial(fail, second)]
    assert await run_all(calls, limit=2) == [first, 1, second]


@pytest.mark.parametrize("limit", [1, 2])
async def test_another_error_stops_all_and_comes_alone(limit: int) -> None:
    gauge = Gauge()
    error = LookupError("bug")
    calls: list[Callable[[], Awaitable[int]]] = [
        partial(fail, CNIError("ours")),
        partial(fail, error),
        partial(gauge.call, 1, 60),
        partial(fail, LookupError("later")),
    ]
    with anyio.fail_after(30), pytest.raises(LookupError) as caught:
        await run_all(calls, limit=limit)
    assert caught.value is error
    assert (gauge.now, gauge.finished) == (0, 0)


async def test_cancelled_together() -> None:
    gauge = Gauge()
    with anyio.move_on_after(0.02) as scope:
        await run_all([partial(gauge.call, n, 5) for n in range(3)], limit=2)
    assert scope.cancelled_caught
    assert (gauge.now, gauge.finished) == (0, 0)


class Slow:
    """A call that takes a while and records that it is done."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.started = anyio.Event()
        self.done = False
        self._seconds = seconds

    async def __call__(self) -> None:
        self.started.set()
        await anyio.sleep(self._seconds)
        self.done = True


async def test_to_the_end() -> None:
    slow = Slow()
    await run_to_completion(slow, within=5)
    assert slow.done


async def test_to_the_end_of_a_cancelled_scope() -> None:
    slow = Slow()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run_to_completion(slow, within=5)
        assert slow.done
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_to_the_end_with_an_error_which_comes_alone() -> None:
    error = LookupError("bug")

    async def call() -> None:
        await fail(error)

    with pytest.raises(LookupError) as caught:
        await run_to_completion(call, within=5)
    assert caught.value is error


async def test_to_the_end_but_not_for_ever() -> None:
    slow = Slow(60)
    with pytest.raises(TimeoutError):
        await run_to_completion(slow, within=0.01)
    assert not slow.done


@asyncio_only
async def test_task_cancel_before_the_call_has_begun() -> None:
    slow = Slow()

    async def main() -> None:
        task.cancel()
        await run_to_completion(slow, within=5)

    task = asyncio.create_task(main())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.done


@asyncio_only
@pytest.mark.parametrize("times", [1, 3])
async def test_task_cancel_in_the_middle(times: int) -> None:
    slow = Slow()
    task = asyncio.create_task(run_to_completion(slow, within=5))
    await slow.started.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.done


@asyncio_only
async def test_asyncio_timeout_in_the_middle() -> None:
    slow = Slow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_to_completion(slow, within=5)
    assert slow.done
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0

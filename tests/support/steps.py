"""Cancel a call after so many steps: a step is what a task does between two suspensions.

All tasks of the call count, as a cancellation may reach the caller while another task of the call
is in the middle of something. Nothing depends on time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import anyio
import trio.abc
import trio.lowlevel


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        reached: it was cancelled; if not, it ended in fewer steps.
        cancelled: a cancellation is what it ended with.
        error: the exception that it ended with.
    """

    reached: bool
    cancelled: bool
    error: BaseException | None


async def cancelled_after(
    number: int,
    call: Callable[[], Awaitable[object]],
    *,
    by_task: bool = False,
    times: int = 1,
    pause: Callable[[], object] = lambda: None,
) -> Outcome:
    """Make a call in a task of its own and cancel it after so many steps.

    Args:
        number: of the step that is the last before the cancellation.
        call: what to make.
        by_task: with asyncio's task.cancel(), and not with a cancel scope.
        times: cancel it so often, each time after one step more.
        pause: is called before the cancellation, while nothing else runs in the event loop.
    """
    scope = anyio.CancelScope()
    steps = 0
    reached = is_over = False

    def after_step() -> None:
        nonlocal steps, reached
        if is_over:
            return  # nobody can be cancelled who has an answer
        steps += 1
        if number <= steps < number + times:
            reached = True
            pause()
            cancel()

    async def run() -> None:
        nonlocal is_over
        with scope:
            try:
                await call()
            finally:
                is_over = True

    cancelled = False
    error: BaseException | None = None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        cancel = scope.cancel
        try:
            await _on_trio(run, after_step)
        except BaseException as failure:
            error = failure
    else:
        task: asyncio.Task[None] | None = None

        def cancel_task() -> None:
            assert task is not None
            task.cancel()

        cancel = cancel_task if by_task else scope.cancel
        with _Factory(after_step):
            task = asyncio.get_running_loop().create_task(run())
            await asyncio.wait((task,))
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
    return Outcome(reached, cancelled or scope.cancelled_caught, error)


class _Factory:
    """Makes tasks that tell of each of their steps."""

    def __init__(self, after_step: Callable[[], None]) -> None:
        self._after_step = after_step
        self._loop = asyncio.get_running_loop()
        self._before = self._loop.get_task_factory()

    def __enter__(self) -> None:
        self._loop.set_task_factory(self._make)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.set_task_factory(self._before)

    def _make(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(_await(_Steps(coro, self._after_step)), loop=loop, **options)


class _Steps:
    def __init__(self, coro: Coroutine[Any, Any, Any], after_step: Callable[[], None]) -> None:
        self._coro = coro
        self._after_step = after_step

    def __await__(self) -> Generator[Any, Any, Any]:
        step = self._coro.send
        given: Any = None
        while True:
            try:
                wish = step(given)
            except StopIteration as end:
                return end.value
            finally:
                self._after_step()
            try:
                given = yield wish
                step = self._coro.send
            except BaseException as error:
                given = error
                step = self._coro.throw


async def _await(steps: _Steps) -> Any:
    return await steps


class _Instrument(trio.abc.Instrument):
    def __init__(self, after_step: Callable[[], None]) -> None:
        self._after_step = after_step
        self.root: trio.lowlevel.Task | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        one: trio.lowlevel.Task | None = task
        while one is not None and one is not self.root:
            one = one.parent_nursery.parent_task if one.parent_nursery is not None else None
        if one is not None:
            self._after_step()


async def _on_trio(run: Callable[[], Awaitable[None]], after_step: Callable[[], None]) -> None:
    instrument = _Instrument(after_step)
    errors: list[BaseException] = []

    async def counted() -> None:
        instrument.root = trio.lowlevel.current_task()
        try:
            await run()
        except BaseException as error:  # it would come back in a group
            errors.append(error)

    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(counted)
    finally:
        trio.lowlevel.remove_instrument(instrument)
    if errors:
        raise errors[0]

"""Cancel a call after so many steps. A step is what a task does between two suspensions.

The steps of all tasks of the call count, because a cancellation may reach the caller while another
of these tasks is at work. Nothing depends on time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import anyio


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        reached: whether the step was reached, and the call cancelled there.
        cancelled: whether the call ended with a cancellation.
        error: the exception with which the call ended.
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
    """Make a call, and cancel it after so many steps.

    Args:
        number: the number of the last step before the cancellation.
        call: the call to make.
        by_task: cancel with asyncio's task.cancel(), and not with a cancel scope.
        times: how often to cancel, each time after one more step.
        pause: called before each cancellation, while nothing else runs in the event loop.
    """
    scope = anyio.CancelScope()
    steps = 0
    cancel: Callable[[], object] = scope.cancel
    reached = False

    def after_step() -> None:
        nonlocal steps, reached
        steps += 1
        if number <= steps < number + times:
            reached = True
            pause()
            cancel()

    async def run() -> None:
        with scope:
            await counted(call, after_step)

    task: asyncio.Task[None] | None = None
    error: BaseException | None = None
    if _on_asyncio():
        task = asyncio.get_running_loop().create_task(run())
        if by_task:
            cancel = task.cancel
        await asyncio.wait((task,))
        error = None if task.cancelled() else task.exception()
    else:
        try:
            await run()
        except Exception as failure:
            error = failure
    cancelled = scope.cancelled_caught or (task is not None and task.cancelled())
    return Outcome(reached, cancelled, error)


async def counted(call: Callable[[], Awaitable[object]], after_step: Callable[[], object]) -> None:
    """Make a call, and call `after_step` after each step of this task and of those it starts.

    The step in which the call ends does not count: its outcome is certain then.
    """
    if _on_asyncio():

        async def run() -> None:
            await call()

        with _Factory(after_step):
            await _Steps(run(), after_step, is_main=True)
    else:
        with _instrument(after_step):
            await call()


def _on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Factory:
    """Makes tasks that report each of their steps."""

    def __init__(self, after_step: Callable[[], object]) -> None:
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
    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        after_step: Callable[[], object],
        *,
        is_main: bool = False,
    ) -> None:
        self._coro = coro
        self._after_step = after_step
        self._is_main = is_main

    def __await__(self) -> Generator[Any, Any, Any]:
        step = self._coro.send
        given: Any = None
        is_over = True
        while True:
            try:
                wish = step(given)
                is_over = False
            except StopIteration as end:
                return end.value
            finally:
                if not (is_over and self._is_main):
                    self._after_step()
                is_over = True
            try:
                given = yield wish
                step = self._coro.send
            except BaseException as error:
                given = error
                step = self._coro.throw


async def _await(steps: _Steps) -> Any:
    return await steps


@contextmanager
def _instrument(after_step: Callable[[], object]) -> Iterator[None]:
    # Here, because the import of trio takes longer than a program on asyncio runs.
    import trio.abc
    import trio.lowlevel

    main = trio.lowlevel.current_task()

    class Instrument(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            one: trio.lowlevel.Task | None = task
            while one is not None and one is not main:
                one = one.parent_nursery.parent_task if one.parent_nursery is not None else None
            if one is not None:
                after_step()

    instrument = Instrument()
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)

"""Cancel a call after so many steps: a step is what a task does between two suspensions.

All tasks of the call count, as a cancellation may reach the caller while another task of the call
is in the middle of something. Nothing depends on time.
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
    """Make a call, and report each step of this task and of the tasks that it starts.

    The step in which the call ends is not reported: its outcome is decided then.
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
    # Here, as importing trio takes longer than what a program on asyncio does.
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

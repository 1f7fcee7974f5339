"""Await what no cancellation may cut short, not even that of a whole event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

_T = TypeVar("_T")


async def uncut(coroutine: Coroutine[Any, Any, _T], *, begun: Callable[[], None]) -> _T:
    """Await a coroutine that no cancellation cuts short; it is acted upon afterwards.

    Args:
        coroutine: what to await. It is bounded in time by itself, but not by a cancel scope: on
            asyncio that would not come through either.
        begun: is called in the turn of the event loop after the one in which it has come to wait
            for something, if that can be known, and once it has ended if not.

    Raises:
        BaseException: what it raises; the cause of the cancellation if there is one, too.
    """
    result: list[_T] = []
    with anyio.CancelScope(shield=True):
        if in_asyncio_task():
            result.append(await _Uncut(coroutine, begun))
        else:
            try:
                result.append(await coroutine)
            finally:
                begun()
    return result[0]


class _Uncut(Generic[_T]):
    """Awaits a coroutine on asyncio, where task.cancel() cuts through anyio's shield.

    A task waits for one future after the other, and cancelling the task cancels the future. So
    this has it wait for a stand-in of each. A task of its own for the coroutine would not do:
    asyncio.run() cancels whatever tasks there are when it ends.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, _T], begun: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._begun = begun

    def __await__(self) -> Generator[Any, Any, _T]:
        loop = asyncio.get_running_loop()
        steps = self._coroutine.__await__()
        begun: Callable[[], None] | None = self._begun
        interruption: asyncio.CancelledError | None = None
        try:
            while True:
                awaited: asyncio.Future[Any] | None = next(steps)
                if begun is not None:
                    loop.call_soon(begun)
                    begun = None
                if awaited is not None:
                    # Tells a task that a future was awaited properly, and means us here.
                    awaited._asyncio_future_blocking = False
                while awaited is None or not awaited.done():
                    try:
                        yield from _turn_or_end(loop, awaited)
                    except asyncio.CancelledError as error:
                        interruption = error
                    if awaited is None:
                        break
        except StopIteration as end:
            if interruption is not None:
                raise interruption from None
            result: _T = end.value
            return result
        except Exception as failure:
            if interruption is not None:
                raise interruption from failure
            raise
        finally:
            if begun is not None:
                begun()


def _turn_or_end(
    loop: asyncio.AbstractEventLoop, awaited: "asyncio.Future[Any] | None"
) -> Generator[Any, Any, None]:
    """Wait until a future is done, or for the event loop's next turn."""
    if awaited is None:
        yield
        return
    done = loop.create_future()
    awaited.add_done_callback(partial(_set, done))
    yield from done


def _set(done: "asyncio.Future[None]", _: object) -> None:
    if not done.done():  # it is cancelled if the task was
        done.set_result(None)


def in_asyncio_task() -> bool:
    """Tell whether this is an asyncio task; trio may be a guest in asyncio's event loop."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False

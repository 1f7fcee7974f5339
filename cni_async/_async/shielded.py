"""Await a coroutine that no cancellation may cut short, not even the end of an event loop."""

import asyncio
import math
import sys
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

_T = TypeVar("_T")


async def shielded(
    coroutine: Coroutine[Any, Any, _T], *, begun: Callable[[], None] | None = None
) -> _T:
    """Await a coroutine until it ends; raise a cancellation of the caller only then.

    On asyncio a second Ctrl-C cuts it short; the first one is a cancellation. Cancel scopes inside
    the coroutine work as usual, so its deadline belongs there.

    Args:
        coroutine: runs in the caller's task.
        begun: called one turn of the event loop after the coroutine first waits for something; on
            trio, and for a coroutine that never waits, after the coroutine has ended.

    Raises:
        BaseException: the coroutine raised it. If the caller was cancelled, it is the cause of the
            cancellation's error.
    """
    result: list[_T] = []
    with anyio.CancelScope(shield=True):
        if in_asyncio_task():
            result.append(await _Shielded(coroutine, begun))
        else:
            try:
                result.append(await coroutine)
            finally:
                if begun is not None:
                    begun()
    return result[0]


class _Shielded(Generic[_T]):
    """Awaits a coroutine on asyncio, where task.cancel() cuts through anyio's shield.

    A task waits for one future after another, and task.cancel() cancels the future. So here the
    task waits for a stand-in of each. A cancellation by the application is kept until the coroutine
    has ended; one by a cancel scope inside the coroutine is passed on.

    A separate task for the coroutine would not help: asyncio.run() cancels all tasks at its end.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, _T], begun: Callable[[], None] | None
    ) -> None:
        self._coroutine = coroutine
        self._begun = begun
        self._kept = _Cancellations()

    def __await__(self) -> Generator[Any, Any, _T]:
        try:
            result = yield from self._run()
        except (Exception, asyncio.CancelledError) as failure:
            yield from self._kept.raise_from(failure)
            raise
        finally:
            self._coroutine.close()
            if self._begun is not None:
                self._begun()
        yield from self._kept.raise_from(None)
        return result

    def _run(self) -> Generator[Any, Any, _T]:
        loop = asyncio.get_running_loop()
        thrown: BaseException | None = None
        while True:
            try:
                if thrown is None:
                    awaited: asyncio.Future[Any] | None = self._coroutine.send(None)
                else:
                    awaited = self._coroutine.throw(thrown)
            except StopIteration as end:
                result: _T = end.value
                return result
            if self._begun is not None:
                loop.call_soon(self._begun)
                self._begun = None
            if awaited is not None:
                # A task checks and clears this flag of a future; here this object does.
                awaited._asyncio_future_blocking = False
            thrown = yield from self._wait(loop, awaited)

    def _wait(
        self, loop: asyncio.AbstractEventLoop, awaited: "asyncio.Future[Any] | None"
    ) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Wait until a future is done, or for one turn; return an error for the coroutine."""
        if awaited is None:
            return (yield from self._kept.collect(_next_turn()))
        while not awaited.done():
            kept = self._kept.count
            error = yield from self._kept.collect(_end_of(loop, awaited))
            # As a task does: cancel the future; if that fails, throw into the coroutine.
            if error is not None and not awaited.cancel(error.args[0]):
                return error
            if self._kept.count > kept:
                loop.call_soon(_cancel_if_interrupted, awaited)
        return None


def _cancel_if_interrupted(awaited: "asyncio.Future[Any]") -> None:
    """Cut the coroutine short after all if the user has pressed Ctrl-C a second time.

    At the first one asyncio cancels its main task. The second one raises KeyboardInterrupt, which
    ends the event loop, and asyncio cancels all tasks while that exception propagates.
    """
    # While a callback of the event loop runs, no other exception is being handled.
    if isinstance(sys.exc_info()[1], KeyboardInterrupt):
        awaited.cancel()


class _Cancellations:
    """The application's cancellations of a task, kept while a coroutine must not be cut short.

    Attributes:
        count: how many of them `raise_from` has to request again.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.count = 0
        self._last: asyncio.CancelledError | None = None

    def collect(
        self, wait: Generator[Any, Any, None]
    ) -> Generator[Any, Any, asyncio.CancelledError | None]:
        """Wait once; keep cancellations by the application, return one by a cancel scope."""
        before = self._task.cancelling()
        try:
            yield from wait
        except asyncio.CancelledError as error:
            requests = self._task.cancelling() - before
            by_scope = _is_of_a_scope(error)
            if not by_scope:
                self._last = error
            elif requests > 1:
                # Requests of one turn arrive as one exception, the first one's.
                self._last = asyncio.CancelledError()
                requests -= 1
            else:
                requests = 0
            for _ in range(requests):
                # A scope inside the coroutine counts requests, too, and with one more would not
                # catch the exception of its own timeout. `raise_from` makes the request again.
                self._task.uncancel()
                self.count += 1
            return error if by_scope else None
        return None

    def raise_from(self, cause: BaseException | None) -> Generator[Any, Any, None]:
        """Raise the last kept cancellation, if there is one.

        Args:
            cause: the cause of the error that is raised.
        """
        error = self._last
        if error is None:
            return
        for _ in range(self.count):
            self._task.cancel(*error.args[:1])
        if self.count:
            try:
                yield  # in the next turn the task raises what was just requested
            except asyncio.CancelledError as raised:
                error = raised
        raise error from cause


def _is_of_a_scope(error: asyncio.CancelledError) -> bool:
    """Return whether a cancel scope inside the coroutine has cancelled the task."""
    # This looks no farther than a shield, and so not beyond that of `shielded`.
    if anyio.current_effective_deadline() > -math.inf:
        return False
    # The application may have cancelled the task in the turn in which the scope's time was up. All
    # releases of anyio mark their requests like this, and repeat them until they take effect.
    return bool(error.args) and "cancel scope" in str(error.args[0])


def _next_turn() -> Generator[Any, Any, None]:
    yield


def _end_of(
    loop: asyncio.AbstractEventLoop, awaited: "asyncio.Future[Any]"
) -> Generator[Any, Any, None]:
    """Wait until a future is done."""
    done = loop.create_future()
    awaited.add_done_callback(partial(_set, done))
    yield from done


def _set(done: "asyncio.Future[None]", _: object) -> None:
    if not done.done():  # it is cancelled if the task was
        done.set_result(None)


def in_asyncio_task() -> bool:
    """Return whether this is an asyncio task; trio may be a guest in asyncio's event loop."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def on_uvloop() -> bool:
    """Return whether the running event loop is uvloop's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        return False
    return type(loop).__module__.partition(".")[0] == "uvloop"

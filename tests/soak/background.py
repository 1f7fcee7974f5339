"""A thread beside the event loop, whose failure reaches the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def background(run: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a function in a thread during a block.

    Args:
        run: receives an event that is set at the end of the block, and has to return then.

    Raises:
        Exception: the function raised it.
    """
    over = threading.Event()
    failures: list[Exception] = []

    def call() -> None:
        try:
            run(over)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=call, name="background")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]

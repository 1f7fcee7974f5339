"""A disk that does not answer: chosen system calls hang until a test releases them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

if TYPE_CHECKING:
    import pytest

_PATIENCE = 30


class Stuck:
    """Calls of one function of `os` that hang.

    Attributes:
        hangs: set once a call hangs.
    """

    # The thread of each call that hangs calls these functions first.
    told: ClassVar[list[Callable[[], object]]] = []

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        name: str,
        *,
        when: Callable[..., bool] = lambda *args, **options: True,
        times: int = 1000,
    ) -> None:
        """Make calls hang from now on.

        Args:
            patch: undoes this.
            name: the function's name in `os`.
            when: called with a call's arguments; returns whether that call hangs.
            times: the most calls that hang.
        """
        self._go = threading.Event()
        self.hangs = threading.Event()
        real = getattr(os, name)
        left = iter(range(times))

        def call(*args: Any, **options: Any) -> Any:
            if not self._go.is_set() and when(*args, **options) and next(left, None) is not None:
                self.hangs.set()
                for tell in self.told:
                    tell()
                # Bounded, so that a test fails, and does not hang, if its event loop waits here.
                self._go.wait(_PATIENCE)
            return real(*args, **options)

        patch.setattr(os, name, call)

    async def until_it_hangs(self) -> None:
        """Wait until a call hangs; do not block the event loop."""
        with anyio.fail_after(_PATIENCE):
            while not self.hangs.is_set():
                await anyio.sleep(0.005)

    def release(self) -> None:
        """Release all calls."""
        self._go.set()

    async def let_go(self) -> None:
        """Release all calls, and wait until no thread runs code of `cni_async`."""
        self.release()
        await until_no_thread_is_busy()


async def until_no_thread_is_busy() -> None:
    """Wait until abandoned threads have left the code of `cni_async`."""
    deadline = time.monotonic() + _PATIENCE
    while _busy_threads():
        assert time.monotonic() < deadline, _busy_threads()
        await anyio.sleep(0.005)


def _busy_threads() -> list[str]:
    frames = sys._current_frames()
    busy: list[str] = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        while frame is not None and thread is not threading.main_thread():
            if "/cni_async/" in frame.f_code.co_filename:
                busy.append(f"{thread.name}: {frame.f_code.co_qualname}")
            frame = frame.f_back
    return busy

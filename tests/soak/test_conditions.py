"""The conditions do what they say, and leave nothing when they end."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from pathlib import Path

import anyio
import pytest

from tests.support.require import require
from tests.support.scripts import children

from . import conditions, frozen
from .tally import Tally


def test_who_hears_of_children_after_sigchld_was_ignored() -> None:
    """The handler that libuv sets in C, unknown to Python, is put back."""
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)
    address = ctypes.cast(handler, ctypes.c_void_p).value
    before = libc.signal(signal.SIGCHLD, None)
    try:
        disposition = conditions.Disposition()
        disposition.ignore()
        assert libc.signal(signal.SIGCHLD, address) == signal.SIG_IGN
        disposition.ignore()
        assert libc.signal(signal.SIGCHLD, signal.SIG_IGN) == signal.SIG_IGN
        disposition.restore()
        assert libc.signal(signal.SIGCHLD, None) == address
    finally:
        libc.signal(signal.SIGCHLD, before)


@pytest.mark.anyio
async def test_the_reaper_leaves_no_child_when_it_is_cancelled(tmp_path: Path) -> None:
    before = children()
    scene = conditions.Scene([], Tally("asyncio", 1), tmp_path, 1, 1, "asyncio")
    with anyio.move_on_after(0.05) as scope:
        async with conditions.in_force(scene, ["reaper"]):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert children() == before


def test_a_disk_waits_for_threads_that_would_not_see_it(tmp_path: Path) -> None:
    """A thread that is older than the mount would write to the directory below it."""
    require(not frozen.why_no_disk(), str(frozen.why_no_disk()))
    idle = threading.Thread(target=time.sleep, args=(0.5,), name="Trio thread 1")
    idle.start()
    with frozen.disk(tmp_path) as place:
        assert not idle.is_alive()
        assert place.is_mount()
    idle.join()

"""Every throttle, with its number and the reason for it.

Throttles bound what one event loop takes of a machine that it shares. None of them keeps an order;
`operations.order` does.
"""

from typing import Final

import anyio
import anyio.lowlevel

# Running plugins. Each takes up to nine file descriptors, and a process usually has 1024.
PLUGINS: Final = 100
# Starts in a turn of the event loop. Each blocks the loop until the kernel has run the child, and a
# hundred in a row did so for the time of 264 bare spawns on two cores. Two in a turn blocked it for
# longer than one, and gained nothing with a hundred plugins in flight (docs/tried.md).
STARTS: Final = 1
# Operations that begin in a turn. An operation's work before its first wait takes a tenth of a bare
# spawn, and an application may ask for hundreds of attachments at once.
OPERATIONS: Final = 8
# Concurrent plugins of one GC, `recover` or validation: they wait for the kernel and for each
# other's locks. With eight, GC of 200 took 0.77 of the time that Go needs one after the other.
AT_ONCE: Final = 8

# Threads for each disk and each event loop; further calls wait for a thread.
DISK_THREADS: Final = 16
# Given-up threads for each disk, which a dead disk keeps.
STUCK_THREADS: Final = 16
# For how many seconds, and how often, the event loop's own thread uses a fast disk before other
# tasks run. A turn for each call would cost more than the call.
DISK_SECONDS: Final = 0.001
DISK_CALLS: Final = 50


class Pacing:
    """The throttles of one event loop, except those of its disks.

    Attributes:
        plugins: held by each running plugin, unless the caller has its own limiter.
        starts: held during a start.
        operations: held for a turn by each operation that begins.
    """

    def __init__(self) -> None:
        """Make the throttles of the running event loop."""
        self.plugins: anyio.Semaphore = anyio.Semaphore(PLUGINS, fast_acquire=True)
        self.starts: anyio.Semaphore = anyio.Semaphore(STARTS, fast_acquire=True)
        self.operations: anyio.Semaphore = anyio.Semaphore(OPERATIONS, fast_acquire=True)


_OF_LOOP: Final = anyio.lowlevel.RunVar[Pacing]("cni_async._async.pacing")


def of_loop() -> Pacing:
    """Return the throttles of the running event loop."""
    try:
        return _OF_LOOP.get()
    except LookupError:
        _OF_LOOP.set(found := Pacing())
        return found


async def acquire(throttle: anyio.Semaphore) -> None:
    """Take a place in a throttle.

    If one is free, this does not yield; the caller needs its own checkpoint.
    """
    if throttle.value:
        throttle.acquire_nowait()
    else:
        await throttle.acquire()

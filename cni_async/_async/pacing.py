"""Every throttle, with its number and what chose it.

They bound what one event loop takes of a machine that it shares. None of them keeps an order, as
`operations.order` does.
"""

from typing import Final

import anyio
import anyio.lowlevel

# Plugins that run. Each takes up to nine file descriptors, and a process usually has 1024.
PLUGINS: Final = 100
# Starts in a turn of the event loop. Each holds it up until the kernel has got around to the child,
# and a hundred in a row did so for 264 bare spawns on two cores. With two in a turn it was held up
# for longer than with one, and with a hundred plugins in flight nothing was gained (docs/tried.md).
STARTS: Final = 1
# Operations that begin in a turn. The work before its first wait takes a tenth of a bare
# spawn, and an application may well ask for hundreds of attachments at once.
OPERATIONS: Final = 8
# Plugins of one GC, `recover` or validation: they wait for the kernel and for each other's locks.
# With eight, GC of 200 took 0.77 of the time that Go needs for one after the other.
AT_ONCE: Final = 8

# Threads, for each disk and each event loop, that wait for an answer; more calls wait for one.
DISK_THREADS: Final = 16
# Threads, for each disk, that were given up and that it keeps as long as it is dead.
STUCK_THREADS: Final = 16
# How long, in seconds, and how often the event loop's own thread asks a fast disk before others
# have their turn. A turn for each call would cost more than the call.
DISK_SECONDS: Final = 0.001
DISK_CALLS: Final = 50


class Pacing:
    """The throttles of an event loop that are not about one disk.

    Attributes:
        plugins: how many run, where the caller has no limiter of its own.
        starts: held during a start.
        operations: held for a turn by each operation that begins.
    """

    def __init__(self) -> None:
        """Make them, for the running event loop."""
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
    """Take a place.

    Where one is free this does not yield; the caller needs a checkpoint of its own.
    """
    if throttle.value:
        throttle.acquire_nowait()
    else:
        await throttle.acquire()

"""A plugin's output, and the reading of long output without holding up the event loop."""

from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from cni_async._async.threads import in_thread

_T = TypeVar("_T")

# Longer output is read in a worker thread: megabytes take up to seconds. Answers of real plugins
# are far shorter, and reading one of them costs less than asking a thread to.
_LONG: Final = 256 * 1024


class Answer(bytes):
    """A plugin's stdout.

    Attributes:
        stderr: the end of what it wrote to stderr.
    """

    stderr: str = ""


async def read(function: Callable[[bytes], _T], output: bytes) -> _T:
    """Call a function with what a plugin printed; if that is a lot, in a worker thread."""
    if len(output) > _LONG:
        try:
            return await in_thread(
                function,
                output,
                limiter=anyio.CapacityLimiter(1),  # an answer must not wait for a thread to spare
            )
        except OSError:
            pass  # no thread can be started
    return function(output)

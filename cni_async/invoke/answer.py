"""A plugin's stdout, and reading it without blocking the event loop."""

from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from cni_async._async.threads import in_thread

_T = TypeVar("_T")

# Bytes. Longer output is read in a worker thread: megabytes take up to seconds. Real plugins print
# far less, and reading that costs less than handing it to a thread.
_LONG: Final = 256 * 1024


class Answer(bytes):
    """A plugin's stdout.

    Attributes:
        stderr: the end of what the plugin wrote to stderr.
    """

    stderr: str = ""


async def read(function: Callable[[bytes], _T], output: bytes) -> _T:
    """Return `function(output)`; call it in a worker thread if the output is long."""
    if len(output) > _LONG:
        try:
            return await in_thread(
                function,
                output,
                limiter=anyio.CapacityLimiter(1),  # the application may fill the default one
            )
        except OSError:
            pass  # no thread can be started
    return function(output)

"""Hand plugins' stderr to a writer that may block, without blocking the call.

The pipe or terminal behind this process's stderr may be full for ever. So each writer has a thread
that writes, and a call waits for it only briefly.
"""

import contextvars
import io
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final, Protocol
from weakref import WeakSet, WeakValueDictionary

import anyio
import anyio.lowlevel

# The modules that run plugins log under one name.
_log = logging.getLogger("cni_async.invoke.exec")

# Seconds that a call waits for a writer to take its plugin's stderr.
_PATIENCE: Final = 1.0
# A call looks once in each of these turns of the event loop, then at intervals of seconds.
_TURNS: Final = 20
_FIRST_TICK: Final = 0.001
_LAST_TICK: Final = 0.02


class Writer(Protocol):
    """Where plugins' stderr goes, for example a binary file."""

    def write(self, data: bytes, /) -> object:
        """Take one plugin's stderr."""
        ...


class ProcessStderr:
    """Writes to this process's stderr, which is what `sys.stderr` is at the time."""

    def write(self, data: bytes, /) -> None:
        """Write to `sys.stderr`; a daemon may have none."""
        stream = sys.stderr
        if type(stream) is io.TextIOWrapper:
            _write_through(stream, data)
        elif stream is not None:
            stream.write(data.decode("utf-8", "replace"))
            stream.flush()  # the last line may be incomplete


_one_at_a_time = threading.Lock()  # so that the stderr of two plugins does not mix


def _write_through(stream: io.TextIOWrapper, data: bytes) -> None:
    stream.flush()
    # Bypass the buffer: what cannot be written would stay there. Python would try to write it
    # again at its exit, and exit with status 120.
    buffer = stream.buffer
    raw: Any = getattr(buffer, "raw", buffer)  # Python may run unbuffered
    rest = memoryview(data)
    with _one_at_a_time:
        while rest:
            written = raw.write(rest)
            if written is None:  # it is non-blocking, and full
                writable = select.poll()
                writable.register(raw, select.POLLOUT)
                writable.poll()
            else:
                rest = rest[written:]


class _Piece:
    """The stderr of one plugin."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.context = contextvars.copy_context()
        self.is_done = False
        self.is_given_up = False
        self.error: BaseException | None = None


class Forwarder:
    """Hands plugins' stderr to a writer, in the order in which the plugins exit.

    If a writer takes nothing for `_PATIENCE`, further output is dropped until it does. So a writer
    needs one thread, and not one for each call.
    """

    def __init__(self, writer: Writer) -> None:
        """Set the writer."""
        self._writer = writer
        self.forget()
        _FORWARDERS.add(self)

    def forget(self) -> None:
        """Begin anew: a forked process does not have the thread."""
        self._lock = threading.Lock()
        self._waiting = deque[_Piece]()
        self._is_working = False
        self._busy_since: float | None = None
        self._dropped = 0

    async def forward(self, data: bytes) -> None:
        """Hand a plugin's stderr to the writer, and wait at most `_PATIENCE` until it is taken.

        If the caller is cancelled, the writer may still take it.

        Raises:
            Exception: the writer raised it, and it is not an OSError or a ValueError.
        """
        piece = _Piece(data)
        if not self._add(piece):
            self._drop(piece)
            return
        deadline = time.monotonic() + _PATIENCE
        turns = _TURNS
        tick = _FIRST_TICK
        while not piece.is_done:
            if time.monotonic() >= deadline:
                self._drop(piece)
                return
            if turns:
                turns -= 1
                await anyio.lowlevel.checkpoint()
            else:
                await anyio.sleep(tick)
                tick = min(2 * tick, _LAST_TICK)
        if piece.error is not None:
            raise piece.error

    def _add(self, piece: _Piece) -> bool:
        """Queue a piece; return whether the writer is going to take it."""
        with self._lock:
            since = self._busy_since
            if since is not None and time.monotonic() - since >= _PATIENCE:
                return False
            self._waiting.append(piece)
            if not self._is_working:
                # A daemon thread does not keep Python from exiting, as one of anyio's would.
                thread = threading.Thread(target=self._work, name="cni_async stderr", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many threads
                    self._waiting.pop()
                    return False
                self._is_working = True
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_working = False
                    return
                piece = self._waiting.popleft()
                self._busy_since = time.monotonic()
            try:
                piece.context.run(self._writer.write, piece.data)
            except (OSError, ValueError):
                pass  # the plugin has succeeded or failed regardless
            except BaseException as error:  # `forward` raises it, not this thread
                piece.error = error
            with self._lock:
                self._busy_since = None
                dropped, self._dropped = self._dropped, 0
                piece.is_done = True
                if piece.is_given_up:  # the writer has taken it after all
                    dropped -= len(piece.data)
            if dropped:
                _log.warning("stderr of plugins is read again; %d bytes were dropped", dropped)

    def _drop(self, piece: _Piece) -> None:
        with self._lock:
            if piece.is_done:
                return
            piece.is_given_up = True
            is_first = not self._dropped
            self._dropped += len(piece.data)
            # A piece that is being written has left the queue; the writer may still take it.
            with suppress(ValueError):
                self._waiting.remove(piece)
        if is_first and not _log_blocks():
            _log.warning("stderr of plugins is dropped: it is not being read")


_FORWARDERS: Final = WeakSet[Forwarder]()
_PROCESS_STDERR: Final = Forwarder(ProcessStderr())
# By the writer's id, as a writer need not be hashable. A forwarder keeps its writer alive, and so
# the id valid. Each `RawExec` that uses a forwarder keeps it alive, and so does its thread.
_OF_WRITER: Final = WeakValueDictionary[int, Forwarder]()
# Several threads may look up a forwarder and add a missing one, which takes several steps.
_finding = threading.Lock()


def forwarder(writer: Writer) -> Forwarder:
    """Return the forwarder of a writer: one for each object, one for this process's stderr."""
    if type(writer) is ProcessStderr:
        return _PROCESS_STDERR
    with _finding:
        found = _OF_WRITER.get(id(writer))
        if found is None:
            _OF_WRITER[id(writer)] = found = Forwarder(writer)
        return found


def _log_blocks() -> bool:
    """Return whether logging would block: the log often goes to the same stderr."""
    logger: logging.Logger | None = _log
    found = False
    while logger is not None:
        for handler in logger.handlers:
            found = True
            stream: Any = getattr(handler, "stream", None)
            if isinstance(handler, logging.StreamHandler) and _is_full(stream):
                return True
        logger = logger.parent if logger.propagate else None
    return not found and _is_full(sys.stderr)


def _is_full(stream: Any) -> bool:
    """Return whether writing to a stream would block; without a descriptor it would not."""
    writable = select.poll()
    try:
        writable.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):
        return False
    return not writable.poll(0)


def _forget_in_child() -> None:
    # A thread that holds one of the locks in the parent does not exist in the forked process.
    global _one_at_a_time, _finding
    _one_at_a_time = threading.Lock()
    _finding = threading.Lock()
    for each in tuple(_FORWARDERS):
        each.forget()


os.register_at_fork(after_in_child=_forget_in_child)

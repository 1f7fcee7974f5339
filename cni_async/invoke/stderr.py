"""Where what plugins print on stderr goes, which must not hold up a call: it may block for ever.

The pipe or terminal behind this process's stderr may be full for ever. So a thread writes, one for
each writer, and a call waits for it only for a moment.
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

# Seconds for which a call waits until a writer has taken what its plugin printed.
_PATIENCE: Final = 1.0
# How it is looked whether that is so: some turns of the event loop, then from time to time.
_TURNS: Final = 20
_FIRST_TICK: Final = 0.001
_LAST_TICK: Final = 0.02


class Writer(Protocol):
    """Where plugins' stderr goes, for example a binary file."""

    def write(self, data: bytes, /) -> object:
        """Take some of it."""
        ...


class ProcessStderr:
    """This process's stderr, whatever `sys.stderr` is when a plugin has written something."""

    def write(self, data: bytes, /) -> None:
        """Write to `sys.stderr`; a daemon may have none."""
        stream = sys.stderr
        if type(stream) is io.TextIOWrapper:
            _write_through(stream, data)
        elif stream is not None:
            stream.write(data.decode("utf-8", "replace"))
            stream.flush()  # the last line need not be a whole one


_one_at_a_time = threading.Lock()  # plugins' stderr is not mixed


def _write_through(stream: io.TextIOWrapper, data: bytes) -> None:
    stream.flush()
    # Past the buffer: what cannot be written would stay there, and Python, which tries it again
    # when it ends, would end with status 120.
    buffer = stream.buffer
    raw: Any = getattr(buffer, "raw", buffer)  # Python may run unbuffered
    rest = memoryview(data)
    with _one_at_a_time:
        while rest:
            written = raw.write(rest)
            if written is None:  # it does not block, and is full
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
    """Hands what plugins print to a writer, in the order in which they exit.

    A writer that takes nothing for `_PATIENCE` gets nothing more until it does: what comes
    meanwhile is dropped. So there is one thread for a writer, and not one for each call.
    """

    def __init__(self, writer: Writer) -> None:
        """Say where it goes."""
        self._writer = writer
        self.forget()
        _FORWARDERS.add(self)

    def forget(self) -> None:
        """Begin anew, as in a forked child, where the thread is not."""
        self._lock = threading.Lock()
        self._waiting = deque[_Piece]()
        self._is_working = False
        self._busy_since: float | None = None
        self._dropped = 0

    async def forward(self, data: bytes) -> None:
        """Have the writer take what a plugin printed, and wait for it, for `_PATIENCE` at most.

        If the caller is cancelled, the writer may take it all the same.

        Raises:
            Exception: what the writer raises, except for an OSError and a ValueError.
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
                # One of its own that does not keep Python from ending, as anyio's would.
                thread = threading.Thread(target=self._work, name="cni_async stderr", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many
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
                pass  # nothing is lost for the plugin
            except BaseException as error:  # raised where the call waits, not in this thread
                piece.error = error
            with self._lock:
                self._busy_since = None
                dropped, self._dropped = self._dropped, 0
                piece.is_done = True
                if piece.is_given_up:  # and taken all the same
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
            # A piece that is being written is not in the queue any more; it may come through later.
            with suppress(ValueError):
                self._waiting.remove(piece)
        if is_first and not _log_blocks():
            _log.warning("stderr of plugins is dropped: it is not being read")


_FORWARDERS: Final = WeakSet[Forwarder]()
_PROCESS_STDERR: Final = Forwarder(ProcessStderr())
# By the writer's id, as it need not be hashable. A forwarder keeps its writer, and so the id; what
# keeps the forwarder is each `RawExec` that has it, and its thread.
_OF_WRITER: Final = WeakValueDictionary[int, Forwarder]()
# A look-up that adds what is missing is several steps, and comes from several threads.
_finding = threading.Lock()


def forwarder(writer: Writer) -> Forwarder:
    """Return what hands plugins' stderr to a writer: one for each object, and for our stderr."""
    if type(writer) is ProcessStderr:
        return _PROCESS_STDERR
    with _finding:
        found = _OF_WRITER.get(id(writer))
        if found is None:
            _OF_WRITER[id(writer)] = found = Forwarder(writer)
        return found


def _log_blocks() -> bool:
    """Tell whether a line in the log would have to wait: it often goes to the same stderr."""
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
    """Tell whether writing to a stream would block; one without a descriptor does not."""
    writable = select.poll()
    try:
        writable.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, ValueError):
        return False
    return not writable.poll(0)


def _forget_in_child() -> None:
    # A thread that holds one of the locks in the parent does not exist in the child.
    global _one_at_a_time, _finding
    _one_at_a_time = threading.Lock()
    _finding = threading.Lock()
    for each in tuple(_FORWARDERS):
        each.forget()


os.register_at_fork(after_in_child=_forget_in_child)

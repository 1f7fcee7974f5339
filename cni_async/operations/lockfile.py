"""A lock file, which keeps the order among processes and among event loops of one process.

The file has no content. Each container and each network is a byte of it, and the kernel drops the
locks of a process that dies. An event loop opens the file once for all its operations: many wait
here, or hold a byte while they wait for a plugin to start, and a descriptor for each would use up
the descriptors that the plugins need.

Locks through one descriptor do not exclude each other. Within an event loop the caller keeps the
order, and decides which operations may share a byte.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

import anyio
import anyio.lowlevel

from cni_async.errors import CacheError

_log = logging.getLogger(__name__)

# Seconds until an operation tries a held lock again: first soon, then less often.
_FIRST_TICK: Final = 0.001
_LAST_TICK: Final = 0.05
# If many wait in an event loop, each tries less often: a try costs 20 to 40 microseconds.
_TICK_FOR_EACH: Final = 0.001
# Attempts to lock a file that is replaced each time.
_MOST_FILES: Final = 20


def absolute(path: str) -> str:
    """Return the absolute path of a lock file, so that it stays the same after a chdir.

    Raises:
        CacheError: no current directory exists.
    """
    if os.path.isabs(path):
        return path
    try:
        # Not normalized: after a symlink ".." is another directory.
        return os.path.join(os.getcwd(), path)
    except OSError as error:
        raise _cannot_lock(path, error) from error


async def lock(path: str, place: int, *, alone: bool) -> AbstractContextManager[object]:
    """Lock a byte of a lock file, waiting for other processes and event loops.

    No other operation of this event loop may be locking this byte at the same time, and none may
    hold it, unless both share it.

    Args:
        path: absolute path of the lock file, which is created if missing.
        place: offset of the byte; odd, as the byte before it is its queue.
        alone: lock the byte exclusively.

    Returns:
        a context manager that unlocks the byte at its end.

    Raises:
        CacheError: the file cannot be used.
    """
    for _ in range(_MOST_FILES):
        with ExitStack() as held:
            file = held.enter_context(_used(path))
            await file.lock(place, alone=alone)
            held.callback(file.unlock, place)
            # Other operations lock the file that has the name now.
            if file.has_its_name():
                return held.pop_all()
    raise CacheError(f"cannot lock {path}: it is replaced again and again", path=path)


def is_locked(path: str, place: int) -> bool:
    """Return whether another process or event loop holds a byte, without ever locking it.

    Raises:
        CacheError: the file cannot be used.
    """
    for _ in range(_MOST_FILES):
        with _used(path) as file:
            if file.is_locked(place):
                return True
            if file.has_its_name():
                return False
    return False


# Lock files that the event loop has open, by path; a file that lost its path is not in it.
_FILES: Final = anyio.lowlevel.RunVar["dict[str, _LockFile]"]("cni_async.operations.lockfile")


@contextmanager
def _used(path: str) -> Generator[_LockFile]:
    """Open a lock file, unless this event loop has it open; the last user closes it."""
    try:
        files = _FILES.get()
    except LookupError:
        _FILES.set(files := {})
    file = files.get(path)
    if file is None:

        def forget(file: _LockFile) -> None:
            if files.get(path) is file:
                del files[path]

        file = files[path] = _LockFile(path, forget)
    file.users += 1
    try:
        yield file
    finally:
        file.users -= 1
        if not file.users:
            file.close()


class _LockFile:
    """A lock file that an event loop has open.

    Its locks belong to the open file description. So two event loops of one process exclude each
    other, and closing another descriptor of the file unlocks nothing.

    Attributes:
        users: number of operations that hold one of its bytes or wait for one.
    """

    def __init__(self, path: str, forget: Callable[[_LockFile], None]) -> None:
        """Open the file.

        Args:
            path: path of the file, which is created if missing.
            forget: called with this object when the next user must open the file again.
        """
        self.users = 0
        self._path = path
        self._forget = forget
        self._holders: Counter[int] = Counter()
        self._waiting = 0
        with self._errors():
            self._fd = _open(path)
            self._stat = os.fstat(self._fd)
        _OPEN.add(self)

    def close(self) -> None:
        """Unlock all bytes and close the file."""
        self._forget(self)
        if self._fd >= 0:
            # A child that was forked without Python's knowledge may still have the descriptor.
            self._unlock(0, 0)
            self.leave_to_parent()

    def leave_to_parent(self) -> None:
        """Close the descriptor; the parent's descriptor keeps the locks."""
        self._forget(self)
        _OPEN.discard(self)
        fd, self._fd = self._fd, -1
        os.close(fd)

    def has_its_name(self) -> bool:
        """Return whether its path still names this file; if not, the next user opens it again."""
        with self._errors():
            try:
                if os.path.samestat(os.stat(self._path), self._stat):
                    return True
            except FileNotFoundError:
                pass
        _log.warning(
            "lock file %s was removed or replaced: operations that began before are not waited for",
            self._path,
        )
        self._forget(self)
        return False

    async def lock(self, place: int, *, alone: bool) -> None:
        """Lock a byte; see `lock`."""
        try:
            # The byte before is a queue for one. Without it, operations that share the byte could
            # follow each other forever, and a collection would never get its turn. They pass the
            # queue even if this event loop already has the byte.
            await self._wait_for(fcntl.F_WRLCK, place - 1)
            await self._wait_for(fcntl.F_WRLCK if alone else fcntl.F_RDLCK, place)
            self._holders[place] += 1
        finally:
            self._unlock(place - 1, 1)

    def unlock(self, place: int) -> None:
        """Unlock a byte, unless other operations of this event loop share it."""
        self._holders[place] -= 1
        if not self._holders[place]:
            del self._holders[place]
            self._unlock(place, 1)

    def is_locked(self, place: int) -> bool:
        """Return whether another process or event loop holds a byte; see `is_locked`."""
        with self._errors():
            return self._call(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place, 1) != fcntl.F_UNLCK

    async def _wait_for(self, how: int, place: int) -> None:
        tick = _FIRST_TICK
        self._waiting += 1
        try:
            while not self._try_lock(how, place):
                await anyio.sleep(tick)
                tick = min(2 * tick, max(_LAST_TICK, _TICK_FOR_EACH * self._waiting))
        finally:
            self._waiting -= 1

    def _try_lock(self, how: int, place: int) -> bool:
        """Lock a byte unless it is held elsewhere; return whether that succeeded."""
        with self._errors():
            try:
                self._call(fcntl.F_OFD_SETLK, how, place, 1)
            except (BlockingIOError, PermissionError):
                return False
        return True

    def _unlock(self, place: int, length: int) -> None:
        if self._fd < 0:
            return
        try:
            self._call(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place, length)
        except OSError:
            # Closing the file unlocks the byte. It follows soon: no new operation uses the file.
            self._forget(self)

    def _call(self, command: int, how: int, place: int, length: int) -> int:
        if self._fd < 0:  # this is a forked child
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._path)
        wish = struct.pack("hhqqi", how, os.SEEK_SET, place, length, 0)  # struct flock
        answer = fcntl.fcntl(self._fd, command, wish)
        found: int = struct.unpack_from("h", answer)[0]
        return found

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise _cannot_lock(self._path, error) from error


def _cannot_lock(path: str, error: OSError) -> CacheError:
    reason = (error.strerror or str(error)).lower()
    return CacheError(f"cannot lock {path}: {reason}", path=path)


def _open(path: str) -> int:
    # Before Linux 6.12 O_CREAT waits while the file system is frozen, even if the file exists.
    try:
        return os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


# A forked child inherits the descriptors, and would keep the locks of a parent that died.
_OPEN: Final = set[_LockFile]()


def _leave_all_to_parent() -> None:
    for file in tuple(_OPEN):
        file.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)

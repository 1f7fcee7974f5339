"""libcni's cache directory, with one file for each attachment.

Go's libcni writes a record in place: a crash during the write leaves half a record or an empty
file, and a concurrent reader sees that too. `FileCache` writes a record to a temporary file, makes
it durable and renames it, so that a reader sees the old record, the new one or none.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import anyio

from cni_async._arguments import path as path_of
from cni_async._async.disk import Later, disk_of
from cni_async._async.threads import PerLoop, Visit
from cni_async.errors import CacheError, CorruptRecordError
from cni_async.model.attachment import AttachmentKey, NetworkAttachment

from .reading import MAX_SIZE, UNFINISHED, AboutFile, Listing, read_record
from .record import decode_record
from .store import CACHE_DIR
from .turns import Alone, Place, disown, place_named, place_of

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_MAX_NAME: Final = 255  # bytes; NAME_MAX of every file system that holds a cache
# Seconds after which a caller stops waiting for the disk.
_WAIT: Final = 10.0
# Seconds. The time between creating an unfinished file and locking it is far shorter.
_UNFINISHED_AGE: Final = 5.0
_BY_EFFECTIVE_IDS: Final = os.access in os.supports_effective_ids


class FileCache:
    """The cache of libcni, in `<dir>/results`.

    Calls that may wait for the disk run in worker threads and are given up after ten seconds. Steps
    that a call has not begun by then never happen, and the next change of that record waits.

    Attributes:
        directory: absolute path of the directory of the records.
    """

    def __init__(self, dir: str | os.PathLike[str] = CACHE_DIR, *, durable: bool = True) -> None:
        """Set the directory, which is created when the first record is written.

        Args:
            dir: the cache directory, created with mode 0700; a relative path is resolved against
                the current directory now.
            durable: make records survive a power cut (fsync); libcni does not do that.

        Raises:
            TypeError: `dir` is neither a string nor a path.
        """
        results = os.path.join(path_of(dir, "dir"), "results")
        if not os.path.isabs(results):
            results = os.path.join(os.getcwd(), results)
        self.directory: str = results
        self._unfinished = os.path.join(results, UNFINISHED)
        self._durable = durable
        self._cleaned = False
        self._disk = disk_of(results)
        self._place: Place | None = None
        self._looking = PerLoop(anyio.Lock)
        # Callers that look up the place or wait for it. Parallel look-ups would be slower.
        self._lookers = 0

    async def identity(self) -> Hashable:
        """Return an object that is the same for every name of this directory.

        If the disk does not answer, the object identifies the name only.
        """
        place = self._place
        if place is None or self._lookers:
            # One caller looks up the place; the others wait in order of arrival.
            self._lookers += 1
            try:
                async with self._looking.get():
                    place = self._place or await self._look()
            finally:
                self._lookers -= 1
        return place

    async def _look(self) -> Place:
        try:
            return await self._ask(self.directory, lambda visit: self._find_place())
        except CacheError as error:
            _log.warning("cannot see which directory the cache is: %s", error)
            self._place = place = place_named(self.directory)
            return place

    async def prepare(self, key: AttachmentKey) -> None:
        """Check that the directory is writable and the record's name is free or this attachment's.

        Raises:
            CacheError: the check failed, or the disk did not answer.
        """
        await self._ask(self._path(key), partial(self._prepare, key))

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record, mode 0600, atomically and durably.

        Raises:
            CacheError: the record could not be written, or another attachment's record has its
                name. An older record is unchanged. If the disk did not answer, the new record may
                have been written.
        """
        store = partial(self._store, key, record)
        await self._ask(self._path(key), store, waits=self._durable)

    def store_at_once(self, key: AttachmentKey, record: bytes) -> bool:
        """Do `store` if that needs no waiting. Return whether it did."""
        return self._done_at_once(partial(self._store, key, record))

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return a record; `None` if it does not exist.

        Raises:
            CacheError: the record exists and cannot be read, or the disk did not answer.
            CorruptRecordError: the file is larger than any record can be.
        """
        return await self._ask(self._path(key), partial(self._load, key))

    async def remove(self, key: AttachmentKey) -> None:
        """Remove a record, even a corrupt one; do nothing if it does not exist.

        Raises:
            CacheError: the record could not be removed, or is another attachment's. If the disk
                did not answer, the record may be gone.
        """
        has_begun = False

        def begun() -> None:
            nonlocal has_begun
            has_begun = True

        try:
            remove = partial(self._remove, key, begun)
            await self._ask(self._path(key), remove, waits=self._durable)
        finally:
            # An earlier `store` that was given up must not write its record after this removal.
            # Once the removal has had its turn, no earlier `store` is left: any other began
            # later, or is another attachment's.
            if not has_begun:
                # If the directory has not been looked up yet, use its name.
                disown(self._place or place_named(self.directory), key.file_name, key)

    def remove_at_once(self, key: AttachmentKey) -> bool:
        """Do `remove` if that needs no waiting. Return whether it did."""
        return self._done_at_once(partial(self._remove, key, _nothing))

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names.

        Raises:
            CacheError: the directory cannot be listed, or the disk did not answer.
        """
        listing = Listing(self.directory, container_id)
        while not listing.is_over:
            await self._ask(self.directory, listing.go_on, waits=True)
        return listing.found

    async def _ask(self, path: str, function: Callable[[Visit], _T], *, waits: bool = False) -> _T:
        try:
            return await self._disk.ask(function, within=_WAIT, waits=waits)
        except OSError as error:
            raise CacheError(f"{path}: {error.strerror}", path=path) from error

    def _done_at_once(self, function: Callable[[Visit], object]) -> bool:
        return not self._durable and self._disk.at_once(function) is not Later.LATER

    # The methods below run in a worker thread, or are quick.

    def _path(self, key: AttachmentKey) -> str:
        return f"{self.directory}/{key.file_name}"  # `join` takes longer than some system calls

    def _prepare(self, key: AttachmentKey, visit: Visit) -> None:
        with AboutFile(self._path(key)), self._turn(key, visit):
            # The usual case: both directories exist, and the record does not.
            if not (self._is_writable() and self._is_free(key)):
                self._make_ready(key)

    def _is_writable(self) -> bool:
        # One system call checks that the directory of unfinished files exists and can be entered,
        # and that the directory of the records is writable.
        return os.access(
            f"{self._unfinished}/..", os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_IDS
        )

    def _is_free(self, key: AttachmentKey) -> bool:
        try:
            os.lstat(self._path(key))
        except FileNotFoundError:
            return True
        except OSError:  # too long: `_make_ready` reports that
            pass
        return False

    def _make_ready(self, key: AttachmentKey) -> None:
        path = self._path(key)
        if len(os.fsencode(key.file_name)) > _MAX_NAME:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        self._make_directories()
        if not self._is_writable():
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        with suppress(FileNotFoundError):
            # `lstat`: `store` can replace a link to a directory.
            if stat.S_ISDIR(os.lstat(path).st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self._check_owner(key)

    def _store(self, key: AttachmentKey, record: bytes, visit: Visit) -> None:
        path = self._path(key)
        written: os.stat_result | None = None

        def undo() -> None:
            with suppress(OSError):
                if written is not None and os.path.samestat(written, os.lstat(path)):
                    os.unlink(path)
                    self._sync_directory(self.directory)

        with AboutFile(path), self._turn(key, visit, undo):
            if len(record) > MAX_SIZE:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            self._clean()
            self._check_owner(key)
            unfinished = f"{self._unfinished}/{secrets.token_hex(16)}"
            try:
                file = _create(unfinished)
            except (FileNotFoundError, NotADirectoryError):
                self._make_directories()
                file = _create(unfinished)
            try:
                # For `_clean`: the kernel drops the lock of a writer that dies. On a file system
                # without locks, `_clean` removes nothing.
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                _write_all(file, record)
                if self._durable:
                    os.fsync(file)
                if visit.threads is not None:  # only a call in a thread can be given up
                    written = os.fstat(file)
                visit.go_on()
                os.replace(unfinished, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished)
                raise
            finally:
                os.close(file)
            self._sync_directory(self.directory)

    def _load(self, key: AttachmentKey, visit: Visit) -> bytes | None:
        # This needs no turn: a reader sees the old record, the new one or none.
        path = self._path(key)
        with AboutFile(path):
            try:
                return read_record(path)
            except FileNotFoundError:
                return None

    def _remove(self, key: AttachmentKey, begun: Callable[[], None], visit: Visit) -> None:
        path = self._path(key)
        with AboutFile(path), self._turn(key, visit):
            begun()
            self._check_owner(key)
            visit.go_on()
            try:
                os.unlink(path)
            except FileNotFoundError:
                return
            except IsADirectoryError:
                os.rmdir(path)  # as libcni does: it would block the next ADD
            self._sync_directory(self.directory)

    def _turn(
        self, key: AttachmentKey, visit: Visit, undo: Callable[[], None] | None = None
    ) -> Alone:
        return Alone(self._find_place(), key.file_name, visit, undo, owner=key)

    def _find_place(self) -> Place:
        # Not remembered: a link may change, or the directory may be mounted over.
        self._place = place = place_of(self.directory)
        return place

    def _check_owner(self, key: AttachmentKey) -> None:
        """Raise `CacheError` if the record is known to be another attachment's."""
        # A record that cannot be read or decoded does not name another owner.
        with suppress(OSError, CorruptRecordError):
            decode_record(read_record(self._path(key))).check_owner(key)

    def _make_directories(self) -> None:
        unfinished = self._unfinished
        missing: list[str] = []
        path = unfinished
        while path and not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
            self._sync_directory(os.path.dirname(path) or ".")
        if missing and not os.path.isdir(unfinished):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), unfinished)

    def _sync_directory(self, path: str) -> None:
        if not self._durable:
            return
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def _clean(self) -> None:
        """Remove the unfinished files of writers that died, once."""
        if self._cleaned:
            return
        self._cleaned = True
        with suppress(OSError):
            for name in os.listdir(self._unfinished):
                _remove_if_abandoned(os.path.join(self._unfinished, name))


def _remove_if_abandoned(path: str) -> None:
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(file).st_mtime > _UNFINISHED_AGE:
                os.unlink(path)
        finally:
            os.close(file)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _nothing() -> None:
    pass


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]

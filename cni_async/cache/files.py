"""libcni's cache directory: a file for each attachment.

Go's libcni writes a record in place; a crash in the middle leaves half of it, or an empty file,
and a reader in the middle sees that. Here a record is written beside the results, made durable,
and renamed: whoever looks sees the old one, the new one or none.
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
# Seconds after which a caller goes on without an answer of the disk.
_WAIT: Final = 10.0
# The time between making such a file and locking it is far shorter.
_UNFINISHED_AGE: Final = 5.0
_BY_EFFECTIVE_IDS: Final = os.access in os.supports_effective_ids


class FileCache:
    """The cache of libcni, in `<dir>/results`.

    What may wait for the disk is done in worker threads, and given up after ten seconds: what had
    not happened by then does not happen later, and what is asked next of the same record waits.

    Attributes:
        directory: absolute path of the directory that has the records.
    """

    def __init__(self, dir: str | os.PathLike[str] = CACHE_DIR, *, durable: bool = True) -> None:
        """Name the directory; it is made when the first record is written.

        Args:
            dir: the cache directory, made with mode 0700; a relative one is below what is the
                current directory now.
            durable: make records survive a power cut (fsync); libcni does not.

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
        # How many look or wait for one that does; more than there are would only be slower.
        self._lookers = 0

    async def identity(self) -> Hashable:
        """Return what this directory has in common with itself under another name.

        Where the disk does not answer, that is what stands for the name.
        """
        place = self._place
        if place is None or self._lookers:
            # One looks and the others wait: whoever came first goes on first.
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
        """See that the directory can be written and the record's name is free or our own.

        Raises:
            CacheError: not so, or the disk did not answer.
        """
        await self._ask(self._path(key), partial(self._prepare, key))

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record, mode 0600, atomically and durably.

        Raises:
            CacheError: it could not be written, or its name is another attachment's; an older
                record is as it was. Where the disk did not answer, the new one may be there.
        """
        store = partial(self._store, key, record)
        await self._ask(self._path(key), store, waits=self._durable)

    def store_at_once(self, key: AttachmentKey, record: bytes) -> bool:
        """Do `store` without waiting for anything; tell whether that was possible."""
        return self._done_at_once(partial(self._store, key, record))

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Read a record; None if there is none.

        Raises:
            CacheError: it is there and cannot be read, or the disk did not answer.
            CorruptRecordError: it is larger than any record is.
        """
        return await self._ask(self._path(key), partial(self._load, key))

    async def remove(self, key: AttachmentKey) -> None:
        """Remove a record, a corrupt one too; without one, do nothing.

        Raises:
            CacheError: it could not be removed, or is another attachment's. Where the disk did not
                answer, it may be gone.
        """
        has_begun = False

        def begun() -> None:
            nonlocal has_begun
            has_begun = True

        try:
            remove = partial(self._remove, key, begun)
            await self._ask(self._path(key), remove, waits=self._durable)
        finally:
            # What an earlier `store` is still about must not come after this. Once this one has had
            # its turn there is none: what has begun since is a later one, or another attachment's.
            if not has_begun:
                # Where the directory has not been seen yet, its name has to do.
                disown(self._place or place_named(self.directory), key.file_name, key)

    def remove_at_once(self, key: AttachmentKey) -> bool:
        """Do `remove` without waiting for anything; tell whether that was possible."""
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

    # What follows runs in a worker thread, or is quick.

    def _path(self, key: AttachmentKey) -> str:
        return f"{self.directory}/{key.file_name}"  # `join` takes longer than some system calls

    def _prepare(self, key: AttachmentKey, visit: Visit) -> None:
        with AboutFile(self._path(key)), self._turn(key, visit):
            # Both are there after the first time, and mostly there is no record.
            if not (self._is_writable() and self._is_free(key)):
                self._make_ready(key)

    def _is_writable(self) -> bool:
        # One call asks for both: the other directory is there and ours to enter, and this one can
        # be written.
        return os.access(
            f"{self._unfinished}/..", os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_IDS
        )

    def _is_free(self, key: AttachmentKey) -> bool:
        try:
            os.lstat(self._path(key))
        except FileNotFoundError:
            return True
        except OSError:  # too long: named below
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
            # A link to one can be replaced.
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
                # Locked as long as its writer lives, which is how `_clean` knows. A file system
                # without locks is never cleaned.
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                _write_all(file, record)
                if self._durable:
                    os.fsync(file)
                if visit.threads is not None:  # or it cannot be given up
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
        # Beside those who change it: whoever looks sees the old one, the new one or none.
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
                os.rmdir(path)  # as libcni does; it would be in the way of the next ADD
            self._sync_directory(self.directory)

    def _turn(
        self, key: AttachmentKey, visit: Visit, undo: Callable[[], None] | None = None
    ) -> Alone:
        return Alone(self._find_place(), key.file_name, visit, undo, owner=key)

    def _find_place(self) -> Place:
        # Each time: a link may lead elsewhere by now, or something be mounted over the directory.
        self._place = place = place_of(self.directory)
        return place

    def _check_owner(self, key: AttachmentKey) -> None:
        """Refuse to overwrite or remove what is known to be another attachment's."""
        # What cannot be read or understood shows no other owner.
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
        """Remove, once, what writers that died have left."""
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

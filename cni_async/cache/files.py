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
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from cni_async._arguments import path as path_of
from cni_async._threads import in_thread
from cni_async.errors import CacheError, CorruptRecordError

from .record import AttachmentKey, NetworkAttachment, decode_record
from .store import CACHE_DIR, list_attachments

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAX_NAME: Final = 255  # bytes; NAME_MAX of every file system that holds a cache
# A directory, because Go reads every *file* in results, and would take a record for two.
_UNFINISHED: Final = ".tmp"
# The time between making such a file and locking it is far shorter.
_UNFINISHED_AGE: Final = 5.0
# Bytes; nearly every record is smaller.
_USUAL_SIZE: Final = 64 * 1024
# Seconds: what no operation on one record takes, and how long one that did is remembered.
_SLOW: Final = 0.005
_SLOW_FOR: Final = 10.0
_BY_EFFECTIVE_IDS: Final = os.access in os.supports_effective_ids


class FileCache:
    """The cache of libcni, in `<dir>/results`; what waits for the disk is done in a worker thread.

    Attributes:
        directory: absolute path of the directory that has the records.
    """

    def __init__(self, dir: str | os.PathLike[str] = CACHE_DIR, *, durable: bool = True) -> None:
        """Name the directory; it is made when the first record is written.

        Args:
            dir: the cache directory, made with mode 0700.
            durable: make records survive a power cut (fsync); libcni does not. Without it nothing
                waits for the disk, and one record is written without a worker thread.

        Raises:
            TypeError: `dir` is neither a string nor a path.
        """
        self._results = os.path.join(path_of(dir, "dir"), "results")
        self._unfinished = os.path.join(self._results, _UNFINISHED)
        self.directory: str = os.path.abspath(self._results)
        self._durable = durable
        self._cleaned = False
        self._slow_until = 0.0

    async def prepare(self, key: AttachmentKey) -> None:
        """See that the directory can be written and the record's name is free or our own.

        Raises:
            CacheError: not so.
        """
        # A thread's visit costs eight times what looking at two directories does.
        if not self._is_plainly_free(key):
            await _in_thread(self._prepare, key)

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record, mode 0600, atomically and durably.

        Raises:
            CacheError: it could not be written, or its name is another attachment's; an older
                record is as it was.
        """
        await self._written(self._store, key, record)

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Read a record; None if there is none.

        Raises:
            CacheError: it is there and cannot be read.
        """
        return await self._quickly(self._load, key)

    async def remove(self, key: AttachmentKey) -> None:
        """Remove a record, a corrupt one too; without one, do nothing.

        Raises:
            CacheError: it could not be removed, or is another attachment's.
        """
        await self._written(self._remove, key)

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names.

        Raises:
            CacheError: the directory cannot be listed.
        """
        return await _in_thread(self._attachments, container_id)

    async def _written(self, function: Callable[..., _T], *args: object) -> _T:
        return await (_in_thread if self._durable else self._quickly)(function, *args)

    async def _quickly(self, function: Callable[..., _T], *args: object) -> _T:
        """Do what a local disk's cache does in less than the start of a process takes.

        The visit of a worker thread costs more than that, and under load the two wait for each
        other: of an ADD with 16 in flight it was a tenth. Where the disk turns out to be slow (or
        far away), it is done in a thread for a while.
        """
        begun = time.monotonic()
        if begun < self._slow_until:
            return await _in_thread(function, *args)
        try:
            return function(*args)
        finally:
            if (now := time.monotonic()) - begun > _SLOW:
                self._slow_until = now + _SLOW_FOR

    def _is_plainly_free(self, key: AttachmentKey) -> bool:
        """Tell whether nothing has to be made, read or reported before the record is stored."""
        if not (
            os.path.isdir(self._unfinished)
            and os.access(self._results, os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_IDS)
        ):
            return False
        try:
            os.lstat(self._path(key))
        except FileNotFoundError:
            return True
        except (OSError, ValueError):  # too long, or no name at all
            pass
        return False

    # What follows runs in a worker thread, or is quick.

    def _path(self, key: AttachmentKey) -> str:
        return os.path.join(self._results, key.file_name)

    def _prepare(self, key: AttachmentKey) -> None:
        path = self._path(key)
        with _as_cache_error(path):
            if len(os.fsencode(key.file_name)) > _MAX_NAME:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
            self._make_directories()
            if not os.access(self._results, os.W_OK | os.X_OK, effective_ids=_BY_EFFECTIVE_IDS):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
            if os.path.isdir(path):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            self._check_owner(key)

    def _store(self, key: AttachmentKey, record: bytes) -> None:
        path = self._path(key)
        with _as_cache_error(path):
            self._make_directories()
            self._clean()
            self._check_owner(key)
            unfinished = os.path.join(self._unfinished, secrets.token_hex(16))
            file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                # Locked as long as its writer lives, which is how `_clean` knows. A file system
                # without locks is never cleaned.
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                _write_all(file, record)
                if self._durable:
                    os.fsync(file)
                os.replace(unfinished, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished)
                raise
            finally:
                os.close(file)
            self._sync_directory(self._results)

    def _load(self, key: AttachmentKey) -> bytes | None:
        path = self._path(key)
        with _as_cache_error(path):
            try:
                return _read(path)
            except FileNotFoundError:
                return None

    def _remove(self, key: AttachmentKey) -> None:
        path = self._path(key)
        with _as_cache_error(path):
            self._check_owner(key)
            try:
                os.unlink(path)
            except FileNotFoundError:
                return
            except IsADirectoryError:
                os.rmdir(path)  # as libcni does; it would be in the way of the next ADD
            self._sync_directory(self._results)

    def _attachments(self, container_id: str) -> list[NetworkAttachment]:
        with _as_cache_error(self._results):
            try:
                directory = os.open(self._results, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                return []
            try:
                names = os.listdir(directory)
                if container_id:
                    # Before they are sorted: of ten thousand a container has one or two.
                    part = f"-{container_id}-"
                    names = [name for name in names if part in name]
                # libcni's order is that of bytes.
                names.sort(key=None if "".join(names).isascii() else os.fsencode)
                return list_attachments(_records(directory, names), container_id)
            finally:
                os.close(directory)

    def _check_owner(self, key: AttachmentKey) -> None:
        """Refuse to overwrite or remove what is known to be another attachment's."""
        # What cannot be read or understood shows no other owner.
        with suppress(OSError, CorruptRecordError):
            decode_record(_read(self._path(key))).check_owner(key)

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


async def _in_thread(function: Callable[..., _T], *args: object) -> _T:
    # Abandoned on cancellation, a write that has begun goes on to its end; it is atomic.
    try:
        return await in_thread(function, *args)
    except OSError as error:
        raise CacheError(str(error.strerror)) from error


@contextmanager
def _as_cache_error(path: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CacheError(f"{path}: {reason}", path=path) from error
    except CacheError as error:
        error.path = path
        raise
    except ValueError as error:  # a NUL, or half a character
        raise CacheError(f"{path!a}: {error}", path=path) from error


def _records(directory: int, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == _UNFINISHED:
            continue
        try:
            yield name, _read(name, directory)
        except FileNotFoundError:
            pass  # deleted since the directory was read
        except OSError as error:
            _log.warning("cache record %s is left out: %s", name, error)


def _read(path: str, directory: int | None = None) -> bytes:
    # O_NONBLOCK: opening a FIFO, which has no business here, must not block.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=directory)
    try:
        try:  # `suppress` costs as much as a system call
            data = os.read(file, _USUAL_SIZE)
        except OSError:  # a directory, a FIFO: named below
            data = b""
        # Nearly always all there is; asking what the file is would cost as much again.
        if data[:1] == b"{" and len(data) < _USUAL_SIZE:
            return data
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        os.lseek(file, 0, os.SEEK_SET)
        with open(file, "rb", closefd=False) as reader:
            return reader.read()
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]

"""Read a cache directory, to which other programs may have written anything."""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Iterator
from typing import Final

from cni_async._async.threads import Visit
from cni_async.errors import CacheError, CorruptRecordError
from cni_async.model.attachment import NetworkAttachment

from .store import list_attachments

_log = logging.getLogger(__name__)

# A directory, because Go reads every *file* in results, and would count one record twice.
UNFINISHED: Final = ".tmp"
# Bytes; nearly every record is smaller.
_USUAL_SIZE: Final = 64 * 1024
# More than the largest configuration, written as base64, and the largest result take together.
MAX_SIZE: Final = 64 * 1024 * 1024
# Seconds for which a thread reads records at a time: a long list must not look like a dead disk.
_SLICE: Final = 1.0


class AboutFile:
    """Add the path of a file to the errors that a block raises."""

    def __init__(self, path: str) -> None:
        """Set the path of the file."""
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        path = self._path
        if isinstance(error, OSError):
            reason = (error.strerror or str(error)).lower()
            raise CacheError(f"{path}: {reason}", path=path) from error
        if isinstance(error, CacheError):
            error.path = path
        elif isinstance(error, ValueError):  # a NUL or a lone surrogate
            raise CacheError(f"{path!a}: {error}", path=path) from error


class Listing:
    """Reads the records of a directory, some in each call.

    Attributes:
        found: the attachments found so far.
        is_over: whether all records have been read.
    """

    def __init__(self, path: str, container_id: str) -> None:
        """Set the directory, and the ID of the container; an empty ID means all containers."""
        self._path = path
        self._container_id = container_id
        self._names: Iterator[str] | None = None
        self.found: list[NetworkAttachment] = []
        self.is_over: bool = False

    def go_on(self, visit: Visit) -> None:
        """Read more records, for about a second."""
        with AboutFile(self._path):
            try:
                directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                self.is_over = True
                return
            try:
                if self._names is None:
                    self._names = iter(self._sorted_names(directory))
                records = self._records(directory, self._names, visit)
                self.found += list_attachments(records, self._container_id)
            finally:
                os.close(directory)

    def _sorted_names(self, directory: int) -> list[str]:
        names = os.listdir(directory)
        if self._container_id:
            # Filter before sorting: a container has one or two of ten thousand records.
            part = f"-{self._container_id}-"
            names = [name for name in names if part in name]
        # libcni sorts by bytes.
        names.sort(key=None if "".join(names).isascii() else os.fsencode)
        return names

    def _records(
        self, directory: int, names: Iterator[str], visit: Visit
    ) -> Iterator[tuple[str, bytes]]:
        until = visit.since + _SLICE
        for name in names:
            if name != UNFINISHED:
                try:
                    yield name, read_record(name, directory)
                except FileNotFoundError:
                    pass  # deleted since the directory was read
                except (OSError, CorruptRecordError) as error:
                    _log.warning("cache record %s is left out: %s", name, error)
            if visit.given_up or time.monotonic() > until:
                return
        self.is_over = True


def read_record(path: str, directory: int | None = None) -> bytes:
    """Read a file that should be a record.

    Args:
        path: path of the file.
        directory: descriptor of the directory that a relative path starts from.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        CorruptRecordError: the file is larger than any record can be.
    """
    # O_NONBLOCK: opening a FIFO, which does not belong here, must not block.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=directory)
    try:
        try:  # `suppress` costs as much as a system call
            data = os.read(file, _USUAL_SIZE)
        except OSError:  # a directory, a FIFO: reported below
            data = b""
        # This is nearly always the whole record; an fstat would cost as much as the read.
        if data[:1] == b"{" and len(data) < _USUAL_SIZE:
            return data
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        os.lseek(file, 0, os.SEEK_SET)
        return _read_all(file)
    finally:
        os.close(file)


def _read_all(file: int) -> bytes:
    # Read to the end: a file may grow, and files in /proc have size 0.
    if os.fstat(file).st_size <= MAX_SIZE:
        data = bytearray()
        while len(data) <= MAX_SIZE:
            more = os.read(file, 1024 * 1024)
            if not more:
                return bytes(data)
            data += more
    raise CorruptRecordError(f"the record is larger than {MAX_SIZE // 2**20} MiB")

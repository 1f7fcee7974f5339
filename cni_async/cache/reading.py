"""What is read of a cache directory, in which others may write anything at all."""

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

# A directory, because Go reads every *file* in results, and would take a record for two.
UNFINISHED: Final = ".tmp"
# Bytes; nearly every record is smaller.
_USUAL_SIZE: Final = 64 * 1024
# More than the largest configuration, written as base64, and the largest result take together.
MAX_SIZE: Final = 64 * 1024 * 1024
# Seconds that records are read in one visit of a thread: listing many is no sign of a dead disk.
_SLICE: Final = 1.0


class AboutFile:
    """Have what goes wrong in a block say which file it was about."""

    def __init__(self, path: str) -> None:
        """Say which."""
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
        elif isinstance(error, ValueError):  # a NUL, or half a character
            raise CacheError(f"{path!a}: {error}", path=path) from error


class Listing:
    """The reading of a directory's records, some at a time.

    Attributes:
        found: the attachments so far.
        is_over: there are no more.
    """

    def __init__(self, path: str, container_id: str) -> None:
        """Say of which directory, and of which container; empty for all."""
        self._path = path
        self._container_id = container_id
        self._names: Iterator[str] | None = None
        self.found: list[NetworkAttachment] = []
        self.is_over: bool = False

    def go_on(self, visit: Visit) -> None:
        """Read on for a while."""
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
            # Before they are sorted: of ten thousand a container has one or two.
            part = f"-{self._container_id}-"
            names = [name for name in names if part in name]
        # libcni's order is that of bytes.
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
        path: its path.
        directory: descriptor of the directory that a relative path is below.

    Raises:
        OSError: it cannot be read, or is no regular file.
        CorruptRecordError: it is larger than any record is.
    """
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
        return _read_all(file)
    finally:
        os.close(file)


def _read_all(file: int) -> bytes:
    # A file may grow, and those of /proc have no size.
    if os.fstat(file).st_size <= MAX_SIZE:
        data = bytearray()
        while len(data) <= MAX_SIZE:
            more = os.read(file, 1024 * 1024)
            if not more:
                return bytes(data)
            data += more
    raise CorruptRecordError(f"the record is larger than {MAX_SIZE // 2**20} MiB")

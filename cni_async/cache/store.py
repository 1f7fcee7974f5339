"""The protocol of a cache, and a cache in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Protocol

import anyio.lowlevel

from cni_async.errors import CorruptRecordError
from cni_async.model.attachment import AttachmentKey, NetworkAttachment

from .record import CNI_CACHE_V1, decode_record

_log = logging.getLogger(__name__)

CACHE_DIR: Final = "/var/lib/cni"


class CacheStore(Protocol):
    """A store of records, as bytes. Other programs may also write anything to it."""

    async def prepare(self, key: AttachmentKey) -> None:
        """Check, before a plugin runs, that `store` can write the record.

        Raises:
            CacheError: `store` would fail.
        """
        ...

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record, replacing the attachment's older one. If this fails, the older one stays.

        Raises:
            CacheError: the record could not be written.
        """
        ...

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return the record under the attachment's name; `None` if it does not exist.

        Raises:
            CacheError: the record could not be read.
        """
        ...

    async def remove(self, key: AttachmentKey) -> None:
        """Remove the attachment's record; do nothing if it does not exist.

        Raises:
            CacheError: the record could not be removed, or is another attachment's.
        """
        ...

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names.

        Entries that are not records are left out.

        Raises:
            CacheError: the cache could not be listed.
        """
        ...


class MemoryCache:
    """A cache in memory, for tests and for runtimes whose containers end with the runtime."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self.records: dict[AttachmentKey, bytes] = {}

    async def prepare(self, key: AttachmentKey) -> None:
        """Do nothing: `store` always succeeds."""
        await anyio.lowlevel.checkpoint()

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record, replacing the attachment's older one."""
        await anyio.lowlevel.checkpoint()
        self.records[key] = record

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return the attachment's record; `None` if it does not exist."""
        await anyio.lowlevel.checkpoint()
        return self.records.get(key)

    async def remove(self, key: AttachmentKey) -> None:
        """Remove the attachment's record; do nothing if it does not exist."""
        await anyio.lowlevel.checkpoint()
        self.records.pop(key, None)

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names."""
        await anyio.lowlevel.checkpoint()
        records = sorted(self.records.items(), key=lambda item: item[0].file_name)
        return list_attachments(((key.file_name, data) for key, data in records), container_id)


def may_concern(file_name: str, container_id: str) -> bool:
    """Return, as libcni does, whether a file name may be that of a container's record."""
    part = f"-{container_id}-"
    position = file_name.find(part)
    return position > 0 and position + len(part) < len(file_name)


def list_attachments(
    records: Iterable[tuple[str, bytes]], container_id: str
) -> list[NetworkAttachment]:
    """Return the attachments in (file name, record) pairs. An empty container ID means all."""
    found: list[NetworkAttachment] = []
    for file_name, data in records:
        if container_id and not may_concern(file_name, container_id):
            continue
        try:
            record = decode_record(data)
        except CorruptRecordError as error:
            _log.warning("cache record %s is left out: %s", file_name, error)
            continue
        if record.kind != CNI_CACHE_V1 or not record.ifname or not record.network:
            _log.info("cache record %s is left out: it does not say whose it is", file_name)
        elif not container_id or record.container_id == container_id:
            found.append(record.attachment())
    return found

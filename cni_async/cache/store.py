"""The protocol of a cache, and one that forgets with the process."""

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
    """Where records are kept, as bytes: others may write there too, and anything at all."""

    async def prepare(self, key: AttachmentKey) -> None:
        """See, before a plugin runs, that `store` will find nothing in its way.

        Raises:
            CacheError: it will.
        """
        ...

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Keep a record in place of the attachment's older one; if that fails, the older stays.

        Raises:
            CacheError: it could not be kept.
        """
        ...

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return the record under the attachment's name; None if there is none.

        Raises:
            CacheError: it could not be read.
        """
        ...

    async def remove(self, key: AttachmentKey) -> None:
        """Forget the attachment; without a record, do nothing.

        Raises:
            CacheError: it could not be removed, or is another attachment's.
        """
        ...

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names.

        What is no record is left out.

        Raises:
            CacheError: the cache could not be listed.
        """
        ...


class MemoryCache:
    """A cache in memory, for tests and for runtimes whose containers end with them."""

    def __init__(self) -> None:
        """Start empty."""
        self.records: dict[AttachmentKey, bytes] = {}

    async def prepare(self, key: AttachmentKey) -> None:
        """Do nothing: there is always room."""
        await anyio.lowlevel.checkpoint()

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Keep a record in place of the attachment's older one."""
        await anyio.lowlevel.checkpoint()
        self.records[key] = record

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return the attachment's record; None if there is none."""
        await anyio.lowlevel.checkpoint()
        return self.records.get(key)

    async def remove(self, key: AttachmentKey) -> None:
        """Forget the attachment; without a record, do nothing."""
        await anyio.lowlevel.checkpoint()
        self.records.pop(key, None)

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List the attachments of a container, or all, in the order of their file names."""
        await anyio.lowlevel.checkpoint()
        records = sorted(self.records.items(), key=lambda item: item[0].file_name)
        return list_attachments(((key.file_name, data) for key, data in records), container_id)


def may_concern(file_name: str, container_id: str) -> bool:
    """Tell, as libcni does, whether a file name may be of a container's record."""
    part = f"-{container_id}-"
    position = file_name.find(part)
    return position > 0 and position + len(part) < len(file_name)


def list_attachments(
    records: Iterable[tuple[str, bytes]], container_id: str
) -> list[NetworkAttachment]:
    """Turn (file name, record) pairs into the attachments of a container, or into all."""
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

"""The cache of attachments (libcni's cache)."""

from cni_async.model.attachment import (
    AttachmentKey,
    CachedConfig,
    NetworkAttachment,
    attachment_key,
)

from .files import FileCache
from .record import CNI_CACHE_V1
from .store import CACHE_DIR, CacheStore, MemoryCache

__all__ = [
    "CACHE_DIR",
    "CNI_CACHE_V1",
    "AttachmentKey",
    "CacheStore",
    "CachedConfig",
    "FileCache",
    "MemoryCache",
    "NetworkAttachment",
    "attachment_key",
]

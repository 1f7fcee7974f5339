"""What a `CNIConfig` knows of attachments: the records in its cache, read and written."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum
from functools import partial
from typing import Final

import msgspec

from cni_async import _arguments
from cni_async._async.concurrently import run_to_completion
from cni_async.errors import CacheError, CacheWriteError, CorruptRecordError
from cni_async.go.quote import quote
from cni_async.model.attachment import AttachmentKey, CachedConfig, attachment_key
from cni_async.model.runtime import RuntimeConf
from cni_async.types import Result

from .files import FileCache
from .record import CNI_CACHE_V1, Record, decode_record, encode_record, read_config, read_result
from .store import CacheStore

# Seconds for a disk to take or give up a record once the plugins are done. They cannot be undone,
# so this is not cut short when the caller is cancelled; and a dead disk must not hold it for ever.
# A `FileCache` gives up a little earlier, and says which file it was about.
_CACHE_WAIT: Final = 11.0
# Caches that runtime configurations name; one may well have a directory for each container.
_MOST_CACHES: Final = 256


class Before(Enum):
    """What the cache knows of an attachment before an ADD."""

    NOTHING = "nothing"
    UNFINISHED = "unfinished"
    """An ADD has begun, or the record is damaged: any plugin may have done something."""
    COMPLETED = "completed"


class Recalled(msgspec.Struct, frozen=True):
    """What a DEL is to know of its ADD.

    Attributes:
        rt: the runtime's side, filled up with what ADD was given.
        result: what ADD gave; None if that is unknown, or was not asked for.
        error: why something is missing that the record should have; None if nothing is.
    """

    rt: RuntimeConf
    result: Result | None = None
    error: CacheError | None = None


class Attachments:
    """Reads and writes records, each in the cache where it belongs."""

    def __init__(self, cache: CacheStore | None) -> None:
        """Say where.

        Args:
            cache: has all records; None for that of each runtime configuration, else the host's.
        """
        self._cache = cache
        self._caches: dict[str, FileCache] = {}

    def cache(self, rt: RuntimeConf | None = None) -> CacheStore:
        """Return the cache that an attachment belongs in."""
        if self._cache is not None:
            return self._cache
        return self.cache_in(rt.cache_dir if rt is not None else None)

    def cache_in(self, directory: str | os.PathLike[str] | None) -> FileCache:
        """Return the cache in a directory, the host's by default; always the same one."""
        # Again the last: those that have not been used for longest go.
        name = _arguments.optional_path(directory, "cache_dir") or ""
        cache = self._caches.pop(name, None)
        if cache is None:
            cache = FileCache(name) if name else FileCache()
        self._caches[name] = cache
        if len(self._caches) > _MOST_CACHES:
            self._caches.pop(next(iter(self._caches)), None)
        return cache

    async def scope(self, rt: RuntimeConf | None = None) -> Hashable:
        """Return what tells the cache of an attachment from others, under whatever name."""
        cache = self.cache(rt)
        return await cache.identity() if isinstance(cache, FileCache) else id(cache)

    async def prepare(self, key: AttachmentKey, rt: RuntimeConf) -> None:
        """See, before any plugin runs, that nothing is in the way of `remember`.

        Raises:
            CacheWriteError: the cache is in the way.
        """
        try:
            await self.cache(rt).prepare(key)
        except CacheError as error:
            raise _write_error(error, key, None) from error

    async def before(self, key: AttachmentKey, rt: RuntimeConf) -> tuple[Before, Record | None]:
        """Return, before any plugin runs, how far an earlier ADD of the attachment came.

        Returns:
            the state, and the record if it can be read.

        Raises:
            CacheWriteError: the cache cannot be read or written, or the name is taken.
        """
        await self.prepare(key, rt)
        try:
            data = await self.cache(rt).load(key)
        except CorruptRecordError:
            return Before.UNFINISHED, None
        except CacheError as error:
            raise _write_error(error, key, None) from error
        if data is None:
            return Before.NOTHING, None
        try:
            record = decode_record(data)
            record.check_owner(key)
        except CorruptRecordError:
            return Before.UNFINISHED, None
        # A record of another kind belongs to some attachment; the oldest are bare results.
        return (Before.UNFINISHED if _is_unfinished(record) else Before.COMPLETED), record

    async def is_unfinished(self, network: str, rt: RuntimeConf) -> bool:
        """Tell whether there is a record of an ADD that has begun, and no more.

        Raises:
            CacheError: it cannot be read, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of it has wrong characters.
        """
        data = await self.cache(rt).load(attachment_key(network, rt))
        return data is not None and _is_unfinished(decode_record(data))

    async def begin(self, key: AttachmentKey, record: Record, rt: RuntimeConf) -> None:
        """Record that an ADD begins; if this process is killed, `recover` finds the attachment.

        To libcni it is the record of an ADD that gave no result: its GC deletes such a one too.

        Raises:
            CacheWriteError: it could not be done.
        """
        await self.remember(key, record, rt, None)

    async def remember(
        self, key: AttachmentKey, record: Record, rt: RuntimeConf, result: Result | None
    ) -> None:
        """Record an attachment, whether or not the caller is cancelled meanwhile.

        Raises:
            CacheWriteError: it could not be done; the error has the result.
        """
        data = encode_record(record, result)
        cache = self.cache(rt)
        try:
            # What is done at once cannot be cancelled, and needs no shield. A class of the caller's
            # own may do more than this one.
            if not (type(cache) is FileCache and cache.store_at_once(key, data)):
                await _shielded_write(partial(cache.store, key, data))
        except CacheError as error:
            raise _write_error(error, key, result) from error

    async def forget(self, key: AttachmentKey, rt: RuntimeConf) -> None:
        """Remove an attachment's record, whether or not the caller is cancelled meanwhile.

        Raises:
            CacheError: it could not be removed, or is another attachment's.
        """
        cache = self.cache(rt)
        if not (type(cache) is FileCache and cache.remove_at_once(key)):
            await _shielded_write(partial(cache.remove, key))

    async def result(self, network: str, cni_version: str, rt: RuntimeConf) -> Result | None:
        """Return what ADD gave, in the version of the configuration; None if there is no record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of it has wrong characters.
        """
        key = attachment_key(network, rt)
        data = await self.cache(rt).load(key)
        return None if data is None else read_result(data, key, cni_version)

    async def config(self, network: str, rt: RuntimeConf) -> CachedConfig | None:
        """Return the configuration of an attachment's ADD; `None` if there is no record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of it has wrong characters.
        """
        key = attachment_key(network, rt)
        data = await self.cache(rt).load(key)
        if data is None:
            return None
        record = read_config(data, key)
        added = RuntimeConf(
            rt.container_id,
            rt.netns or record.namespace,
            rt.ifname,
            args=rt.args if record.cni_args is msgspec.UNSET else record.arg_pairs,
            capability_args=record.capability_args,
            cache_dir=rt.cache_dir,
        )
        return CachedConfig(record.config or b"", added)

    async def recall(self, key: AttachmentKey, rt: RuntimeConf, *, version: str | None) -> Recalled:
        """Return what a DEL is to know of its ADD, as far as that can be found out.

        Args and capability args are the record's where the caller gave none. The namespace is
        not: on DEL its absence says that it is gone.

        Args:
            key: the attachment.
            rt: the caller's side of it.
            version: of the result; None for no result.
        """
        if version is None and rt.args and rt.capability_args:
            return Recalled(rt)
        result: Result | None = None
        try:
            data = await self.cache(rt).load(key)
            if data is not None:
                rt = _with_recorded_args(rt, data, key)
                if version is not None:
                    result = read_result(data, key, version)
        except CacheError as error:
            return Recalled(rt, error=error)
        return Recalled(rt, result)


def _with_recorded_args(rt: RuntimeConf, data: bytes, key: AttachmentKey) -> RuntimeConf:
    record = decode_record(data)
    if record.kind != CNI_CACHE_V1:
        return rt  # from before libcni 0.8, and a bare result
    record.check_owner(key)
    return msgspec.structs.replace(
        rt,
        args=rt.args or record.arg_pairs,
        capability_args=rt.capability_args or record.capability_args,
    )


def _is_unfinished(record: Record) -> bool:
    return record.kind == CNI_CACHE_V1 and not record.has_result


async def _shielded_write(call: Callable[[], Awaitable[None]]) -> None:
    try:
        await run_to_completion(call, within=_CACHE_WAIT)
    except TimeoutError as error:
        raise CacheError(f"no answer in {_CACHE_WAIT:g} s") from error


def _write_error(error: CacheError, key: AttachmentKey, result: Result | None) -> CacheWriteError:
    return CacheWriteError(str(error), path=error.path, result=result).in_context(
        f"failed to set network {quote(key.network)} cached result: "
    )

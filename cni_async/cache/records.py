"""Read and write the records in the cache of a `CNIConfig`."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum
from functools import partial
from typing import Final

import anyio
import msgspec

from cni_async import _arguments
from cni_async._async.shielded import shielded
from cni_async.errors import ArgsError, CacheError, CacheWriteError, CorruptRecordError
from cni_async.go.quote import quote
from cni_async.invoke.environ import PluginArgs, join_args, validate_args, validate_variable
from cni_async.model.attachment import AttachmentKey, CachedConfig, attachment_key
from cni_async.model.runtime import RuntimeConf
from cni_async.types import Result

from .files import FileCache
from .record import CNI_CACHE_V1, Record, decode_record, encode_record, read_config, read_result
from .store import CacheStore

_log = logging.getLogger(__name__)

# Seconds for writing or removing a record once the plugins are done. The plugins' work cannot be
# undone, so a cancellation does not cut this short; but a dead disk must not block the caller
# forever. A `FileCache` gives up a little earlier, and its error names the file.
_CACHE_WAIT: Final = 11.0
# Caches kept for the directories of runtime configurations; each container may have its own.
_MOST_CACHES: Final = 256


class Before(Enum):
    """The state of an attachment in the cache before an ADD."""

    NOTHING = "nothing"
    UNFINISHED = "unfinished"
    """An ADD has begun, or the record is damaged: any plugin may have done something."""
    COMPLETED = "completed"


class Recalled(msgspec.Struct, frozen=True):
    """The part of an ADD that its DEL needs.

    Attributes:
        rt: the runtime configuration, completed with the args of the ADD.
        result: the result of the ADD; `None` if it is unknown or was not requested.
        error: why the record could not be used; `None` if nothing is wrong with it.
    """

    rt: RuntimeConf
    result: Result | None = None
    error: CacheError | None = None


class Attachments:
    """Reads and writes records, each in its own cache."""

    def __init__(self, cache: CacheStore | None) -> None:
        """Set the cache.

        Args:
            cache: the cache of all records; `None` means the `cache_dir` of each runtime
                configuration, or the host's cache if that is not set.
        """
        self._cache = cache
        self._caches: dict[str, FileCache] = {}

    def cache(self, rt: RuntimeConf | None = None) -> CacheStore:
        """Return the cache for an attachment's record."""
        if self._cache is not None:
            return self._cache
        return self.cache_in(rt.cache_dir if rt is not None else None)

    def cache_in(self, directory: str | os.PathLike[str] | None) -> FileCache:
        """Return the cache in a directory, by default the host's; one object per directory."""
        # Moved to the end: the least recently used cache is dropped first.
        name = _arguments.optional_path(directory, "cache_dir") or ""
        cache = self._caches.pop(name, None)
        if cache is None:
            cache = FileCache(name) if name else FileCache()
        self._caches[name] = cache
        if len(self._caches) > _MOST_CACHES:
            self._caches.pop(next(iter(self._caches)), None)
        return cache

    def within(self, directory: str | os.PathLike[str] | None) -> Attachments:
        """Return the records in a directory; these ones if it is `None` or empty."""
        return Attachments(self.cache_in(directory)) if directory else self

    async def scope(self, rt: RuntimeConf | None = None) -> Hashable:
        """Return an object that identifies the cache of an attachment, whatever its path."""
        cache = self.cache(rt)
        return await cache.identity() if isinstance(cache, FileCache) else id(cache)

    async def prepare(self, key: AttachmentKey, rt: RuntimeConf) -> None:
        """Check, before any plugin runs, that `remember` can write the record.

        Raises:
            CacheWriteError: the record cannot be written.
        """
        try:
            await self.cache(rt).prepare(key)
        except CacheError as error:
            raise _write_error(error, key, None) from error

    async def before(self, key: AttachmentKey, rt: RuntimeConf) -> tuple[Before, Record | None]:
        """Return, before any plugin runs, how far an earlier ADD of the attachment came.

        Returns:
            the state, and the record; `None` if it is missing or damaged.

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
        except CacheError as error:
            raise _write_error(error, key, None) from error
        # A record of another kind counts as completed: the oldest records are bare results.
        return (Before.UNFINISHED if _is_unfinished(record) else Before.COMPLETED), record

    async def is_unfinished(self, network: str, rt: RuntimeConf) -> bool:
        """Return whether the record is of an ADD that has begun and has not completed.

        Raises:
            CacheError: the record cannot be read, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of the name has invalid characters.
        """
        data = await self.cache(rt).load(attachment_key(network, rt))
        return data is not None and _is_unfinished(decode_record(data))

    async def remember(
        self, key: AttachmentKey, record: Record, rt: RuntimeConf, result: Result | None
    ) -> None:
        """Record an attachment, whether or not the caller is cancelled meanwhile.

        Without a result the record says that an ADD has begun: if this process is killed,
        `recover` finds the attachment, and libcni's GC deletes it.

        Raises:
            CacheWriteError: the record could not be written; the error has the result.
        """
        data = encode_record(record, result)
        cache = self.cache(rt)
        try:
            # `store_at_once` cannot be cancelled, and needs no shield. The exact type matters: a
            # caller's subclass may do more in `store`.
            if not (type(cache) is FileCache and cache.store_at_once(key, data)):
                await _shielded_write(partial(cache.store, key, data))
        except CacheError as error:
            raise _write_error(error, key, result) from error

    async def forget(self, key: AttachmentKey, rt: RuntimeConf) -> None:
        """Remove an attachment's record, whether or not the caller is cancelled meanwhile.

        Raises:
            CacheError: the record could not be removed, or is another attachment's.
        """
        cache = self.cache(rt)
        if not (type(cache) is FileCache and cache.remove_at_once(key)):
            await _shielded_write(partial(cache.remove, key))

    async def result(self, network: str, cni_version: str, rt: RuntimeConf) -> Result | None:
        """Return the result of ADD, in the configuration's version; `None` without a record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of the name has invalid characters.
        """
        key = attachment_key(network, rt)
        data = await self.cache(rt).load(key)
        return None if data is None else read_result(data, key, cni_version)

    async def config(self, network: str, rt: RuntimeConf) -> CachedConfig | None:
        """Return the configuration of an attachment's ADD; `None` without a record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of the name has invalid characters.
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
        """Return the part of an ADD that its DEL needs, as far as the cache has it.

        Args and capability args come from the record where the caller passed none. The namespace
        does not: on DEL, a missing namespace means that it is gone.

        Args:
            key: the attachment.
            rt: the caller's runtime configuration.
            version: CNI version of the result; `None` means that no result is needed.
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
        return rt  # a bare result, written before libcni 0.8
    record.check_owner(key)
    return msgspec.structs.replace(
        rt,
        args=rt.args or usable_args(record.arg_pairs, key),
        capability_args=rt.capability_args or record.capability_args,
    )


def usable_args(args: PluginArgs, key: AttachmentKey) -> PluginArgs:
    """Return the args in a record; none if CNI_ARGS cannot carry them, so that DEL can go on."""
    try:
        validate_args(args)
        validate_variable("CNI_ARGS", join_args(args))
    except ArgsError as error:  # no ADD wrote such a record
        _log.warning("DEL of %s goes on without the args of its ADD: %s", key.file_name, error)
        return ()
    return args


def _is_unfinished(record: Record) -> bool:
    return record.kind == CNI_CACHE_V1 and not record.has_result


async def _shielded_write(call: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        with anyio.move_on_after(_CACHE_WAIT):
            return await call()
        raise CacheError(f"no answer in {_CACHE_WAIT:g} s")

    await shielded(in_time())


def _write_error(error: CacheError, key: AttachmentKey, result: Result | None) -> CacheWriteError:
    return CacheWriteError(str(error), path=error.path, result=result).in_context(
        f"failed to set network {quote(key.network)} cached result: "
    )

"""`CNIConfig`: run the plugin chains of networks and record their results (libcni's api.go).

Where the specification and libcni differ, this library follows libcni, because plugins are used to
it; `docs/differences.md` lists the exceptions.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

import anyio

from . import _arguments
from .cache import CachedConfig, CacheStore, FileCache, NetworkAttachment
from .cache.records import Attachments
from .conf import NetworkConfig, NetworkConfigList
from .invoke import Exec, Spawn
from .invoke.caller import PluginCaller
from .invoke.exec import exec_for
from .model.runtime import GCArgs, RuntimeConf
from .operations.chain import Chains
from .operations.gc import collect
from .operations.operation import Operation
from .operations.order import Locks
from .operations.recorded import network_of, runtime_of
from .operations.recover import recover
from .operations.rollback import add_or_undo, attached, name_of
from .operations.validation import enabled_capabilities, validate_plugin, validate_plugins
from .types import Result
from .version import PluginInfo

DEFAULT_CLEANUP_TIMEOUT: Final = 60.0


class CNIConfig:
    """Runs the plugins of networks (libcni.CNIConfig).

    One object is enough for a whole program: its only state is the cache, and any number of calls
    may run at a time. As the CNI specification requires, calls for one container run one after the
    other, and no ADD or DEL runs while its network is garbage collected. Within an event loop the
    order is first come, first served.

    Attributes:
        path: the directories with plugins.
        exec: runs the plugins.
        cleanup_timeout: seconds for undoing an ADD, and for the DEL of `attachment`.
    """

    def __init__(
        self,
        path: Sequence[str | os.PathLike[str]],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        exec: Exec | None = None,
        cache: CacheStore | None = None,
        timeout: float | None = None,
        grace: float | None = None,
        strict: bool = False,
        rollback: bool = False,
        cleanup_timeout: float = DEFAULT_CLEANUP_TIMEOUT,
        lock_file: str | os.PathLike[str] | None = None,
        limiter: anyio.CapacityLimiter | None = None,
        spawn: Spawn | None = None,
    ) -> None:
        """Set the plugin path, the cache and the bounds of calls (NewCNIConfigWithCacheDir).

        Args:
            path: directories with plugins; the first that has a plugin wins.
            cache_dir: directory of the cache, /var/lib/cni by default.
            exec: runs the plugins, by default as processes of the host.
            cache: stores the records in place of `cache_dir`.
            timeout: seconds that each call of a plugin may take; `None` means no limit.
            grace: seconds between SIGTERM and SIGKILL for a plugin that is timed out or cancelled;
                2 by default.
            strict: refuse what the specification forbids and libcni permits: a CHECK of an
                attachment that is not in the cache, and an ADD of one that is in the cache with
                another configuration or another network namespace.
            rollback: DEL after an ADD that failed or was cancelled, and record an attachment
                before its first plugin runs, so that `recover` finds it after a crash. libcni
                leaves both to its caller.
            cleanup_timeout: seconds for such a DEL, and for the DEL at the end of `attachment`.
            lock_file: order operations also among processes that use the same file, e.g.
                /run/cni-async.lock. A missing file is created. It must not be in the cache's
                results directory.
            limiter: how many plugins may run at once; by default 100 in an event loop, shared by
                all callers in that loop.
            spawn: how plugins are started: "anyio" (`anyio.open_process`) or "posix"
                (`os.posix_spawn`). By default "anyio" on asyncio and trio, "posix" on uvloop.

        Raises:
            TypeError: `path` is a single path, or another argument has the wrong type.
            ValueError: both `cache` and `cache_dir` are given; `exec` is given with `grace`,
                `limiter` or `spawn`, which only `RawExec` obeys and takes itself; or a value is out
                of range.
        """
        self.path: tuple[str, ...] = _arguments.paths(path, "path")
        if cache is not None and cache_dir:
            raise ValueError("give either cache or cache_dir")
        self.exec: Exec = exec_for(exec, timeout=timeout, grace=grace, limiter=limiter, spawn=spawn)
        # The default Exec enforces the timeout itself, to report how the plugin ended.
        deadline = None if exec is None else timeout
        self._plugins = PluginCaller(self.path, self.exec, deadline)
        # As in libcni, an empty string means no directory.
        directory = _arguments.optional_path(cache_dir, "cache_dir")
        self._attachments = Attachments(FileCache(directory) if directory else cache)
        if not cleanup_timeout > 0:
            raise ValueError(f"cleanup_timeout must be positive, not {cleanup_timeout}")
        self._chains = Chains(self._plugins, self._attachments, strict=strict)
        self._rollback = rollback
        self.cleanup_timeout: float = cleanup_timeout
        self._locks = Locks(_arguments.optional_path(lock_file, "lock_file") or None)

    async def add_network_list(
        self, net: NetworkConfigList, rt: RuntimeConf, *, rollback: bool | None = None
    ) -> Result:
        """Attach a container to a network: ADD each plugin in order (AddNetworkList).

        Each plugin receives the result of the plugin before it. Without `rollback` a failed ADD is
        not undone, as the specification leaves that to the runtime: call `del_network_list`. The
        same holds for a cancelled ADD: the running plugin is ended, no other is called, and an
        older record stays. Once the last plugin's answer has been read, the record is still made.
        Returns the last plugin's result, in the version that the plugin chose.

        Args:
            net: the network.
            rt: the runtime configuration: the container and its side of the attachment.
            rollback: overrides that of this object.

        Raises:
            PluginNotFoundError, PluginError, ResultError: a plugin failed; the first failure.
            InvalidIdentifierError, ArgsError, ConfigError: an argument is invalid; nothing ran.
            CacheWriteError: no record was made. If the error has a `result`, the container is
                attached; if not, nothing ran.
            AlreadyAttachedError: with `strict`, the cache has the attachment with another
                configuration or network namespace; nothing ran.
        """
        return await self._add(Operation.checked(NetworkConfigList, net, rt), rollback)

    async def add_network(self, net: NetworkConfig, rt: RuntimeConf) -> Result:
        """Attach a container with a single plugin (AddNetwork); see `add_network_list`."""
        return await self._add(Operation.checked(NetworkConfig, net, rt), None)

    async def _add(self, op: Operation, rollback: bool | None) -> Result:
        async with await self._order(op):
            if self._rollback if rollback is None else rollback:
                return await add_or_undo(self._chains, op, within=self.cleanup_timeout)
            return await self._chains.add(op)

    def attachment(
        self, net: NetworkConfigList | NetworkConfig, rt: RuntimeConf
    ) -> AbstractAsyncContextManager[Result]:
        """Attach a container for a block: ADD before it, DEL after it, even if the block fails.

        >>> async def run(cni, net, rt):
        ...     async with cni.attachment(net, rt) as result:
        ...         ...  # the container's work

        An ADD that fails or is cancelled is undone as with `rollback`. The DEL runs even if the
        caller is cancelled, for at most `cleanup_timeout`. If the DEL fails after an error in the
        block, that error is raised, with the DEL's error as a note. Returns a context manager that
        yields ADD's result.

        Args:
            net: the network, or a single plugin.
            rt: the runtime configuration: the container and its side of the attachment.

        Raises:
            CNIError: as `add_network_list` and `del_network_list`.
            PluginTimeoutError: the DEL took longer than `cleanup_timeout`; the record stays.
        """
        op = Operation.checked(NetworkConfigList | NetworkConfig, net, rt)
        return attached(
            partial(self._add, op, True),
            partial(self._del, op),
            name_of(op),
            within=self.cleanup_timeout,
        )

    async def check_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Check that an attachment is as ADD left it: CHECK each plugin (CheckNetworkList).

        Each plugin receives the result of the whole ADD, from the cache. On cancellation the
        running plugin is ended and no other is called. With `disable_check` CHECK succeeds at once.

        Raises:
            CheckNotSupportedError: the network's version is below 0.4.0.
            PluginNotFoundError, PluginError: a plugin's check failed; the first failure.
            CacheError: the record cannot be used.
        """
        op = Operation.checked(NetworkConfigList, net, rt)
        if not net.disable_check:
            await self._check(op)

    async def check_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Check an attachment of a single plugin (CheckNetwork); see `check_network_list`."""
        await self._check(Operation.checked(NetworkConfig, net, rt))

    async def _check(self, op: Operation) -> None:
        scope = await self._attachments.scope(op.rt)
        async with self._locks.container(scope, op.rt.container_id):
            await self._chains.check(op)

    async def del_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Detach a container from a network: DEL each plugin in reverse order (DelNetworkList).

        Succeeds where there is nothing to delete. If the record cannot be used, plugins receive no
        prevResult, and the record is removed after them. On cancellation the running plugin is
        ended, no other is called, and the record stays: call this again. Empty `rt.args` or
        `rt.capability_args` are replaced by those of ADD, from the record; an empty netns is not.

        Raises:
            PluginNotFoundError, PluginError: a plugin failed; the first failure. The record stays.
        """
        await self._del(Operation.checked(NetworkConfigList, net, rt))

    async def del_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Detach a container with a single plugin (DelNetwork); see `del_network_list`."""
        await self._del(Operation.checked(NetworkConfig, net, rt))

    async def _del(self, op: Operation) -> None:
        async with await self._order(op):
            await self._chains.delete(op)

    async def _order(self, op: Operation) -> AbstractAsyncContextManager[None]:
        scope = await self._attachments.scope(op.rt)
        return self._locks.attachment(scope, op.network, op.rt.container_id)

    async def del_attachment(
        self, attachment: NetworkAttachment, *, cache_dir: str | os.PathLike[str] | None = None
    ) -> None:
        """Detach a container with the configuration and args of its ADD, from the cache.

        The network's configuration file and the network namespace may be gone, and a file may be
        left at the namespace's path. `attachment` comes from `get_cached_attachments` or `recover`;
        `cache_dir` is the directory of its record; `None` means this object's cache.

        Raises:
            ConfigError: the configuration in the record cannot be used.
            PluginNotFoundError, PluginError: a plugin failed; the first failure. The record stays.
        """
        _arguments.require(attachment, NetworkAttachment, "attachment")
        records = self._attachments.within(cache_dir)
        op = Operation.of(network_of(attachment), runtime_of(attachment))
        async with self._locks.attachment(await records.scope(), op.network, op.rt.container_id):
            await self._chains.within(records).delete(op)

    async def get_network_list_cached_result(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> Result | None:
        """Return ADD's result in the network's version (GetNetworkListCachedResult).

        `None` if no record exists.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's key is empty.
            InvalidIdentifierError: a part of the attachment's key has wrong characters.
        """
        op = Operation.checked(NetworkConfigList, net, rt)
        return await self._attachments.result(op.network, op.cni_version, rt)

    async def get_network_cached_result(self, net: NetworkConfig, rt: RuntimeConf) -> Result | None:
        """Return ADD's result (GetNetworkCachedResult); see `get_network_list_cached_result`."""
        op = Operation.checked(NetworkConfig, net, rt)
        return await self._attachments.result(op.network, op.cni_version, rt)

    async def get_network_list_cached_config(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> CachedConfig | None:
        """Return the configuration of an attachment's ADD (GetNetworkListCachedConfig).

        `None` if no record exists. Raises as `get_network_list_cached_result`.
        """
        op = Operation.checked(NetworkConfigList, net, rt)
        return await self._attachments.config(op.network, rt)

    async def get_network_cached_config(
        self, net: NetworkConfig, rt: RuntimeConf
    ) -> CachedConfig | None:
        """Return the configuration of an ADD (GetNetworkCachedConfig), as for a list."""
        op = Operation.checked(NetworkConfig, net, rt)
        return await self._attachments.config(op.network, rt)

    async def get_cached_attachments(
        self, container_id: str = "", *, cache_dir: str | os.PathLike[str] | None = None
    ) -> list[NetworkAttachment]:
        """List attachments, in the order of their file names (GetCachedAttachments).

        An empty `container_id` means all containers. `cache_dir` is the directory to list; libcni
        misses attachments with a RuntimeConf.CacheDir.

        Raises:
            CacheError: the cache cannot be listed.
        """
        _arguments.require_text(container_id, "container_id")
        return await self._attachments.within(cache_dir).cache().attachments(container_id)

    async def validate_network_list(self, net: NetworkConfigList) -> list[str]:
        """Check that a network's plugins exist and support its version (ValidateNetworkList).

        Returns the capabilities that plugins of the network declare, in order of appearance. On
        cancellation the running plugins are ended; they were only asked for their versions.

        Raises:
            ValidationError: plugins are missing, fail or do not support the version; `errors` has
                an error for each of them.
        """
        _arguments.require(net, NetworkConfigList, "net")
        return await validate_plugins(net.plugins, net.cni_version, self._plugins.version)

    async def validate_network(self, net: NetworkConfig) -> list[str]:
        """Check that a plugin exists and supports its configuration's version (ValidateNetwork).

        Returns the capabilities that the plugin declares. Raises PluginNotFoundError, PluginError
        or VersionError if it is missing, failed, or does not support the version.
        """
        _arguments.require(net, NetworkConfig, "net")
        await validate_plugin(net.network.type, net.network.cni_version, self._plugins.version)
        return enabled_capabilities([net])

    async def gc_network_list(self, net: NetworkConfigList, args: GCArgs | None) -> None:
        """Free what no valid attachment of a network uses (GCNetworkList).

        DEL each attachment in the cache that is not valid, with the configuration it was added
        with; then, from version 1.1.0 on, GC each plugin. A failure does not stop the rest. On
        cancellation the running plugins are ended and no other is called; attachments that were
        not deleted yet keep their records: call this again. With `disable_gc` nothing is done.

        `args` holds the valid attachments. `None` is libcni's nil: every attachment in the cache is
        deleted, and plugins receive no list of valid ones.

        Raises:
            GCError: some calls failed; `errors` has each failure.
        """
        _arguments.require(net, NetworkConfigList, "net")
        _arguments.require(args, GCArgs | None, "args")
        if net.disable_gc:
            return
        await collect(self._chains, self._attachments, self._locks, net, args)

    async def recover(
        self, *, delete: bool = False, cache_dir: str | os.PathLike[str] | None = None
    ) -> list[NetworkAttachment]:
        """Find attachments whose ADD did not end, because its process was killed.

        Only an ADD with `rollback` or of `attachment` leaves such a record. An ADD that still runs
        is recognized if it is in this event loop or its process has the same `lock_file`; without
        such a file call this before any other process may run an ADD.

        Plugins outlive a killed runtime: before it deletes, this waits for them, for at most
        `cleanup_timeout`. An attachment that a plugin then still works on is left alone. Returns
        the attachments found, in the order of their file names; deleted if `delete` is set.
        With `delete`, attachments of different containers are deleted at the same time. `cache_dir`
        replaces this object's cache.

        Raises:
            RecoveryError: not all could be deleted; `errors` has a failure for each, a retryable
                `PluginError` where a plugin still runs.
            CacheError: the cache cannot be listed.
        """
        records = self._attachments.within(cache_dir)
        return await recover(
            self._chains.within(records),
            records,
            self._locks,
            delete=delete,
            path=self.path,
            within=self.cleanup_timeout,
        )

    async def get_status_network_list(self, net: NetworkConfigList) -> None:
        """Ask whether a network is ready for ADD: STATUS of each plugin (GetStatusNetworkList).

        Below version 1.1.0 plugins have no STATUS, and none is called. On cancellation the running
        plugin is ended and no other is called.

        Raises:
            PluginNotFoundError, PluginError: a plugin is not ready; the first failure. Its `code`
                is often `ErrorCode.PLUGIN_NOT_AVAILABLE` or `ErrorCode.LIMITED_CONNECTIVITY`.
        """
        await self._chains.status(net)

    async def get_version_info(self, plugin_type: str) -> PluginInfo:
        """Ask a plugin for the versions it supports (GetVersionInfo).

        Raises:
            PluginNotFoundError: no plugin in the path has the file name `plugin_type`.
            PluginError: the plugin failed.
            VersionError: the plugin's answer is malformed.
        """
        return await self._plugins.version(plugin_type)

"""`CNIConfig`: run the plugin chains of networks, and remember what they did (libcni's api.go).

Where the specification and libcni part, libcni's way is taken, for its plugins are used to it;
`docs/differences.md` lists the exceptions.
"""

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial

from ._concurrently import AT_ONCE, run_all
from ._text import quote
from .cache import AttachmentKey, CacheStore, FileCache, NetworkAttachment, attachment_key
from .cache.attachments import Attachments
from .conf import NetworkConfig, NetworkConfigList
from .errors import (
    CacheError,
    CheckNotSupportedError,
    CNIError,
    GCError,
    ResultError,
    ValidationError,
    VersionError,
)
from .gc import delete_attachments, gc_plugins, stale_attachments
from .invoke import Args, Exec
from .invoke.args import validate_args
from .invoke.caller import PluginCaller
from .invoke.exec import DEFAULT_GRACE, default_exec
from .runtime import GCArgs, RuntimeConf, request_config
from .types import Result, create_result
from .validate import validate_container_id, validate_interface_name, validate_network_name
from .version import ALL, PluginInfo, greater_than_or_equal_to

_log = logging.getLogger(__name__)


class CNIConfig:
    """Runs the plugins of networks (libcni.CNIConfig).

    One for a whole program is enough; it has no state but its cache, and any number of calls may
    run at a time. The CNI specification wants those for one container one after the other.
    """

    def __init__(
        self,
        path: Sequence[str | os.PathLike[str]],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        exec: Exec | None = None,
        cache: CacheStore | None = None,
        timeout: float | None = None,
        grace: float = DEFAULT_GRACE,
        strict: bool = False,
    ) -> None:
        """Say where plugins are and how they may behave (NewCNIConfigWithCacheDir).

        Args:
            path: directories with plugins; the first that has one wins.
            cache_dir: where attachments are remembered, /var/lib/cni by default.
            exec: runs the plugins; by default they are processes of the host.
            cache: remembers attachments in place of the directory.
            timeout: seconds that each call of a plugin may take; None for as long as it likes.
            grace: seconds between SIGTERM and SIGKILL for a plugin that is timed out or cancelled.
            strict: refuse what the specification forbids and libcni lets pass: a CHECK of an
                attachment that the cache does not know.

        Raises:
            TypeError: `path` is one string.
            ValueError: both `cache` and `cache_dir` are given, or a number makes no sense.
        """
        if isinstance(path, str | bytes):
            raise TypeError("path must be a sequence of directories, not one string")
        if cache is not None and cache_dir:
            raise ValueError("give either cache or cache_dir")
        # Made in any case, as it checks the numbers.
        default = default_exec(timeout=timeout, grace=grace)
        self.path: tuple[str, ...] = tuple(os.fspath(directory) for directory in path)
        self._plugins = PluginCaller(
            self.path,
            default if exec is None else exec,
            # Our own Exec keeps the time itself, and so can tell how a plugin took its end.
            None if exec is None else timeout,
        )
        # libcni's "no directory" is an empty one.
        self._attachments = Attachments(FileCache(cache_dir) if cache_dir else cache)
        self._strict = strict

    async def add_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> Result:
        """Attach a container to a network: ADD each plugin in order (AddNetworkList).

        Each plugin gets the result of the one before it. After a failure nothing is undone, as
        the specification leaves that to the runtime: call `del_network_list`. The same goes for a
        cancellation: the plugin that runs is ended, no other is called, and an older record stays
        as it was. Once the last plugin has answered, the record is made all the same.

        Args:
            net: the network.
            rt: the container and its side of the attachment.

        Returns:
            the last plugin's result, in the version that the plugin chose.

        Raises:
            PluginNotFoundError, PluginError, ResultError: of the first plugin that failed.
            InvalidIdentifierError, ArgsError, ConfigError: nothing was run.
            CacheWriteError: the container is attached and has its `result`, but no record was
                made; without a result nothing was run.
        """
        return await self._add(net.name, net.cni_version, net.plugins, net.raw, rt, chain=True)

    async def add_network(self, net: NetworkConfig, rt: RuntimeConf) -> Result:
        """Attach a container with a single plugin (AddNetwork).

        Args, returns and raises as for `add_network_list`.
        """
        conf = net.network
        return await self._add(conf.name, conf.cni_version, [net], net.raw, rt, chain=False)

    async def _add(
        self,
        name: str,
        cni_version: str,
        plugins: Sequence[NetworkConfig],
        raw: bytes,
        rt: RuntimeConf,
        *,
        chain: bool,
    ) -> Result:
        key: AttachmentKey | None = None
        result: Result | None = None
        for plugin in plugins:
            type = plugin.network.type
            with _in_context(_failed(plugin, "add") if chain else ""):
                # libcni looks for the plugin first, so a missing one hides a bad ID.
                executable = await self._plugins.find(type)
                if key is None:
                    key = _validate_add(name, cni_version, rt)
            if result is None:
                # Before the first plugin, as nothing can be undone after it.
                await self._attachments.prepare(key, raw, rt)
            with _in_context(_failed(plugin, "add") if chain else ""):
                if result is not None:
                    # A plugin may answer in another version than it was asked in; the next one
                    # is only sure to understand the network's.
                    result = result.get_as_version(cni_version)
                request = request_config(
                    plugin,
                    name,
                    cni_version,
                    prev_result=result,
                    capability_args=rt.capability_args,
                )
                result = await self._plugins.add(type, executable, request, self._args("ADD", rt))
        if key is None:
            key = _validate_add(name, cni_version, rt)
        await self._attachments.remember(key, raw, rt, result)
        # A list without plugins has no result; this is what the cache answers for its record.
        return create_result("", b"{}").get_as_version(cni_version) if result is None else result

    async def check_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Check that an attachment is as ADD left it: CHECK each plugin (CheckNetworkList).

        Each plugin gets what the whole ADD gave, from the cache. Cancelled, the plugin that runs
        is ended and no other is called.

        Args:
            net: the network; with `disable_check` this succeeds at once.
            rt: the container and its side of the attachment.

        Raises:
            CheckNotSupportedError: the network's version is below 0.4.0.
            PluginNotFoundError, PluginError: of the first plugin that is not content.
            CacheError: the record cannot be used.
        """
        if net.disable_check:
            return
        await self._check(net.name, net.cni_version, net.plugins, rt)

    async def check_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Check an attachment of a single plugin (CheckNetwork); see `check_network_list`."""
        await self._check(net.network.name, net.network.cni_version, [net], rt)

    async def _check(
        self, name: str, cni_version: str, plugins: Sequence[NetworkConfig], rt: RuntimeConf
    ) -> None:
        if not greater_than_or_equal_to(cni_version, "0.4.0"):
            raise CheckNotSupportedError(cni_version)
        validate_args(rt.args)
        with _in_context(f"failed to get network {quote(name)} cached result: "):
            result = await self._attachments.result(name, cni_version, rt)
        if result is None and self._strict:
            raise CacheError(
                f"failed to get network {quote(name)} cached result: no record of "
                f"{rt.container_id} {rt.ifname}"
            )
        for plugin in plugins:
            await self._run("CHECK", plugin, name, cni_version, result, rt)

    async def del_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Detach a container from a network: DEL each plugin in reverse order (DelNetworkList).

        Succeeds where there is nothing to delete. A record that cannot be used is no obstacle:
        plugins then get no prevResult, and it is removed after them. Cancelled, the plugin that
        runs is ended, no other is called, and the record stays: call this again.

        Args:
            net: the network.
            rt: the container and its side of the attachment; `get_network_list_cached_config`
                gives that of ADD.

        Raises:
            PluginNotFoundError, PluginError: of the first plugin that failed; the record stays.
        """
        await self._del(net.name, net.cni_version, net.plugins, rt, chain=True)

    async def del_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Detach a container with a single plugin (DelNetwork); see `del_network_list`."""
        await self._del(net.network.name, net.network.cni_version, [net], rt, chain=False)

    async def _del(
        self,
        name: str,
        cni_version: str,
        plugins: Sequence[NetworkConfig],
        rt: RuntimeConf,
        *,
        chain: bool,
    ) -> None:
        has_prev_result = greater_than_or_equal_to(cni_version, "0.4.0")
        key = attachment_key(name, rt)
        result: Result | None = None
        if has_prev_result:
            try:
                result = await self._attachments.result(name, cni_version, rt)
            except CacheError as error:
                _log.warning("DEL of %s goes on without prevResult: %s", key.file_name, error)
        for plugin in reversed(plugins):
            with _in_context(_failed(plugin, "delete") if chain else ""):
                await self._run("DEL", plugin, name, cni_version, result, rt)
        try:
            await self._attachments.forget(key, rt)
        except CacheError as error:
            # libcni ignores it too: what was asked for is done.
            _log.warning("the record %s stays after its DEL: %s", key.file_name, error)

    async def get_network_list_cached_result(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> Result | None:
        """Return what ADD gave, in the network's version (GetNetworkListCachedResult).

        Returns:
            the result; None if there is no record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of it has wrong characters.
        """
        return await self._attachments.result(net.name, net.cni_version, rt)

    async def get_network_cached_result(self, net: NetworkConfig, rt: RuntimeConf) -> Result | None:
        """Return what ADD gave (GetNetworkCachedResult); see `get_network_list_cached_result`."""
        return await self._attachments.result(net.network.name, net.network.cni_version, rt)

    async def get_network_list_cached_config(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> tuple[bytes | None, RuntimeConf | None]:
        """Return what ADD was given (GetNetworkListCachedConfig).

        Returns:
            the configuration's bytes, and `rt` with the args and capability args of ADD, and its
            netns where `rt` has none; (None, None) if there is no record.

        Raises:
            CacheError: the record cannot be used, or a part of the attachment's name is empty.
            InvalidIdentifierError: a part of it has wrong characters.
        """
        return await self._attachments.config(net.name, rt)

    async def get_network_cached_config(
        self, net: NetworkConfig, rt: RuntimeConf
    ) -> tuple[bytes | None, RuntimeConf | None]:
        """Return what ADD was given (GetNetworkCachedConfig); as for a list."""
        return await self._attachments.config(net.network.name, rt)

    async def get_cached_attachments(
        self, container_id: str = "", *, cache_dir: str | os.PathLike[str] | None = None
    ) -> list[NetworkAttachment]:
        """List attachments, in the order of their file names (GetCachedAttachments).

        Args:
            container_id: of which container; empty for all.
            cache_dir: look there; libcni forgets those with a RuntimeConf.CacheDir.

        Raises:
            CacheError: the cache cannot be listed.
        """
        cache = FileCache(cache_dir) if cache_dir else self._attachments.cache()
        return await cache.attachments(container_id)

    async def validate_network_list(self, net: NetworkConfigList) -> list[str]:
        """Check that a network's plugins are there and speak its version (ValidateNetworkList).

        Cancelled, the plugins that run are ended; they were only asked for their versions.

        Returns:
            the capabilities that plugins of the network declare, in order of appearance.

        Raises:
            ValidationError: plugins are missing, fail or do not; `errors` has one for each.
        """
        types = list(dict.fromkeys(plugin.network.type for plugin in net.plugins))
        outcomes = await run_all(
            [partial(self._validate_plugin, type, net.cni_version) for type in types],
            limit=AT_ONCE,
        )
        errors = dict(zip(types, outcomes, strict=True))
        failures = [
            error for plugin in net.plugins if (error := errors[plugin.network.type]) is not None
        ]
        if failures:
            raise ValidationError(failures)
        enabled = (key for plugin in net.plugins for key in _enabled_capabilities(plugin))
        return list(dict.fromkeys(enabled))

    async def validate_network(self, net: NetworkConfig) -> list[str]:
        """Check that a plugin is there and speaks its configuration's version (ValidateNetwork).

        Returns:
            the capabilities that it declares.

        Raises:
            PluginNotFoundError, PluginError, VersionError: not so.
        """
        await self._validate_plugin(net.network.type, net.network.cni_version)
        return _enabled_capabilities(net)

    async def gc_network_list(self, net: NetworkConfigList, args: GCArgs | None) -> None:
        """Free what no valid attachment of a network uses (GCNetworkList).

        DEL for each attachment in the cache that is not valid, with the configuration it was
        added with; then, from version 1.1.0 on, GC for each plugin. Failures stop nothing.
        Cancelled, the plugins that run are ended and no other is called; attachments that were
        not deleted yet keep their records: call this again.

        Args:
            net: the network; with `disable_gc` nothing is done.
            args: the valid attachments. None is libcni's nil: every attachment in the cache is
                deleted, and plugins are told of none.

        Raises:
            GCError: some of it failed; `errors` has each.
        """
        if net.disable_gc:
            return
        failures: list[CNIError] = []
        try:
            attachments = await self._attachments.cache().attachments()
        except CacheError as error:
            # The plugins can still clean up what they know of.
            failures.append(error)
        else:
            stale = stale_attachments(attachments, net.name, args)
            failures += await delete_attachments(stale, net, self.del_network_list)
        if _at_least_1_1(net.cni_version):
            failures += await gc_plugins(net, args, self._run_networkwide)
        if failures:
            raise GCError(failures)

    async def get_status_network_list(self, net: NetworkConfigList) -> None:
        """Ask whether a network is ready for ADD: STATUS of each plugin (GetStatusNetworkList).

        Below version 1.1.0 plugins have no STATUS, and nothing is asked. Cancelled, the plugin
        that runs is ended and no other is called.

        Raises:
            PluginNotFoundError, PluginError: of the first plugin that is not; `code` is often
                `ErrorCode.PLUGIN_NOT_AVAILABLE` or `ErrorCode.LIMITED_CONNECTIVITY`.
        """
        if not _at_least_1_1(net.cni_version):
            return
        for plugin in net.plugins:
            type = plugin.network.type
            with _in_context(f"failed to generate configuration to get plugin STATUS {type}: "):
                request = request_config(plugin, net.name, net.cni_version)
            await self._run_networkwide("STATUS", plugin, request)

    async def get_version_info(self, plugin_type: str) -> PluginInfo:
        """Ask a plugin for the versions it supports (GetVersionInfo).

        Args:
            plugin_type: its file name in the path.

        Raises:
            PluginNotFoundError: it is not there.
            PluginError: it failed.
            VersionError: its answer is malformed.
        """
        return await self._plugins.version(plugin_type)

    def _args(self, command: str, rt: RuntimeConf) -> Args:
        return Args(
            command=command,
            container_id=rt.container_id,
            netns=rt.netns,
            ifname=rt.ifname,
            args=rt.args,
            path=self.path,
        )

    async def _run(
        self,
        command: str,
        plugin: NetworkConfig,
        name: str,
        cni_version: str,
        prev_result: Result | None,
        rt: RuntimeConf,
    ) -> None:
        """Call a plugin for an attachment."""
        executable = await self._plugins.find(plugin.network.type)
        request = request_config(
            plugin,
            name,
            cni_version,
            prev_result=prev_result,
            capability_args=rt.capability_args,
        )
        args = self._args(command, rt)
        await self._plugins.run(plugin.network.type, executable, request, args)

    async def _run_networkwide(self, command: str, plugin: NetworkConfig, request: bytes) -> None:
        """Call a plugin with a command that is about no attachment."""
        executable = await self._plugins.find(plugin.network.type)
        args = Args(command=command, path=self.path)
        await self._plugins.run(plugin.network.type, executable, request, args)

    async def _validate_plugin(self, plugin_type: str, cni_version: str) -> None:
        info = await self.get_version_info(plugin_type)
        wanted = cni_version or "0.1.0"
        if wanted not in info.supported_versions:
            raise VersionError(
                f"plugin {plugin_type} does not support config version {quote(wanted)}"
            )


def _validate_add(name: str, cni_version: str, rt: RuntimeConf) -> AttachmentKey:
    """Refuse, before any plugin runs, what could only fail after one has."""
    validate_container_id(rt.container_id)
    validate_network_name(name)
    validate_interface_name(rt.ifname)
    validate_args(rt.args)
    if cni_version and cni_version not in ALL.supported_versions:
        raise ResultError(f"unsupported CNI result version {quote(cni_version)}")
    return AttachmentKey(name, rt.container_id, rt.ifname)


def _failed(plugin: NetworkConfig, what: str) -> str:
    """Return libcni's words for a plugin that failed within a chain."""
    description = f"type={quote(plugin.network.type)}"
    if plugin.network.name:
        description += f" name={quote(plugin.network.name)}"
    return f"plugin {description} failed ({what}): "


@contextmanager
def _in_context(words: str) -> Generator[None]:
    try:
        yield
    except CNIError as error:
        error.in_context(words)
        raise


def _enabled_capabilities(plugin: NetworkConfig) -> list[str]:
    return [key for key, enabled in plugin.network.capabilities.items() if enabled]


def _at_least_1_1(cni_version: str) -> bool:
    # libcni takes what it cannot parse for an old version here.
    try:
        return greater_than_or_equal_to(cni_version, "1.1.0")
    except VersionError:
        return False

"""The plugins of a network, run one after the other for an attachment."""

import logging
from collections.abc import Sequence
from types import UnionType
from typing import Self

import msgspec

from cni_async import _arguments
from cni_async.cache.record import Record, new_record, require_same
from cni_async.cache.records import Attachments, Before
from cni_async.conf import NetworkConfig, NetworkConfigList
from cni_async.errors import (
    CacheError,
    CheckNotSupportedError,
    CNIError,
    PluginError,
    ResultError,
    VersionError,
)
from cni_async.go.quote import quote
from cni_async.invoke import Args
from cni_async.invoke.caller import PluginCaller
from cni_async.invoke.environ import BuiltArgs, validate_args, validate_environ
from cni_async.model.attachment import AttachmentKey, attachment_key
from cni_async.model.runtime import RuntimeConf
from cni_async.types import Result, create_result
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name
from cni_async.version import ALL, greater_than_or_equal_to

from .request import as_raw, request_config

_log = logging.getLogger(__name__)


class Chain(msgspec.Struct, frozen=True):
    """A list or a single plugin, as operations look at it.

    Attributes:
        name: the network's.
        cni_version: the network's; what plugins say of themselves does not count.
        plugins: in the order of ADD.
        raw: the bytes that the cache keeps.
        is_list: libcni names the plugin in the errors of a list only.
    """

    name: str
    cni_version: str
    plugins: tuple[NetworkConfig, ...]
    raw: bytes
    is_list: bool

    @classmethod
    def of(cls, net: NetworkConfigList | NetworkConfig) -> Self:
        """Look at a network as a chain."""
        if isinstance(net, NetworkConfigList):
            return cls(net.name, net.cni_version, tuple(net.plugins), net.raw, True)
        return cls(net.network.name, net.network.cni_version, (net,), net.raw, False)


def chain_for(
    kind: type | UnionType, net: NetworkConfigList | NetworkConfig, rt: RuntimeConf
) -> Chain:
    """Look at a network as a chain, if it and the runtime's side are what a method takes.

    Raises:
        TypeError: one of them is something else.
    """
    _arguments.require(net, kind, "net")
    _arguments.require(rt, RuntimeConf, "rt")
    return Chain.of(net)


class Progress:
    """How far an ADD has come, for those who may have to undo it.

    Attributes:
        key: the attachment; None as long as there is nothing to undo.
        begun: the plugins that were called, in order.
        result: what the last one that succeeded gave.
        before: what there was of the attachment before.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.key: AttachmentKey | None = None
        self.begun: list[NetworkConfig] = []
        self.result: Result | None = None
        self.before = Before.NOTHING


class Chains:
    """Runs chains; what is forbidden at the same time is not looked after here (`order`)."""

    def __init__(self, plugins: PluginCaller, attachments: Attachments, *, strict: bool) -> None:
        """Say with what.

        Args:
            plugins: calls them.
            attachments: remembers what they did.
            strict: CHECK refuses an attachment that the cache does not know, ADD one that the cache
                knows as attached in another way.
        """
        self._plugins = plugins
        self._attachments = attachments
        self._strict = strict

    async def add(self, chain: Chain, rt: RuntimeConf, progress: Progress | None = None) -> Result:
        """Attach a container.

        Args:
            chain: the network.
            rt: the container and its side of the attachment.
            progress: is told how far it has come; the attachment is then recorded before the
                first plugin runs, too.
        """
        if not chain.plugins:
            key = _validate_add(chain, rt)
            await self._attachments.remember(key, new_record(key, chain.raw, rt), rt, None)
            # No plugin gave a result. The cache answers with this one for such a record.
            return create_result("", b"{}").get_as_version(chain.cni_version)
        plugin = chain.plugins[0]
        try:
            # libcni looks for the plugin first, so a missing one hides a bad ID.
            executable = await self._plugins.find(plugin.network.type)
            key = _validate_add(chain, rt)
            args = self._args("ADD", rt)
            validate_environ(args.environ)
        except CNIError as error:
            error.in_context(_plugin_failed(chain, plugin, "add"))
            raise
        record = new_record(key, chain.raw, rt)
        await self._prepare(key, record, rt, progress)
        result = await self._add(chain, plugin, executable, None, args, rt, progress)
        for plugin in chain.plugins[1:]:
            result = await self._add(chain, plugin, None, result, args, rt, progress)
        await self._attachments.remember(key, record, rt, result)
        return result

    async def _prepare(
        self, key: AttachmentKey, record: Record, rt: RuntimeConf, progress: Progress | None
    ) -> None:
        """Do before the first plugin runs what an ADD could not take back after it."""
        if progress is None and not self._strict:
            await self._attachments.prepare(key, rt)
            return
        before, earlier = await self._attachments.before(key, rt)
        if self._strict and before is Before.COMPLETED and earlier is not None:
            require_same(earlier, record)
        if progress is not None:
            progress.before = before
            if before is not Before.COMPLETED:
                progress.key = key
                await self._attachments.begin(key, record, rt)

    async def _add(
        self,
        chain: Chain,
        plugin: NetworkConfig,
        executable: str | None,
        prev_result: Result | None,
        args: BuiltArgs,
        rt: RuntimeConf,
        progress: Progress | None,
    ) -> Result:
        begun = False
        try:
            if executable is None:
                executable = await self._plugins.find(plugin.network.type)
            previous = None
            if prev_result is not None:
                previous = as_raw(_for_next_plugin(prev_result, chain))
            request = _request(plugin, chain, previous, rt)
            if progress is not None:
                progress.begun.append(plugin)
                begun = True
            result = await self._plugins.add(
                plugin.network.type, executable, request, args, chain.cni_version
            )
        except CNIError as error:
            if begun and progress and isinstance(error, PluginError) and not error.started:
                progress.begun.pop()  # it did nothing, and its DEL could not be started either
            error.in_context(_plugin_failed(chain, plugin, "add"))
            raise
        if progress is not None:
            progress.result = result
        return result

    async def undo(self, chain: Chain, rt: RuntimeConf, progress: Progress) -> None:
        """Take back an ADD that did not come to its end: DEL in reverse order, forget.

        Plugins that were not called have nothing to take back, and the first of them may be the
        one that is missing; after an earlier ADD that did not come to its end either, they may
        have. An attachment that an earlier ADD completed is left alone.
        """
        if progress.key is None:
            return
        plugins: Sequence[NetworkConfig] = progress.begun
        if progress.before is Before.UNFINISHED:
            if not plugins:
                return  # what there is, is the earlier ADD's, and so recorded still
            plugins = chain.plugins
        result: Result | None = None
        if progress.result is not None and greater_than_or_equal_to(chain.cni_version, "0.4.0"):
            result = _for_next_plugin(progress.result, chain)
        await self._run_del(chain, plugins, result, rt)
        await self._attachments.forget(progress.key, rt)

    async def check(self, chain: Chain, rt: RuntimeConf) -> None:
        """Check an attachment."""
        if not greater_than_or_equal_to(chain.cni_version, "0.4.0"):
            raise CheckNotSupportedError(chain.cni_version)
        validate_args(rt.args)
        try:
            result = await self._attachments.result(chain.name, chain.cni_version, rt)
        except CNIError as error:
            error.in_context(f"failed to get network {quote(chain.name)} cached result: ")
            raise
        if result is None and self._strict:
            raise CacheError(
                f"failed to get network {quote(chain.name)} cached result: no record of "
                f"{rt.container_id} {rt.ifname}"
            )
        args = self._args("CHECK", rt)
        previous = None if result is None else as_raw(result)
        for plugin in chain.plugins:
            await self._run(args, plugin, chain, previous, rt)

    async def delete(self, chain: Chain, rt: RuntimeConf) -> None:
        """Detach a container, with what ADD was given where the caller leaves it out."""
        has_prev_result = greater_than_or_equal_to(chain.cni_version, "0.4.0")
        key = attachment_key(chain.name, rt)
        version = chain.cni_version if has_prev_result else None
        added = await self._attachments.recall(key, rt, version=version)
        if added.error is not None:
            lost = "prevResult" if has_prev_result else "what its ADD was given"
            _log.warning("DEL of %s goes on without %s: %s", key.file_name, lost, added.error)
        await self._run_del(chain, chain.plugins, added.result, added.rt)
        try:
            await self._attachments.forget(key, rt)
        except CacheError as error:
            # libcni ignores it too: what was asked for is done.
            _log.warning("the record %s stays after its DEL: %s", key.file_name, error)

    async def _run_del(
        self,
        chain: Chain,
        plugins: Sequence[NetworkConfig],
        prev_result: Result | None,
        rt: RuntimeConf,
    ) -> None:
        args = self._args("DEL", rt, netns=await self._plugins.namespace_for_del(rt.netns))
        previous: msgspec.Raw | None = None
        for plugin in reversed(plugins):
            try:
                if prev_result is not None and previous is None:
                    previous = as_raw(prev_result)
                await self._run(args, plugin, chain, previous, rt)
            except CNIError as error:
                error.in_context(_plugin_failed(chain, plugin, "delete"))
                raise

    async def _run(
        self,
        args: BuiltArgs,
        plugin: NetworkConfig,
        chain: Chain,
        prev_result: msgspec.Raw | None,
        rt: RuntimeConf,
    ) -> None:
        executable = await self._plugins.find(plugin.network.type)
        request = _request(plugin, chain, prev_result, rt)
        await self._plugins.run(plugin.network.type, executable, request, args)

    def _args(self, command: str, rt: RuntimeConf, *, netns: str | None = None) -> BuiltArgs:
        args = Args(
            command=command,
            container_id=rt.container_id,
            netns=rt.netns if netns is None else netns,
            ifname=rt.ifname,
            args=rt.args,
            path=self._plugins.path,
        )
        return BuiltArgs.of(args)

    async def status(self, net: NetworkConfigList) -> None:
        """Ask whether a network is ready."""
        _arguments.require(net, NetworkConfigList, "net")
        if not at_least_1_1(net.cni_version):
            return
        for plugin in net.plugins:
            try:
                request = request_config(plugin, net.name, net.cni_version)
            except CNIError as error:
                name = plugin.network.type
                error.in_context(f"failed to generate configuration to get plugin STATUS {name}: ")
                raise
            await self.run_networkwide("STATUS", plugin, request)

    async def run_networkwide(self, command: str, plugin: NetworkConfig, request: bytes) -> None:
        """Call a plugin with a command that is about no attachment."""
        executable = await self._plugins.find(plugin.network.type)
        args = BuiltArgs.of(Args(command=command, path=self._plugins.path))
        await self._plugins.run(plugin.network.type, executable, request, args)


def _validate_add(chain: Chain, rt: RuntimeConf) -> AttachmentKey:
    """Refuse, before any plugin runs, what could only fail after one has."""
    validate_container_id(rt.container_id)
    validate_network_name(chain.name)
    validate_interface_name(rt.ifname)
    validate_args(rt.args)
    if chain.cni_version and chain.cni_version not in ALL.supported_versions:
        raise ResultError(f"unsupported CNI result version {quote(chain.cni_version)}")
    return AttachmentKey(chain.name, rt.container_id, rt.ifname)


def _request(
    plugin: NetworkConfig, chain: Chain, prev_result: msgspec.Raw | None, rt: RuntimeConf
) -> bytes:
    return request_config(
        plugin,
        chain.name,
        chain.cni_version,
        prev_result=prev_result,
        capability_args=rt.capability_args,
    )


def _for_next_plugin(result: Result, chain: Chain) -> Result:
    """Return what the next plugin gets of a result.

    A plugin may answer in another version than it was asked in, and the next one is only sure to
    understand the network's. What that version cannot hold (0.2.0 an answer without an address)
    is handed on as it is, as libcni hands on everything.
    """
    try:
        return result.get_as_version(chain.cni_version)
    except ResultError:
        return result


def _plugin_failed(chain: Chain, plugin: NetworkConfig, what: str) -> str:
    """Return libcni's words for a plugin that failed within a list."""
    if not chain.is_list:
        return ""
    description = f"type={quote(plugin.network.type)}"
    if plugin.network.name:
        description += f" name={quote(plugin.network.name)}"
    return f"plugin {description} failed ({what}): "


def at_least_1_1(cni_version: str) -> bool:
    """Tell whether a network's plugins have GC and STATUS."""
    # libcni takes what it cannot parse for an old version here.
    try:
        return greater_than_or_equal_to(cni_version, "1.1.0")
    except VersionError:
        return False

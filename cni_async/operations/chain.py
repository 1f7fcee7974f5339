"""The plugins of a network, run one after the other for an attachment."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

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
from cni_async.invoke.caller import Plugin, PluginCaller
from cni_async.invoke.environ import validate_args, validate_environ
from cni_async.model.attachment import AttachmentKey
from cni_async.model.runtime import RuntimeConf
from cni_async.types import Result, create_result
from cni_async.version import greater_than_or_equal_to

from .operation import Operation
from .request import as_raw, request_config

_log = logging.getLogger(__name__)


class Progress:
    """How far an ADD has come, for the DEL that may have to undo it.

    Attributes:
        key: the attachment; `None` while there is nothing to undo.
        begun: the plugins that were called, in order.
        result: the result of the last plugin that succeeded.
        before: the state of the attachment's record before the ADD.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.key: AttachmentKey | None = None
        self.begun: list[NetworkConfig] = []
        self.result: Result | None = None
        self.before = Before.NOTHING


class Chains:
    """Runs the plugins of operations; `order` prevents the overlaps that the spec forbids."""

    def __init__(self, plugins: PluginCaller, attachments: Attachments, *, strict: bool) -> None:
        """Set what all operations share.

        Args:
            plugins: finds and calls plugins.
            attachments: the records.
            strict: CHECK refuses an attachment that is not in the cache; ADD refuses one that is in
                the cache as attached in another way.
        """
        self._plugins = plugins
        self._attachments = attachments
        self._strict = strict

    def within(self, attachments: Attachments) -> Chains:
        """Return chains like these whose records are others."""
        return Chains(self._plugins, attachments, strict=self._strict)

    async def add(self, op: Operation, progress: Progress | None = None) -> Result:
        """Attach a container.

        Args:
            op: the operation.
            progress: receives the ADD's progress. If given, the attachment is also recorded before
                the first plugin runs.
        """
        if not op.plugins:
            key = op.key_for_add()
            record = new_record(key, op.raw, op.rt)
            await self._prepare(key, record, op.rt, None)
            await self._attachments.remember(key, record, op.rt, None)
            # No plugin returned a result. The cache answers with this one for such a record.
            return create_result("", b"{}").get_as_version(op.cni_version)
        first = op.plugins[0]
        try:
            # libcni looks for the plugin first, so a missing plugin hides a wrong ID.
            found = await self._plugins.find(first.network.type)
            key = op.key_for_add()
            environ = op.environ("ADD", self._plugins.path)
            validate_environ(environ)
        except CNIError as error:
            error.in_context(op.plugin_failed(first, "add"))
            raise
        record = new_record(key, op.raw, op.rt)
        await self._prepare(key, record, op.rt, progress)
        result = await self._add(op, first, found, None, environ, progress)
        for plugin in op.plugins[1:]:
            result = await self._add(op, plugin, None, result, environ, progress)
        await self._attachments.remember(key, record, op.rt, result)
        return result

    async def _prepare(
        self, key: AttachmentKey, record: Record, rt: RuntimeConf, progress: Progress | None
    ) -> None:
        """Check and write the record before the first plugin runs."""
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
                await self._attachments.remember(key, record, rt, None)

    async def _add(
        self,
        op: Operation,
        plugin: NetworkConfig,
        found: Plugin | None,
        prev_result: Result | None,
        environ: Mapping[str, str],
        progress: Progress | None,
    ) -> Result:
        begun = False
        try:
            found = found or await self._plugins.find(plugin.network.type)
            previous = None
            if prev_result is not None:
                previous = as_raw(_in_version(prev_result, op.cni_version))
            request = op.request(plugin, previous)
            if progress is not None:
                progress.begun.append(plugin)
                begun = True
            result = await found.add(request, environ, op.cni_version)
        except CNIError as error:
            if begun and progress and isinstance(error, PluginError) and not error.started:
                progress.begun.pop()  # the plugin did nothing, and its DEL could not start
            error.in_context(op.plugin_failed(plugin, "add"))
            raise
        if progress is not None:
            progress.result = result
        return result

    async def undo(self, op: Operation, progress: Progress) -> None:
        """Undo an ADD that did not end: DEL in reverse order, then remove the record.

        Plugins that were not called have nothing to undo, and the first of them may be missing.
        If an earlier ADD did not end either, all plugins may have something to undo. An attachment
        that an earlier ADD completed is left alone.
        """
        if progress.key is None:
            return
        plugins: Sequence[NetworkConfig] = progress.begun
        if progress.before is Before.UNFINISHED:
            if not plugins:
                return  # only the earlier ADD left something, and its record stays
            plugins = op.plugins
        result: Result | None = None
        if progress.result is not None and op.passes_prev_result:
            result = _in_version(progress.result, op.cni_version)
        await self._run_del(op, plugins, result)
        await self._attachments.forget(progress.key, op.rt)

    async def check(self, op: Operation) -> None:
        """Check an attachment."""
        if not op.passes_prev_result:
            raise CheckNotSupportedError(op.cni_version)
        validate_args(op.rt.args)
        try:
            result = await self._attachments.result(op.network, op.cni_version, op.rt)
        except CNIError as error:
            error.in_context(f"failed to get network {quote(op.network)} cached result: ")
            raise
        if result is None and self._strict:
            raise CacheError(
                f"failed to get network {quote(op.network)} cached result: no record of "
                f"{op.rt.container_id} {op.rt.ifname}"
            )
        environ = op.environ("CHECK", self._plugins.path)
        previous = None if result is None else as_raw(result)
        for plugin in op.plugins:
            found = await self._plugins.find(plugin.network.type)
            await found.run(op.request(plugin, previous), environ)

    async def delete(self, op: Operation) -> None:
        """Detach a container, with the args of its ADD where the caller's are empty."""
        version = op.cni_version if op.passes_prev_result else None
        key = op.key
        added = await self._attachments.recall(key, op.rt, version=version)
        if added.error is not None:
            lost = "prevResult" if op.passes_prev_result else "what its ADD was given"
            _log.warning("DEL of %s goes on without %s: %s", key.file_name, lost, added.error)
        op = msgspec.structs.replace(op, rt=added.rt)
        await self._run_del(op, op.plugins, added.result)
        try:
            await self._attachments.forget(key, op.rt)
        except CacheError as error:
            # libcni ignores this error too: the container is detached.
            _log.warning("the record %s stays after its DEL: %s", key.file_name, error)

    async def _run_del(
        self, op: Operation, plugins: Sequence[NetworkConfig], prev_result: Result | None
    ) -> None:
        netns = await self._plugins.namespace_for_del(op.rt.netns)
        environ = op.environ("DEL", self._plugins.path, netns=netns)
        previous: msgspec.Raw | None = None
        for plugin in reversed(plugins):
            try:
                if prev_result is not None and previous is None:
                    previous = as_raw(prev_result)
                found = await self._plugins.find(plugin.network.type)
                await found.run(op.request(plugin, previous), environ)
            except CNIError as error:
                error.in_context(op.plugin_failed(plugin, "delete"))
                raise

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
        """Call a plugin with a command that does not name an attachment."""
        found = await self._plugins.find(plugin.network.type)
        await found.run(request, Args(command=command, path=self._plugins.path).as_env())


def _in_version(result: Result, cni_version: str) -> Result:
    """Return a result as another plugin of the network receives it.

    A plugin may answer in another version than that of its request, and the next plugin is only
    sure to understand the network's version. A result that this version cannot hold (0.2.0 cannot
    hold one without an address) is passed on unchanged, as libcni passes on everything.
    """
    try:
        return result.get_as_version(cni_version)
    except ResultError:
        return result


def at_least_1_1(cni_version: str) -> bool:
    """Return whether a network's plugins have GC and STATUS."""
    # libcni treats a version that it cannot parse as an old one here.
    try:
        return greater_than_or_equal_to(cni_version, "1.1.0")
    except VersionError:
        return False

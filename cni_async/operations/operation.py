"""A network and a runtime configuration: what an ADD, a CHECK or a DEL is about."""

from __future__ import annotations

from types import UnionType
from typing import Self

import msgspec

from cni_async import _arguments
from cni_async.conf import NetworkConfig, NetworkConfigList
from cni_async.errors import ResultError
from cni_async.go.quote import quote
from cni_async.invoke import Args
from cni_async.invoke.environ import validate_args
from cni_async.model.attachment import AttachmentKey, attachment_key
from cni_async.model.runtime import RuntimeConf
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name
from cni_async.version import ALL, greater_than_or_equal_to

from .request import request_config


class Operation(msgspec.Struct, frozen=True):
    """A network, or a single plugin, and a runtime configuration.

    Attributes:
        network: the network's name.
        cni_version: the network's; the versions that its plugins state do not count.
        plugins: in the order of ADD.
        raw: the bytes of the configuration, which the cache keeps.
        is_list: whether errors name the plugin, as libcni's do for a list only.
        rt: the runtime configuration.
    """

    network: str
    cni_version: str
    plugins: tuple[NetworkConfig, ...]
    raw: bytes
    is_list: bool
    rt: RuntimeConf

    @classmethod
    def of(cls, net: NetworkConfigList | NetworkConfig, rt: RuntimeConf) -> Self:
        """Make the operation on a network."""
        if isinstance(net, NetworkConfigList):
            return cls(net.name, net.cni_version, tuple(net.plugins), net.raw, True, rt)
        return cls(net.network.name, net.network.cni_version, (net,), net.raw, False, rt)

    @classmethod
    def checked(
        cls, kind: type | UnionType, net: NetworkConfigList | NetworkConfig, rt: RuntimeConf
    ) -> Self:
        """Make the operation from the arguments of a public method.

        Raises:
            TypeError: `net` is not of `kind`, or `rt` is not a `RuntimeConf`.
        """
        _arguments.require(net, kind, "net")
        _arguments.require(rt, RuntimeConf, "rt")
        return cls.of(net, rt)

    @property
    def key(self) -> AttachmentKey:
        """The attachment.

        Raises:
            CacheError: a part of its name is empty.
            InvalidIdentifierError: a part of its name has wrong characters.
        """
        return attachment_key(self.network, self.rt)

    @property
    def passes_prev_result(self) -> bool:
        """Whether CHECK and DEL of this version pass a prevResult to plugins."""
        return greater_than_or_equal_to(self.cni_version, "0.4.0")

    def key_for_add(self) -> AttachmentKey:
        """Return the attachment; refuse now what would fail only after a plugin has run.

        Raises:
            InvalidIdentifierError, ArgsError, ResultError: ADD cannot succeed.
        """
        rt = self.rt
        validate_container_id(rt.container_id)
        validate_network_name(self.network)
        validate_interface_name(rt.ifname)
        validate_args(rt.args)
        if self.cni_version and self.cni_version not in ALL.supported_versions:
            raise ResultError(f"unsupported CNI result version {quote(self.cni_version)}")
        return AttachmentKey(self.network, rt.container_id, rt.ifname)

    def environ(
        self, command: str, path: tuple[str, ...], *, netns: str | None = None
    ) -> dict[str, str]:
        """Return the environment of all plugins.

        Args:
            command: ADD, CHECK or DEL.
            path: directories with plugins, for those that delegate.
            netns: replaces the runtime configuration's.
        """
        rt = self.rt
        return Args(
            command=command,
            container_id=rt.container_id,
            netns=rt.netns if netns is None else netns,
            ifname=rt.ifname,
            args=rt.args,
            path=path,
        ).as_env()

    def request(self, plugin: NetworkConfig, prev_result: msgspec.Raw | None) -> bytes:
        """Return what a plugin reads on stdin.

        Raises:
            ConfigError, ArgsError: it cannot be written as JSON.
        """
        return request_config(
            plugin,
            self.network,
            self.cni_version,
            prev_result=prev_result,
            capability_args=self.rt.capability_args,
        )

    def plugin_failed(self, plugin: NetworkConfig, what: str) -> str:
        """Return libcni's words before the error of a plugin in a list."""
        if not self.is_list:
            return ""
        description = f"type={quote(plugin.network.type)}"
        if plugin.network.name:
            description += f" name={quote(plugin.network.name)}"
        return f"plugin {description} failed ({what}): "

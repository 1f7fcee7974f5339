"""The `CNI` protocol: libcni's interface, for code that wraps or replaces `CNIConfig`."""

from typing import Protocol

from .cache import CachedConfig, NetworkAttachment
from .conf import NetworkConfig, NetworkConfigList
from .model.runtime import GCArgs, RuntimeConf
from .types import Result
from .version import PluginInfo


class CNI(Protocol):
    """The methods of libcni's interface of the same name; `CNIConfig` documents them."""

    async def add_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> Result:
        """Attach a container to a network (AddNetworkList)."""
        ...

    async def check_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Check that an attachment is as ADD left it (CheckNetworkList)."""
        ...

    async def del_network_list(self, net: NetworkConfigList, rt: RuntimeConf) -> None:
        """Detach a container from a network (DelNetworkList)."""
        ...

    async def get_network_list_cached_result(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> Result | None:
        """Return ADD's result (GetNetworkListCachedResult)."""
        ...

    async def get_network_list_cached_config(
        self, net: NetworkConfigList, rt: RuntimeConf
    ) -> CachedConfig | None:
        """Return the configuration of an ADD (GetNetworkListCachedConfig)."""
        ...

    async def add_network(self, net: NetworkConfig, rt: RuntimeConf) -> Result:
        """Attach a container with a single plugin (AddNetwork)."""
        ...

    async def check_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Check an attachment of a single plugin (CheckNetwork)."""
        ...

    async def del_network(self, net: NetworkConfig, rt: RuntimeConf) -> None:
        """Detach a container with a single plugin (DelNetwork)."""
        ...

    async def get_network_cached_result(self, net: NetworkConfig, rt: RuntimeConf) -> Result | None:
        """Return ADD's result (GetNetworkCachedResult)."""
        ...

    async def get_network_cached_config(
        self, net: NetworkConfig, rt: RuntimeConf
    ) -> CachedConfig | None:
        """Return the configuration of an ADD (GetNetworkCachedConfig)."""
        ...

    async def validate_network_list(self, net: NetworkConfigList) -> list[str]:
        """Check that a network's plugins exist and support its version (ValidateNetworkList)."""
        ...

    async def validate_network(self, net: NetworkConfig) -> list[str]:
        """Check that a plugin exists and supports its configuration's version."""
        ...

    async def gc_network_list(self, net: NetworkConfigList, args: GCArgs | None) -> None:
        """Free what no valid attachment uses (GCNetworkList)."""
        ...

    async def get_status_network_list(self, net: NetworkConfigList) -> None:
        """Ask whether a network is ready for ADD (GetStatusNetworkList)."""
        ...

    async def get_cached_attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """List attachments (GetCachedAttachments)."""
        ...

    async def get_version_info(self, plugin_type: str) -> PluginInfo:
        """Ask a plugin for the versions it supports (GetVersionInfo)."""
        ...

"""The keys of a plugin's configuration that libcni reads (types.NetConf)."""

from typing import Any

import msgspec

from cni_async import _arguments
from cni_async.errors import ConfigError
from cni_async.go import json as go_json

from .common import DNS, Result


class IPAM(msgspec.Struct):
    """The part of the IPAM section that libcni reads (types.IPAM).

    Attributes:
        type: the executable of the IPAM plugin.
    """

    type: str = ""


class GCAttachment(msgspec.Struct, frozen=True):
    """An attachment that GC keeps (types.GCAttachment).

    Attributes:
        container_id: CNI_CONTAINERID of its ADD.
        ifname: CNI_IFNAME of its ADD.

    Raises:
        TypeError: an attribute is not a string.
    """

    container_id: str = msgspec.field(name="containerID")
    ifname: str

    def __post_init__(self) -> None:
        _arguments.require_text(self.container_id, "container_id")
        _arguments.require_text(self.ifname, "ifname")


class NetConf(
    msgspec.Struct,
    rename={
        "cni_version": "cniVersion",
        "raw_prev_result": "prevResult",
        "prev_result": "",  # not read from documents: without a hook msgspec refuses it
        "valid_attachments": "cni.dev/valid-attachments",
    },
):
    """The part of a plugin's configuration that libcni reads (types.NetConf).

    Attributes:
        cni_version: the CNI version of the plugin's request and result.
        name: name of the network.
        type: the plugin's executable.
        capabilities: whether the plugin accepts a capability arg, by the arg's name.
        ipam: the IPAM section.
        dns: the DNS settings.
        raw_prev_result: the result of the previous plugin, as decoded JSON.
        prev_result: the same result parsed by `parse_prev_result`; `to_json` leaves it out.
        valid_attachments: the attachments that GC keeps.
    """

    cni_version: str = ""
    name: str = ""
    type: str = ""
    capabilities: dict[str, bool] = {}
    ipam: IPAM = msgspec.field(default_factory=IPAM)
    dns: DNS = msgspec.field(default_factory=DNS)
    raw_prev_result: dict[str, Any] | None = None
    prev_result: Result | None = None
    valid_attachments: tuple[GCAttachment, ...] | None = None

    def to_json(self, indent: int | None = None) -> str:
        """Return it as JSON; like libcni v1.2.3, with ipam and dns even if they are empty.

        Args:
            indent: spaces per level; `None` means one line.

        Raises:
            ConfigError: a value cannot be encoded as JSON.
        """
        wire: dict[str, Any] = {
            "cniVersion": self.cni_version,
            "name": self.name,
            "type": self.type,
            "capabilities": dict(sorted(self.capabilities.items())),
            "ipam": {"type": self.ipam.type} if self.ipam.type else {},
            "dns": self.dns,
            "prevResult": self.raw_prev_result,
            "cni.dev/valid-attachments": self.valid_attachments,
        }
        wire = {key: value for key, value in wire.items() if value or key in {"ipam", "dns"}}
        try:
            if self.raw_prev_result:
                # Go sorts the keys of maps only.
                wire["prevResult"] = msgspec.Raw(go_json.dumps(self.raw_prev_result))
            data = msgspec.json.encode(wire)
        except ValueError as error:
            raise ConfigError(f"cannot write network configuration: {error}") from None
        return (data if indent is None else go_json.indent(data, indent)).decode()


# libcni's name for it since v1.3.0.
PluginConf = NetConf

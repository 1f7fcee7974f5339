"""Which attachment it is, and what the cache knows of it."""

from __future__ import annotations

from typing import Any

import msgspec

from cni_async.errors import CacheError
from cni_async.go.quote import quote
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name

from .runtime import RuntimeConf


class AttachmentKey(msgspec.Struct, frozen=True):
    """What identifies an attachment: an interface of a container in a network."""

    network: str
    container_id: str
    ifname: str

    @property
    def file_name(self) -> str:
        """The record's file name; libcni's, and ambiguous: ``a-b`` + ``c`` is ``a`` + ``b-c``."""
        return f"{self.network}-{self.container_id}-{self.ifname}"


def attachment_key(network: str, rt: RuntimeConf) -> AttachmentKey:
    """Name the attachment that an operation is about.

    Its parts become a file name, so what could leave the directory is refused.

    Raises:
        CacheError: a part is empty.
        InvalidIdentifierError: a part has wrong characters.
    """
    if not (network and rt.container_id and rt.ifname):
        raise CacheError(
            f"cache file path requires network name ({quote(network)}), container ID "
            f"({quote(rt.container_id)}), and interface name ({quote(rt.ifname)})"
        )
    validate_container_id(rt.container_id)
    validate_network_name(network)
    validate_interface_name(rt.ifname)
    return AttachmentKey(network, rt.container_id, rt.ifname)


class CachedConfig(msgspec.Struct, frozen=True):
    """The network configuration and the runtime configuration of an ADD, from the cache.

    Attributes:
        config: the bytes of the network configuration; empty if the record has none.
        runtime: the caller's `RuntimeConf` with the args and capability args of the ADD, and with
            its network namespace where the caller's names none.
    """

    config: bytes
    runtime: RuntimeConf


class _Attachment(msgspec.Struct, frozen=True, gc=False):
    """The part of `NetworkAttachment` that can be given by position."""

    container_id: str
    network: str
    ifname: str


# gc=False: they hold JSON values only, no cycles, and there are tens of thousands at a time.
class NetworkAttachment(_Attachment, frozen=True, gc=False, kw_only=True):
    """An attachment as the cache knows it (libcni.NetworkAttachment).

    All but the first three are given by keyword.

    Attributes:
        container_id, network, ifname: which one.
        config: the network configuration that it was added with, as it was loaded.
        netns: path of the network namespace that it was added in; empty if that is unknown.
        cni_args, capability_args: what it was added with.
        completed: False if the record has no result: the ADD, or the process that called it, did
            not come to its end.
    """

    config: bytes | None = None
    netns: str = ""
    cni_args: tuple[tuple[str, str], ...] = ()
    capability_args: dict[str, Any] = {}
    completed: bool = True

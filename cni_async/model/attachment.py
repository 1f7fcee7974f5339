"""Attachments: their keys, and their records as callers see them."""

from __future__ import annotations

from typing import Any

import msgspec

from cni_async.errors import CacheError
from cni_async.go.quote import quote
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name

from .runtime import RuntimeConf


class AttachmentKey(msgspec.Struct, frozen=True):
    """The identity of an attachment: an interface of a container in a network."""

    network: str
    container_id: str
    ifname: str

    @property
    def file_name(self) -> str:
        """The record's file name in libcni. It is ambiguous: ``a-b``, ``c`` or ``a``, ``b-c``."""
        return f"{self.network}-{self.container_id}-{self.ifname}"


def attachment_key(network: str, rt: RuntimeConf) -> AttachmentKey:
    """Return the key of the attachment that an operation is about.

    The parts become a file name, so a part that could leave the directory is refused.

    Raises:
        CacheError: a part is empty.
        InvalidIdentifierError: a part has invalid characters.
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
        runtime: the caller's `RuntimeConf` with the ADD's capability args, its args if it had
            any, and its network namespace if the caller's is empty.
    """

    config: bytes
    runtime: RuntimeConf


class _Attachment(msgspec.Struct, frozen=True, gc=False):
    """The part of `NetworkAttachment` that is passed by position."""

    container_id: str
    network: str
    ifname: str


# gc=False: a process may hold tens of thousands; they hold JSON values only, and no cycles.
class NetworkAttachment(_Attachment, frozen=True, gc=False, kw_only=True):
    """An attachment in the cache (libcni.NetworkAttachment).

    All but the first three are keyword-only.

    Attributes:
        container_id, network, ifname: the attachment's key.
        config: bytes of the network configuration of the ADD, as loaded.
        netns: path of the network namespace of the ADD; empty if that is unknown.
        cni_args, capability_args: those of the ADD.
        completed: whether the record has a result. It has none while the ADD runs, or if the ADD
            ran no plugin or its process died.
    """

    config: bytes | None = None
    netns: str = ""
    cni_args: tuple[tuple[str, str], ...] = ()
    capability_args: dict[str, Any] = {}
    completed: bool = True

"""The runtime configuration of an attachment, and the arguments of garbage collection."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from cni_async import _arguments
from cni_async.types import GCAttachment


class _Attachment(msgspec.Struct, frozen=True):
    """The part of `RuntimeConf` that is passed by position."""

    container_id: str
    netns: str = ""
    ifname: str = ""


class RuntimeConf(_Attachment, frozen=True, kw_only=True):
    """The runtime configuration of an attachment (libcni.RuntimeConf).

    All but the first three are keyword-only.

    Attributes:
        container_id: the container's ID.
        netns: path of the container's network namespace, e.g. /run/netns/blue; a string or
            path, stored as a string.
        ifname: name of the interface to make inside it, e.g. eth0.
        args: pairs for CNI_ARGS, in order; pairs or a mapping, stored as pairs. Empty on DEL means
            those of ADD.
        capability_args: values for the capabilities that plugins of the network declare, e.g.
            portMappings; JSON values or the structs of `cni_async.capabilities`. Empty on DEL
            means those of ADD.
        cache_dir: directory of the record if `CNIConfig` has no cache of its own (deprecated in
            libcni); a string or path, stored as a string. `None` means the default.

    Raises:
        TypeError: a value has the wrong type.
    """

    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = {}
    cache_dir: str | None = None

    if TYPE_CHECKING:  # accepts more types than are stored

        def __init__(
            self,
            container_id: str,
            netns: str | os.PathLike[str] = "",
            ifname: str = "",
            *,
            args: Mapping[str, str] | Iterable[tuple[str, str]] = (),
            capability_args: Mapping[str, Any] = {},
            cache_dir: str | os.PathLike[str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        _arguments.require_text(self.container_id, "container_id")
        _arguments.require_text(self.ifname, "ifname")
        if type(self.netns) is not str:
            force_setattr(self, "netns", _arguments.path(self.netns, "netns"))
        if self.args != ():
            # A generator can be read only once.
            force_setattr(self, "args", _arguments.pairs(self.args, "args"))
        _arguments.require(self.capability_args, Mapping, "capability_args")
        if self.cache_dir is not None:
            directory = _arguments.path(self.cache_dir, "cache_dir")
            force_setattr(self, "cache_dir", directory or None)


class GCArgs(msgspec.Struct, frozen=True):
    """The attachments that garbage collection keeps (libcni.GCArgs).

    Attributes:
        valid_attachments: the attachments that are in use; all others of the network are deleted.
            If it is empty, all are deleted.

    Raises:
        TypeError: an item is not a `GCAttachment`.
    """

    valid_attachments: tuple[GCAttachment, ...] = ()

    if TYPE_CHECKING:  # accepts more types than are stored

        def __init__(self, valid_attachments: Iterable[GCAttachment] = ()) -> None: ...

    def __post_init__(self) -> None:
        # An item of another type would match nothing, and the attachment it meant would be deleted.
        name = "valid_attachments"
        force_setattr(self, name, _arguments.instances(self.valid_attachments, GCAttachment, name))

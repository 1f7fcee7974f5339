"""What a runtime says about one attachment, and the request that a plugin gets from it."""

import logging
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import force_setattr

from . import _arguments, _json
from .conf import NetworkConfig
from .conf.inject import existing, give_way, network_from, to_plain
from .errors import ArgsError, ConfigError
from .types import GCAttachment, NetConf, Result

_log = logging.getLogger(__name__)

_RESERVED_PREFIX: Final = "cni.dev/"
# Bytes of a configuration. Longer ones are rare, and would be kept in memory.
_REMEMBERED: Final = 8 * 1024


class _Attachment(msgspec.Struct, frozen=True):
    """The part of `RuntimeConf` that can be given by position."""

    container_id: str
    netns: str = ""
    ifname: str = ""


class RuntimeConf(_Attachment, frozen=True, kw_only=True):
    """The runtime's side of an attachment (libcni.RuntimeConf).

    All but the first three are given by keyword.

    Attributes:
        container_id: the container's ID.
        netns: path of the container's network namespace, e.g. /run/netns/blue; a string or a
            path, and kept as a string.
        ifname: name of the interface to make inside it, e.g. eth0.
        args: pairs for CNI_ARGS, in order; pairs or a mapping, and kept as pairs. Empty on DEL for
            those of ADD.
        capability_args: values for the capabilities that plugins of the network declare, e.g.
            portMappings; JSON values or the structs of `cni_async.capabilities`. Empty on DEL for
            those of ADD.
        cache_dir: where to remember the attachment if `CNIConfig` has no cache of its own
            (deprecated in libcni); a string or a path, and kept as a string. None for the default.

    Raises:
        TypeError: a value is of another type.
    """

    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = {}
    cache_dir: str | None = None

    if TYPE_CHECKING:  # what may be given is more than what is kept

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
    """What garbage collection has to spare (libcni.GCArgs).

    Attributes:
        valid_attachments: the attachments that are in use; all others of the network are deleted,
            and every one if there are none.

    Raises:
        TypeError: one of them is no `GCAttachment`.
    """

    valid_attachments: tuple[GCAttachment, ...] = ()

    if TYPE_CHECKING:  # what may be given is more than what is kept

        def __init__(self, valid_attachments: Iterable[GCAttachment] = ()) -> None: ...

    def __post_init__(self) -> None:
        # What is something else would spare nothing, and what was meant would be deleted.
        name = "valid_attachments"
        force_setattr(self, name, _arguments.instances(self.valid_attachments, GCAttachment, name))


def request_config(
    plugin: NetworkConfig,
    name: str,
    cni_version: str,
    *,
    prev_result: msgspec.Raw | None = None,
    capability_args: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """Build what a plugin reads on stdin (CNI specification, "Deriving execution configuration").

    Args:
        plugin: its configuration.
        name: the network's name, which replaces the plugin's own.
        cni_version: likewise.
        prev_result: the result of the plugin before it, or of the whole chain on CHECK and DEL
            (see `as_raw`).
        capability_args: those that the plugin declares as capabilities become its runtimeConfig;
            None on GC and STATUS, which have none.
        extra: further keys (GC's valid attachments).

    Raises:
        ConfigError: the plugin's configuration is malformed.
        ArgsError: a capability arg is no JSON value.
    """
    raw = bytes(plugin.raw)  # a bytearray could not be looked up
    make = _common if len(raw) <= _REMEMBERED else _common.__wrapped__
    document, network = make(raw, name, cni_version, prev_result is not None)
    document = dict(document)
    if extra:
        document.update((key, to_plain(value, key)) for key, value in extra.items())
    if prev_result is not None:
        document["prevResult"] = prev_result
    elif network.raw_prev_result is not None:
        _log.warning(
            "plugin %s of network %s: the configuration itself holds a prevResult, "
            "which is the runtime's to set; it is passed on as libcni does",
            network.type,
            name,
        )
    runtime_config = {
        key: value
        for key, value in (capability_args or {}).items()
        if network.capabilities.get(key)
    }
    if runtime_config:
        give_way(document, ("runtimeConfig",))
        try:
            document["runtimeConfig"] = to_plain(runtime_config, "runtimeConfig")
        except ConfigError as error:
            raise ArgsError(str(error)) from error
    try:
        return _json.dumps(document)
    except _json.JSONError as error:
        raise ConfigError(str(error)) from None


@lru_cache(maxsize=256)
def _common(
    raw: bytes, name: str, cni_version: str, has_prev_result: bool
) -> tuple[_json.Object, NetConf]:
    """Build what all requests of a plugin have in common, and its decoded view; for reading only.

    It is what libcni makes of InjectConf twice for each call.
    """
    document = existing(raw)
    values = {"name": name, "cniVersion": cni_version}
    give_way(document, {*values, "prevResult"} if has_prev_result else values)
    _drop_reserved(document)
    document.update(values)
    # Of the bytes, which are what the plugin gets, and not of the decoded view.
    return document, network_from(document)


def as_raw(result: Result) -> msgspec.Raw:
    """Write a result for `request_config`.

    Raises:
        ResultError: it holds what JSON or plugins could not read.
    """
    return msgspec.Raw(result.to_json().encode())


def _drop_reserved(document: _json.Object) -> None:
    """Leave out what only the runtime may say, where the configuration says it."""
    for key in [key for key in document if _json.fold(key).startswith(_RESERVED_PREFIX)]:
        del document[key]

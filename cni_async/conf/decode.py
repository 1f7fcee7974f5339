"""Decode JSON objects into `NetConf`, as Go's encoding/json fills libcni's struct."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from cni_async.errors import ConfigError
from cni_async.go import json as go_json
from cni_async.go.decode import Decoder, FieldError
from cni_async.types.netconf import IPAM, GCAttachment, NetConf

PREFIX: Final = "error parsing configuration: "

_ARTICLES: Final = {"array": "an", "object": "an"}
_IPAM: Final = Decoder(IPAM)
# libcni's list holds no pointers, so null is an empty attachment.
_HOOKS: Final = {GCAttachment: Decoder(GCAttachment, sorts_keys=True).read}
_NETWORK: Final = Decoder(NetConf, _HOOKS, sorts_keys=True)


def network_from(document: Any) -> NetConf:
    """Read one plugin's configuration.

    Args:
        document: a decoded JSON document. The keys of a plain dict count in sorted order, as
            they do in libcni for the plugins of a list.

    Raises:
        ConfigError: a known key has a value of the wrong type, ``type`` is missing, or the
            document nests too deep.
    """
    try:
        network = _decode_fast(document) or _NETWORK.read(document)
    except FieldError as fault:
        raise ConfigError(f"{PREFIX}{_in_words(fault)}", key=fault.key) from None
    except go_json.JSONError as error:
        raise ConfigError(f"{PREFIX}{error}") from None
    if not network.type:
        raise ConfigError(f"{PREFIX}missing 'type'", key="type")
    return network


def _in_words(fault: FieldError) -> str:
    what = f'key "{fault.key}"' if fault.key else "the document"
    return f"{what} must be {_ARTICLES.get(fault.wanted, 'a')} {fault.wanted}, not {fault.found}"


def _decode_fast(document: Any) -> NetConf | None:
    """Read a plain dict whose keys all have the usual spelling; return `None` for others."""
    if not go_json.is_object(document) or "cni.dev/valid-attachments" in document:
        return None
    ipam = document.get("ipam")
    # In `dns`, msgspec refuses unknown keys, and so variants too.
    if _NETWORK.has_variants(document) or (
        ipam and go_json.is_object(ipam) and _IPAM.has_variants(ipam)
    ):
        return None
    try:
        return msgspec.convert(document, NetConf)
    except (msgspec.ValidationError, RecursionError):
        return None

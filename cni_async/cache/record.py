"""The cniCacheV1 record: the JSON in which libcni keeps an attachment."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import normpath
from typing import Any, Final

import msgspec

from cni_async.conf.inject import to_plain
from cni_async.errors import (
    AlreadyAttachedError,
    ArgsError,
    CacheError,
    CNIError,
    ConfigError,
    CorruptRecordError,
    ForeignRecordError,
    ResultError,
    VersionError,
)
from cni_async.go import json as go_json
from cni_async.go.quote import as_written, quote
from cni_async.model.attachment import AttachmentKey, NetworkAttachment
from cni_async.model.runtime import RuntimeConf
from cni_async.types import Result, create_result_from_bytes
from cni_async.types._result import sorted_json
from cni_async.types.create import create_result_from_map

CNI_CACHE_V1: Final = "cniCacheV1"


class Record(
    msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """A record. Its fields are in libcni's order; those without a default are always written."""

    kind: str
    container_id: str = msgspec.field(name="containerId")
    config: bytes | None  # base64 in JSON, as Go's []byte
    ifname: str = msgspec.field(name="ifName")
    network: str = msgspec.field(name="networkName")
    netns: str = ""
    cni_args: Sequence[Sequence[str]] | msgspec.UnsetType = msgspec.field(
        name="cniArgs", default=msgspec.UNSET
    )
    capability_args: dict[str, Any] = msgspec.field(name="capabilityArgs", default={})
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def check_owner(self, key: AttachmentKey) -> None:
        """Check that the record is this attachment's: another may have the same file name.

        Raises:
            ForeignRecordError: the record is another attachment's.
            CorruptRecordError: the attachment that the record names has another file name.
        """
        mine = (key.network, key.container_id, as_written(key.ifname))
        theirs = (self.network, self.container_id, self.ifname)
        # libcni lists records that lack an ID, so an empty field matches.
        if not any(own and own != wanted for own, wanted in zip(theirs, mine, strict=True)):
            return
        network, container_id, ifname = map(quote, theirs)
        words = f"network {network}, container ID {container_id}, interface {ifname}"
        if AttachmentKey(*theirs).file_name != as_written(key.file_name):
            # No runtime writes that. A damaged record must not block its file name forever.
            raise CorruptRecordError(f"cache record {key.file_name} says of itself: {words}")
        raise ForeignRecordError(f"cache record {key.file_name} is of another attachment: {words}")

    @property
    def arg_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of CNI_ARGS. As in Go, longer entries are cut and shorter ones padded."""
        if not self.cni_args:
            return ()
        return tuple((pair[0], pair[1]) for pair in ([*one, "", ""] for one in self.cni_args))

    def attachment(self) -> NetworkAttachment:
        """Return the record as callers see it."""
        return NetworkAttachment(
            self.container_id,
            self.network,
            self.ifname,
            config=self.config,
            netns=self.namespace,
            cni_args=self.arg_pairs,
            capability_args=self.capability_args,
            completed=self.has_result,
        )

    @property
    def namespace(self) -> str:
        """The network namespace: the record's own, else that in its result.

        libcni before 1.2 did not record it. Without it plugins release an address in use.
        """
        if self.netns or self.result is msgspec.UNSET:
            return self.netns
        try:
            interfaces = _SANDBOXES.decode(self.result).interfaces
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ""
        # Only a path counts: the sandbox of a microVM's interface is the container's ID.
        inside = (
            one.sandbox
            for one in interfaces
            if one.name == self.ifname and one.sandbox.startswith("/")
        )
        return next(inside, "")

    @property
    def has_result(self) -> bool:
        """Whether the ADD returned a result; without one it may still run."""
        return self.result is not msgspec.UNSET


class _Interface(msgspec.Struct, gc=False):
    name: str = ""
    sandbox: str = ""


class _Sandboxes(msgspec.Struct, gc=False):
    """The interfaces and their sandboxes in a result of any version."""

    interfaces: list[_Interface] = []


_DECODER: Final = msgspec.json.Decoder(Record)
_SANDBOXES: Final = msgspec.json.Decoder(_Sandboxes)
# Go sorts the keys of maps only.
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_NO_JSON: Final = (TypeError, ValueError, OverflowError, RecursionError)
_TOO_DEEP: Final = "exceeded max depth"
_FIELDS: Final = msgspec.structs.fields(Record)
_KEYS: Final = {go_json.fold(field.encode_name): field.encode_name for field in _FIELDS}
# As in Go, null resets the value that an earlier key of this name set, except for strings.
_TEXTS: Final = frozenset(field.encode_name for field in _FIELDS if field.type is str)
_EMPTY: Final[dict[str, Any]] = {
    field.encode_name: "" if field.type is str else None for field in _FIELDS if field.required
}


def new_record(key: AttachmentKey, config: bytes, rt: RuntimeConf) -> Record:
    """Return the record of an attachment, without a result.

    Args:
        key: the attachment.
        config: the bytes of its network configuration.
        rt: the runtime configuration of the ADD.

    Raises:
        ArgsError: a capability arg is not a JSON value.
    """
    record = Record(
        kind=CNI_CACHE_V1,
        container_id=key.container_id,
        config=config or None,
        ifname=as_written(key.ifname),
        network=key.network,
        netns=as_written(rt.netns),
        cni_args=[(as_written(name), as_written(value)) for name, value in rt.args]
        or msgspec.UNSET,
    )
    if rt.capability_args:
        try:
            record.capability_args = to_plain(dict(rt.capability_args), "capabilityArgs")
        except ConfigError as error:
            raise _no_json(error) from error
    return record


def require_same(earlier: Record, record: Record) -> None:
    """Check that an ADD has the configuration and the namespace of an earlier one, if known.

    Raises:
        AlreadyAttachedError: one of them differs.
    """
    if earlier.namespace and normpath(earlier.namespace) != normpath(record.netns):
        what = f"in the network namespace {quote(earlier.namespace)}"
    elif earlier.config and not _is_same_document(earlier.config, record.config or b""):
        what = "with another configuration"
    else:
        return
    raise AlreadyAttachedError(
        f"container {record.container_id} is already attached to network {record.network} "
        f"as {record.ifname}, {what}: DEL it first",
        config=earlier.config or b"",
        netns=earlier.namespace,
    )


def _is_same_document(one: bytes, other: bytes) -> bool:
    """Return whether two configurations are equal as JSON, whatever their layout."""
    if one == other:
        return True
    try:
        # As bytes: in Python `True == 1`.
        return _ENCODER.encode(go_json.loads(one)) == _ENCODER.encode(go_json.loads(other))
    except (go_json.JSONError, RecursionError):
        return False


def encode_record(record: Record, result: Result | None) -> bytes:
    """Set the result of a record, and return the record as bytes.

    Args:
        record: a record from `new_record`.
        result: the last plugin's result; `None` if no plugin has returned one.

    Raises:
        ArgsError: a value of the runtime configuration cannot be encoded as JSON.
        ResultError: the result cannot be encoded.
    """
    # libcni holds the result as a map here, so all of its keys are sorted.
    record.result = msgspec.UNSET if result is None else msgspec.Raw(sorted_json(result))
    try:
        return _ENCODER.encode(record)
    except _NO_JSON as error:
        raise _no_json(error) from error


def _no_json(error: Exception) -> ArgsError:
    return ArgsError(f"no JSON can be made of the runtime configuration: {error}")


def decode_record(data: bytes) -> Record:
    """Decode a record that any program may have written.

    Returns:
        the record; its `kind` is empty if it has none (a cache from before libcni 0.8).

    Raises:
        CorruptRecordError: the record is not a JSON object, or a field has the wrong type.
    """
    try:
        record = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    else:
        # The decoder does not look into the result; its first byte shows its type.
        if record.result is msgspec.UNSET or memoryview(record.result)[0] in b"{n":
            return record
    # Go also accepts keys in any letter case, unknown keys, nulls and invalid UTF-8.
    try:
        return _decode_patiently(data)
    except go_json.JSONError as error:
        raise CorruptRecordError(str(error)) from None
    except RecursionError:
        raise CorruptRecordError(_TOO_DEEP) from None


def _decode_patiently(data: bytes) -> Record:
    document = go_json.loads_pairs(data)
    if document is None:  # an empty object in Go
        document = go_json.Pairs()
    if not isinstance(document, go_json.Pairs):
        found = go_json.kind(document)
        raise CorruptRecordError(f"the record is of type {found}, not object")
    fields = _EMPTY.copy()
    for name, value in go_json.fields(document, _KEYS):
        if value is not None:
            fields[name] = go_json.plain(value)
        elif name not in _TEXTS:
            fields.pop(name, None)
    fields.setdefault("config", None)
    if "result" in fields:
        if not go_json.is_object(fields["result"]):
            found = go_json.kind(fields["result"])
            raise CorruptRecordError(f"result is of type {found}, not object")
        fields["result"] = msgspec.Raw(go_json.dumps(fields["result"]))
    pairs = fields.get("cniArgs")
    if go_json.is_array(pairs):
        fields["cniArgs"] = [
            []
            if pair is None
            else ["" if text is None else text for text in pair]
            if go_json.is_array(pair)
            else pair
            for pair in pairs
        ]
    try:
        return msgspec.convert(fields, Record)
    except msgspec.ValidationError as error:
        raise CorruptRecordError(str(error)) from None


def read_config(data: bytes, key: AttachmentKey) -> Record:
    """Decode a record for its configuration (libcni's getCachedConfig).

    Raises:
        CorruptRecordError: the record is malformed or of another kind.
        ForeignRecordError: the record is another attachment's.
    """
    network = quote(key.network)
    try:
        record = decode_record(data)
    except CorruptRecordError as error:
        raise error.in_context(f"failed to unmarshal cached network {network} config: ") from None
    if record.kind != CNI_CACHE_V1:
        raise CorruptRecordError(
            f"read cached network {network} config has wrong kind: {record.kind}"
        )
    record.check_owner(key)
    return record


def read_result(data: bytes, key: AttachmentKey, cni_version: str) -> Result:
    """Return the result in a record, converted to a CNI version (libcni's getCachedResult).

    A record without a kind is a bare result, from before libcni 0.8.

    Raises:
        CorruptRecordError: the record holds no valid result.
        ForeignRecordError: the record is another attachment's.
        CacheError: the result cannot be converted.
    """
    result = _stored_result(data, key)
    try:
        return result.get_as_version(cni_version)
    except CNIError as error:
        raise CacheError(str(error)).in_context(
            f"failed to convert cached result to config version {quote(cni_version)}: "
        ) from error


def _stored_result(data: bytes, key: AttachmentKey) -> Result:
    record, reason = _decode_or_reason(data)
    try:
        if record is not None and record.kind == CNI_CACHE_V1:
            record.check_owner(key)
            # libcni leaves a missing result out, and reads it as an empty one.
            return create_result_from_map(bytes(record.result or b"null"))
        if _is_bare_result(data):
            return create_result_from_bytes(data)
    except (ResultError, VersionError) as error:
        raise CorruptRecordError(str(error)) from error
    except RecursionError:
        raise CorruptRecordError(_TOO_DEEP) from None
    if record is not None:
        reason = f"the record has wrong kind: {record.kind}" if record.kind else "it is empty"
    raise CorruptRecordError(f"no result in cache record {key.file_name}: {reason}")


def _decode_or_reason(data: bytes) -> tuple[Record | None, str]:
    try:
        return decode_record(data), ""
    except CorruptRecordError as error:
        return None, str(error)


def _is_bare_result(data: bytes) -> bool:
    """Return whether data may be a result without a record; malformed data may."""
    try:
        document = go_json.loads(data)
    except (go_json.JSONError, RecursionError):
        return True
    if not go_json.is_object(document):
        return document is not None
    return bool(document) and not dict(go_json.fields(document, {"kind": "kind"}))

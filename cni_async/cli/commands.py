"""The commands: what each does, and which answer it prints."""

import difflib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import anyio
import click

from cni_async import (
    CACHE_DIR,
    CNIConfig,
    CNIError,
    GCArgs,
    GCAttachment,
    NetworkAttachment,
    NetworkConfigList,
    PluginError,
    VersionError,
)
from cni_async.go.json import JSONError, loads
from cni_async.version import greater_than_or_equal_to

from . import options
from .answer import Added, Answer, as_json, message
from .group import command
from .options import Given
from .run import warn
from .text import visible

# Seconds for looking up what a failed add has left; a disk may be slow to answer.
_LOOK: Final = 10.0
_MOST_LISTED: Final = 20


async def _left_by_add(given: Given, cni: CNIConfig, error: Exception | None) -> str:
    """Return a text on what a failed ADD has left of its attachment, and how to delete that.

    The library has taken the ADD back, unless that failed: then its record stays, without a result.
    """
    failed = error is None or (isinstance(error, CNIError) and error.rollback_error is not None)
    if not failed and not isinstance(error, PluginError):
        return ""  # no plugin has changed anything
    try:
        container = given.container()
        found: list[NetworkAttachment] | None = None
        with anyio.move_on_after(_LOOK), suppress(CNIError):
            found = await cni.get_cached_attachments(container.container_id)
        ours = [
            one
            for one in found or ()
            if (one.network, one.container_id, one.ifname)
            == (given.net, container.container_id, given.ifname)
        ]
        if any(one.completed for one in ours):
            return _delete(given, "was attached before, which is left alone")
        if ours or (found is None and failed):
            return _delete(given, "is not taken back", "To do that")
    except OSError:
        pass  # a relative path and no working directory: nothing was added
    return ""


def _delete(given: Given, state: str, purpose: str = "To delete it") -> str:
    whose = f"{given.net}: {given.ifname} of {given.container().container_id}"
    return f"{whose} {state}. {purpose}:\n  {given.undo_line()}"


@command("add", *options.ATTACHMENT, options.CLEANUP_TIMEOUT, left=_left_by_add)
async def _add(given: Given, cni: CNIConfig) -> Answer:
    """Attach the namespace NETNS to the network NET.

    Prints the result of the plugins. After a failure or an interruption it takes back the steps
    before; if that fails, too, it prints the command that does it.
    """
    net = await given.network()
    result = await cni.add_network_list(net, given.container())
    done = _delete(given, "is attached")
    return Answer(result.to_json(indent=4), Added(net.name, result), done)


@command("check", *options.ATTACHMENT)
async def _check(given: Given, cni: CNIConfig) -> Answer:
    """Check that an attachment is as it was added."""
    net = await given.network()
    recorded = await _is_recorded(given, cni, net)
    await cni.check_network_list(net, given.container())
    if net.disable_check:
        return message(f"{net.name}: not checked, its configuration disables that")
    if not recorded:
        return message(f"{_no_record(given, net)}; its plugins find no fault")
    return message(f"{net.name}: {given.ifname} is as it was added")


@command("del", *options.ATTACHMENT)
async def _del(given: Given, cni: CNIConfig) -> Answer:
    """Detach the namespace NETNS from the network NET.

    Succeeds even if there is nothing to do; the namespace may be gone.
    """
    net = await given.network()
    recorded = await _is_recorded(given, cni, net)
    await cni.del_network_list(net, given.container())
    if not recorded:
        return message(f"{_no_record(given, net)}; its plugins were called anyway")
    return message(f"{net.name}: {given.ifname} is deleted")


async def _is_recorded(given: Given, cni: CNIConfig, net: NetworkConfigList) -> bool:
    """Return whether the cache has a record of the attachment, even a damaged one."""
    try:
        await given.find_cache()
    except OSError as error:
        warn(error)
    try:
        return await cni.get_network_list_cached_config(net, given.container()) is not None
    except CNIError:
        return True


def _no_record(given: Given, net: NetworkConfigList) -> str:
    whose = f"{given.container().container_id} {given.ifname}"
    return f"{net.name}: there is no record of {whose} in {given.cache_dir or CACHE_DIR}"


@command(
    "gc",
    options.NET,
    options.UNUSED_NETNS,
    options.KEEP,
    options.KEEP_UNKNOWN,
    options.KEEP_NONE,
    options.NETCONF_PATH,
    *options.PLUGINS,
    options.CACHE,
    options.LOCK_FILE,
    options.JSON,
)
async def _gc(given: Given, cni: CNIConfig) -> Answer:
    """Delete the attachments of the network NET, except those to keep.

    Name these with --keep, or use --all. Plugins, too, free what belongs to no kept attachment. If
    an attachment of --keep is not in the cache, nothing is deleted; --keep-unknown keeps an
    attachment that only plugins know. NETNS has no effect.
    """
    keep = given.keep + given.keep_unknown
    if bool(keep) == given.keep_none:
        raise click.UsageError("gc wants either --keep CONTAINER_ID/INTERFACE or --all")
    net = await given.network()
    await given.find_cache()
    if given.keep:
        attachments = await cni.get_cached_attachments()
        _refuse_unknown(given, [one for one in attachments if one.network == net.name])
    await cni.gc_network_list(net, GCArgs(keep) if keep else None)
    if net.disable_gc:
        return message(f"{net.name}: nothing is collected, its configuration disables that")
    kept = list(map(_key, keep))
    what = f"all but {_joined(kept)}" if kept else "everything"
    return message(f"{net.name}: {what} is collected")


def _refuse_unknown(given: Given, attachments: Sequence[NetworkAttachment]) -> None:
    """Refuse to collect if an attachment to keep is not one of the network's: it is misspelt.

    Raises:
        click.UsageError: an attachment to keep is unknown.
    """
    known = list(map(_key, attachments))
    unknown = [each for each in map(_key, given.keep) if each not in known]
    if not unknown:
        return
    where = given.cache_dir or CACHE_DIR
    lines = [f"network {given.net} has no {_joined(unknown)} in {where}; nothing is deleted."]
    alike = [name for each in unknown for name in difflib.get_close_matches(each, known, n=1)]
    if alike:
        lines.append(f"Did you mean {_joined(alike)}?")
    more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
    lines.append(
        f"It has: {_joined(known[:_MOST_LISTED])}{more}." if known else "It has none at all."
    )
    lines.append("To keep what is not in the cache: --keep-unknown.")
    raise click.UsageError(visible("\n".join(lines), keep="\n"))


def _key(one: GCAttachment | NetworkAttachment) -> str:
    return f"{one.container_id}/{one.ifname}"


@command(
    "status",
    options.NET,
    options.UNUSED_NETNS,
    options.NETCONF_PATH,
    *options.PLUGINS,
    options.JSON,
)
async def _status(given: Given, cni: CNIConfig) -> Answer:
    """Ask the plugins of the network NET whether they are ready.

    NETNS has no effect.
    """
    net = await given.network()
    await cni.get_status_network_list(net)
    asked = False
    with suppress(VersionError):  # it counts as an old version, as in the library
        asked = greater_than_or_equal_to(net.cni_version, "1.1.0")
    if not asked:
        return message(f"{net.name}: not asked, CNI {_version(net)} has no STATUS")
    return message(f"{net.name}: ready")


@command("validate", options.NET, options.NETCONF_PATH, *options.PLUGINS, options.JSON)
async def _validate(given: Given, cni: CNIConfig) -> Answer:
    """Check that the plugins of the network NET can be used."""
    net = await given.network()
    capabilities = await cni.validate_network_list(net)
    plugins = [plugin.network.type for plugin in net.plugins]
    answer = {
        "name": net.name,
        "cniVersion": _version(net),
        "plugins": plugins,
        "capabilities": capabilities,
    }
    text = f"{net.name}: CNI {_version(net)}, plugins {_joined(plugins)}"
    if capabilities:
        text += f", capabilities {_joined(capabilities)}"
    return Answer(as_json(answer), text)


@command("version", options.PLUGIN_TYPE, *options.PLUGINS, options.JSON)
async def _plugin_version(given: Given, cni: CNIConfig) -> Answer:
    """Ask the plugin TYPE which CNI versions it supports."""
    info = await cni.get_version_info(given.plugin_type)
    versions = list(info.supported_versions)
    answer = {"cniVersion": info.cni_version, "supportedVersions": versions}
    return Answer(as_json(answer), f"{given.plugin_type}: CNI {_joined(versions)}")


@command("attachments", options.CONTAINER, options.CACHE, options.BACKEND, options.JSON)
async def _attachments(given: Given, cni: CNIConfig) -> Answer:
    """List the attachments of a container, or all of them.

    An attachment is unfinished while its add runs, or if its add was killed.
    """
    await given.find_cache()
    attachments = await cni.get_cached_attachments(given.container_id or "")
    return Answer(as_json([_fields(one) for one in attachments]), attachments)


def _fields(attachment: NetworkAttachment) -> dict[str, Any]:
    """Return a record's fields, by their names in the record."""
    try:
        config = loads(attachment.config or b"null")
    except JSONError:
        config = None  # it cannot be read, but the other fields still help
    return {
        "containerId": attachment.container_id,
        "networkName": attachment.network,
        "ifName": attachment.ifname,
        "netns": attachment.netns,
        "cniArgs": attachment.cni_args,
        "capabilityArgs": attachment.capability_args,
        "completed": attachment.completed,
        "config": config,
    }


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words)


def _version(net: NetworkConfigList) -> str:
    return net.cni_version or "0.1.0"

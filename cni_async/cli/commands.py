"""The commands: what each does, and what it answers."""

import inspect
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias

import click

from cni_async import CNIConfig, GCArgs, NetworkAttachment, NetworkConfigList, VersionError
from cni_async._json import JSONError, loads
from cni_async.version import greater_than_or_equal_to

from . import options
from .options import Given
from .run import Added, Answer, PluginStderr, run

Work: TypeAlias = Callable[[Given, CNIConfig], Awaitable[Answer]]


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cni-async", message="%(prog)s %(version)s")
def cli() -> None:
    """Put network namespaces on networks with CNI plugins, as Go's cnitool does.

    Arguments, environment and container IDs are those of cnitool: what one adds, the other
    deletes. On a terminal results are laid out for reading; elsewhere they are JSON.
    """


def _command(name: str, *parameters: click.Parameter) -> Callable[[Work], Work]:
    """Make a coroutine function a command; its docstring is the help."""

    def register(work: Work) -> Work:
        def callback(**values: Any) -> None:
            given = Given(**values)
            if given.backend == "trio" and find_spec("trio") is None:
                raise click.UsageError("trio is not installed: pip install 'cni-async[trio]'")
            stderr = PluginStderr()
            run(partial(work, given, given.cni(stderr)), stderr, given.backend, json=given.json)

        help = inspect.getdoc(work)
        cli.add_command(click.Command(name, callback=callback, params=[*parameters], help=help))
        return work

    return register


@_command("add", *options.ATTACHMENT)
async def _add(given: Given, cni: CNIConfig) -> Answer:
    """Attach the namespace NETNS to the network NET.

    Prints the result of the plugins. Where that fails or is interrupted, part of it may have been
    done: say del.
    """
    net = await given.network()
    result = await cni.add_network_list(net, given.container())
    return Answer(result.to_json(indent=4), Added(net.name, result))


@_command("check", *options.ATTACHMENT)
async def _check(given: Given, cni: CNIConfig) -> Answer:
    """Check that an attachment is as it was added."""
    net = await given.network()
    await cni.check_network_list(net, given.container())
    if net.disable_check:
        return _said(f"{net.name}: not checked, its configuration disables that")
    return _said(f"{net.name}: {given.ifname} is as it was added")


@_command("del", *options.ATTACHMENT)
async def _del(given: Given, cni: CNIConfig) -> Answer:
    """Detach the namespace NETNS from the network NET.

    Succeeds too where there is nothing to do; the namespace may be gone.
    """
    net = await given.network()
    await cni.del_network_list(net, given.container())
    return _said(f"{net.name}: {given.ifname} is deleted")


@_command(
    "gc",
    options.NET,
    options.UNUSED_NETNS,
    options.KEEP,
    options.KEEP_NONE,
    options.NETCONF_PATH,
    *options.PLUGINS,
    options.CACHE,
    options.JSON,
)
async def _gc(given: Given, cni: CNIConfig) -> Answer:
    """Delete the attachments of the network NET but those to keep.

    Say which with --keep, or say --all. Plugins are told, too, to free what belongs to no
    attachment that is kept. NETNS makes no difference.
    """
    if bool(given.keep) == given.keep_none:
        raise click.UsageError("gc wants either --keep CONTAINER_ID/INTERFACE or --all")
    net = await given.network()
    await cni.gc_network_list(net, GCArgs(given.keep) if given.keep else None)
    if net.disable_gc:
        return _said(f"{net.name}: nothing is collected, its configuration disables that")
    kept = [f"{one.container_id}/{one.ifname}" for one in given.keep]
    what = f"all but {_listed(kept)}" if kept else "everything"
    return _said(f"{net.name}: {what} is collected")


@_command(
    "status",
    options.NET,
    options.UNUSED_NETNS,
    options.NETCONF_PATH,
    *options.PLUGINS,
    options.JSON,
)
async def _status(given: Given, cni: CNIConfig) -> Answer:
    """Ask the plugins of the network NET whether they are ready.

    NETNS makes no difference.
    """
    net = await given.network()
    await cni.get_status_network_list(net)
    asked = False
    with suppress(VersionError):  # as in the library, that is an old version
        asked = greater_than_or_equal_to(net.cni_version, "1.1.0")
    if not asked:
        return _said(f"{net.name}: not asked, CNI {_version(net)} has no STATUS")
    return _said(f"{net.name}: ready")


@_command("validate", options.NET, options.NETCONF_PATH, *options.PLUGINS, options.JSON)
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
    text = f"{net.name}: CNI {_version(net)}, plugins {_listed(plugins)}"
    if capabilities:
        text += f", capabilities {_listed(capabilities)}"
    return Answer(_dumped(answer), text)


@_command("version", options.PLUGIN_TYPE, *options.PLUGINS, options.JSON)
async def _plugin_version(given: Given, cni: CNIConfig) -> Answer:
    """Ask the plugin TYPE which CNI versions it speaks."""
    info = await cni.get_version_info(given.plugin_type)
    versions = list(info.supported_versions)
    answer = {"cniVersion": info.cni_version, "supportedVersions": versions}
    return Answer(_dumped(answer), f"{given.plugin_type}: CNI {_listed(versions)}")


@_command("attachments", options.CONTAINER, options.CACHE, options.BACKEND, options.JSON)
async def _attachments(given: Given, cni: CNIConfig) -> Answer:
    """List the attachments of a container, or all of them."""
    attachments = await cni.get_cached_attachments(given.container_id or "")
    return Answer(_dumped([_fields(one) for one in attachments]), attachments)


def _fields(attachment: NetworkAttachment) -> dict[str, Any]:
    """Return what a record says, under the names that it has in the record."""
    try:
        config = loads(attachment.config or b"null")
    except JSONError:
        config = None  # nothing can be done with it, and the rest still helps
    return {
        "containerId": attachment.container_id,
        "networkName": attachment.network,
        "ifName": attachment.ifname,
        "netns": attachment.netns,
        "cniArgs": attachment.cni_args,
        "capabilityArgs": attachment.capability_args,
        "config": config,
    }


def _said(text: str) -> Answer:
    """Answer people with a sentence and programs, as cnitool does, with the exit code."""
    return Answer("", text)


def _dumped(document: object) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"


def _listed(words: list[str]) -> str:
    return ", ".join(words)


def _version(net: NetworkConfigList) -> str:
    return net.cni_version or "0.1.0"

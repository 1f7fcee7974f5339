"""Garbage collection: which attachments are stale, their DELs, and plugins' own GC."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ._concurrently import AT_ONCE, run_all
from .cache import NetworkAttachment
from .conf import (
    NetworkConfig,
    NetworkConfigList,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
)
from .errors import CNIError, ConfigError
from .runtime import GCArgs, RuntimeConf, request_config
from .types import GCAttachment

Delete = Callable[[NetworkConfigList, RuntimeConf], Awaitable[None]]
Run = Callable[[str, NetworkConfig, bytes], Awaitable[None]]


def stale_attachments(
    attachments: Iterable[NetworkAttachment], network: str, args: GCArgs | None
) -> list[NetworkAttachment]:
    """Return a network's attachments that are not valid; all of them if `args` is None."""
    valid = frozenset(() if args is None else args.valid_attachments)
    return [
        one
        for one in attachments
        if one.network == network and GCAttachment(one.container_id, one.ifname) not in valid
    ]


async def delete_attachments(
    attachments: Iterable[NetworkAttachment], net: NetworkConfigList, delete: Delete
) -> list[CNIError]:
    """DEL attachments, those of different containers at the same time; return the failures.

    Args:
        attachments: what to delete.
        net: the network as it is now, for those whose own configuration is lost.
        delete: does one DEL.
    """
    by_container: dict[str, list[NetworkAttachment]] = {}
    for one in attachments:
        by_container.setdefault(one.container_id, []).append(one)
    outcomes = await run_all(
        [partial(_delete_in_turn, group, net, delete) for group in by_container.values()],
        limit=AT_ONCE,
    )
    failures: list[CNIError] = []
    for outcome in outcomes:
        failures += [outcome] if isinstance(outcome, CNIError) else outcome
    return failures


async def _delete_in_turn(
    attachments: Sequence[NetworkAttachment], net: NetworkConfigList, delete: Delete
) -> list[CNIError]:
    failures: list[CNIError] = []
    for one in attachments:
        rt = RuntimeConf(one.container_id, one.netns, one.ifname, one.cni_args, one.capability_args)
        try:
            await delete(_added_with(one) or net, rt)
        except CNIError as error:
            words = f"failed to delete stale attachment {one.container_id} {one.ifname}: "
            failures.append(error.in_context(words))
    return failures


def _added_with(attachment: NetworkAttachment) -> NetworkConfigList | None:
    """Return the network as it was when the attachment was added; None if that is unknown."""
    if not attachment.config:
        return None
    try:
        net = conf_list_from_bytes(attachment.config)
    except ConfigError:
        try:
            net = conf_list_from_conf(conf_from_bytes(attachment.config))
        except ConfigError:
            return None
    return net if net.name == attachment.network else None


async def gc_plugins(net: NetworkConfigList, args: GCArgs | None, run: Run) -> list[CNIError]:
    """Have each plugin of a network collect what it knows of; return the failures.

    Args:
        net: the network.
        args: the valid attachments; None for not a word about them.
        run: calls one plugin with a command and a request.
    """
    extra = {} if args is None else _valid_attachments(args)
    failures: list[CNIError] = []
    for plugin in net.plugins:
        type = plugin.network.type
        words = f"failed to generate configuration to GC plugin {type}: "
        try:
            request = request_config(plugin, net.name, net.cni_version, extra=extra)
            words = f"failed to GC plugin {type}: "
            await run("GC", plugin, request)
        except CNIError as error:
            failures.append(error.in_context(words))
    return failures


def _valid_attachments(args: GCArgs) -> dict[str, Any]:
    valid = [
        {"containerID": one.container_id, "ifname": one.ifname} for one in args.valid_attachments
    ]
    # Runtimes sent only the second at first (containernetworking/cni 1101), and plugins of that
    # time know only that.
    return {"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid}

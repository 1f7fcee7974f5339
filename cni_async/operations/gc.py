"""Garbage collection: DEL of stale attachments, and plugins' own GC."""

from collections.abc import Iterable
from typing import Any

from cni_async.cache.records import Attachments
from cni_async.conf import NetworkConfigList
from cni_async.errors import CacheError, CNIError, GCError
from cni_async.go.quote import as_written
from cni_async.model.attachment import NetworkAttachment
from cni_async.model.runtime import GCArgs

from .chain import Chains, at_least_1_1
from .operation import Operation
from .order import Locks
from .recorded import for_each, recorded_network, runtime_of
from .request import request_config


async def collect(
    chains: Chains,
    attachments: Attachments,
    locks: Locks,
    net: NetworkConfigList,
    args: GCArgs | None,
) -> None:
    """Delete a network's stale attachments, then call GC of its plugins.

    Raises:
        GCError: some calls failed.
    """
    failures: list[CNIError] = []
    scope = await attachments.scope()

    async def delete(attachment: NetworkAttachment) -> None:
        op = Operation.of(recorded_network(attachment) or net, runtime_of(attachment))
        async with locks.container(scope, attachment.container_id):
            await chains.delete(op)

    async with locks.collection(scope, net.name):
        try:
            known = await attachments.cache().attachments()
        except CacheError as error:
            # The plugins can still collect by their own records.
            failures.append(error)
        else:
            stale = stale_attachments(known, net.name, args)
            failures += await for_each(stale, delete, "failed to delete stale attachment")
        if at_least_1_1(net.cni_version):
            failures += await gc_plugins(chains, net, args)
    if failures:
        raise GCError(failures)


def stale_attachments(
    attachments: Iterable[NetworkAttachment], network: str, args: GCArgs | None
) -> list[NetworkAttachment]:
    """Return a network's attachments that are not valid; all of them if `args` is None."""
    # Records have interface names in the form in which they are written.
    valid = frozenset(
        (one.container_id, as_written(one.ifname))
        for one in (() if args is None else args.valid_attachments)
    )
    return [
        one
        for one in attachments
        if one.network == network and (one.container_id, one.ifname) not in valid
    ]


async def gc_plugins(chains: Chains, net: NetworkConfigList, args: GCArgs | None) -> list[CNIError]:
    """Call GC of each plugin of a network; return the failures.

    Args:
        chains: calls the plugins.
        net: the network.
        args: the valid attachments; `None` passes no list to the plugins.
    """
    extra = {} if args is None else _valid_attachments(args)
    failures: list[CNIError] = []
    for plugin in net.plugins:
        name = plugin.network.type
        words = f"failed to generate configuration to GC plugin {name}: "
        try:
            request = request_config(plugin, net.name, net.cni_version, extra=extra)
            words = f"failed to GC plugin {name}: "
            await chains.run_networkwide("GC", plugin, request)
        except CNIError as error:
            failures.append(error.in_context(words))
    return failures


def _valid_attachments(args: GCArgs) -> dict[str, Any]:
    valid = [
        {"containerID": one.container_id, "ifname": as_written(one.ifname)}
        for one in args.valid_attachments
    ]
    # At first runtimes sent only the second key (containernetworking/cni 1101), and plugins of that
    # time read only that key.
    return {"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid}

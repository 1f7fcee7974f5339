"""Garbage collection over all networks: those that are loaded, and those that only records know."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cni_async.api import CNIConfig
from cni_async.conf import NetworkConfigList
from cni_async.errors import AggregateError, CNIError
from cni_async.model.attachment import NetworkAttachment
from cni_async.model.runtime import GCArgs
from cni_async.operations.recorded import recorded_network
from cni_async.types import GCAttachment


async def collect(
    cni: CNIConfig,
    loaded: Mapping[str, NetworkConfigList],
    living: Collection[str],
    *,
    dry_run: bool,
) -> list[NetworkAttachment]:
    """Delete the attachments of all sandboxes but the living ones, and GC each network.

    Args:
        cni: runs the plugins.
        loaded: the networks as they are now.
        living: container IDs.
        dry_run: only return what would be deleted.

    Raises:
        AggregateError: some networks could not be collected.
    """
    known = await cni.get_cached_attachments()
    recorded = {net.name: net for one in known if (net := recorded_network(one)) is not None}
    networks = {**recorded, **loaded}
    stale = [one for one in known if one.network in networks and one.container_id not in living]
    if dry_run:
        return stale
    keep = [GCAttachment(one.container_id, one.ifname) for one in known if one not in stale]
    failures: list[CNIError] = []
    for net in networks.values():
        try:
            await cni.gc_network_list(net, GCArgs(keep))
        except CNIError as error:
            failures.append(error.in_context(f"failed to collect network {net.name}: "))
    if failures:
        raise AggregateError(failures)
    return stale

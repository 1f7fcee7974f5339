"""Find the attachments of unfinished ADDs, whose process was killed, and delete them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cni_async.cache import AttachmentKey, NetworkAttachment, attachment_key
from cni_async.cache.records import Attachments
from cni_async.errors import PluginError, RecoveryError

from .chain import Chains
from .operation import Operation
from .order import Locks
from .orphans import wait_for_orphans
from .recorded import for_each, network_of, runtime_of

_log = logging.getLogger(__name__)


async def recover(
    chains: Chains,
    attachments: Attachments,
    locks: Locks,
    *,
    delete: bool,
    path: Sequence[str],
    within: float,
) -> list[NetworkAttachment]:
    """Find attachments whose ADD did not end, and delete them on request.

    Args:
        chains: run the plugins.
        attachments: the cache.
        locks: show which ADDs still run.
        delete: whether to delete them.
        path: directories with plugins, to recognize running ones by.
        within: seconds to wait for plugins that outlive their runtime.

    Raises:
        RecoveryError: not all could be deleted.
        CacheError: the cache cannot be listed.
    """
    scope = await attachments.scope()
    unfinished = [
        one
        for one in await attachments.cache().attachments()
        if not one.completed and not locks.is_busy(scope, one.container_id)
    ]
    at_work: dict[AttachmentKey, PluginError] = {}
    if delete:
        at_work = await wait_for_orphans(unfinished, path, within=within)
    settled: set[int] = set()

    async def settle(one: NetworkAttachment) -> None:
        rt = runtime_of(one)
        async with locks.attachment(scope, one.network, one.container_id):
            # Its ADD may have ended since the cache was read.
            if not await attachments.is_unfinished(one.network, rt):
                settled.add(id(one))
            elif error := at_work.get(attachment_key(one.network, rt)):
                raise error
            elif delete:
                await chains.delete(Operation.of(network_of(one), rt))

    failures = await for_each(unfinished, settle, "failed to delete attachment")
    if failures and delete:
        raise RecoveryError(failures)
    for failure in failures:
        _log.warning("unfinished or not, that cannot be read: %s", failure)
    return [one for one in unfinished if id(one) not in settled]

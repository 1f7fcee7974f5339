"""The end of a soak: all that is left has an owner, and the API can delete it."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

from cni_async import AttachmentKey, GCArgs, GCAttachment, NetworkAttachment

from .tally import Tally
from .world import World, address_in, key_of

# After so many failures the library is broken, and more of them say nothing new.
PATIENCE = 20


async def settle(world: World, tally: Tally) -> None:
    """Compare a world with its books, then delete all attachments."""
    world.steering.stop()
    try:
        await _settle(world, tally)
    except Exception:
        tally.violations.append(f"the end was not reached: {traceback.format_exc()}")


async def _settle(world: World, tally: Tally) -> None:
    calm = world.calm
    failures: list[Exception] = []

    async def must(what: str, call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except Exception as error:
            tally.violations.append(f"{what}: {traceback.format_exc()}")
            failures.append(error)
            if len(failures) > PATIENCE:
                raise ExceptionGroup("too much fails", failures) from None

    records = await _records(world)
    for key, address in world.recorded.items():
        found = await _address(world, key, records.get(key))
        if key not in world.shaken and found != address:
            tally.violations.append(f"record of {key}: {found!r}, ADD and DEL left {address!r}")
    wild = {key for key in world.keys if key.container_id in world.wild}
    # All that plugins hold has a record with its owner, unless the record may be damaged.
    tally.leaked("attachments without a record", world.owned() - records.keys() - wild)

    sound = [
        key
        for key, one in records.items()
        if one.completed and key in world.keys and key not in world.shaken.keys() | wild
    ]
    for key in sound:
        net = world.nets[key.network]
        await must(f"CHECK of {key}", lambda: calm.check_network_list(net, world.rt(key)))  # noqa: B023
    before = world.owned() & records.keys()
    for net in world.nets.values():
        await must(f"GC of {net.name}", lambda: calm.gc_network_list(net, _valid(records)))  # noqa: B023
    tally.leaked("valid attachments that GC took", before - world.owned())

    # A damaged record may name an attachment that never existed; DEL removes the record.
    for key in wild:
        net = world.nets[key.network]
        await must(f"DEL of {key}", lambda: calm.del_network_list(net, world.rt(key)))  # noqa: B023
    await must("recover", lambda: calm.recover(delete=True))
    tally.leaked("attachments that were not recovered", map(key_of, await calm.recover()))
    live = await _records(world)
    for key in sorted(live, key=lambda key: key.file_name)[::2]:
        await must(f"DEL of {key}", lambda: calm.del_attachment(live[key]))  # noqa: B023
    for net in world.nets.values():
        await must(f"last GC of {net.name}", lambda: calm.gc_network_list(net, GCArgs()))  # noqa: B023


async def _address(world: World, key: AttachmentKey, record: NetworkAttachment | None) -> str:
    if record is None:
        return ""
    if not record.completed:
        return "of an unfinished ADD"
    net = world.nets[key.network]
    return address_in(await world.calm.get_network_list_cached_result(net, world.rt(key)))


async def _records(world: World) -> dict[AttachmentKey, NetworkAttachment]:
    return {key_of(one): one for one in await world.calm.get_cached_attachments()}


def _valid(records: dict[AttachmentKey, NetworkAttachment]) -> GCArgs:
    return GCArgs([GCAttachment(key.container_id, key.ifname) for key in records])

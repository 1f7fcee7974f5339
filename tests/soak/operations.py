"""Random operations, some of which are cancelled."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random

import anyio

from cni_async import AttachmentKey, CNIError, GCArgs, GCAttachment, PluginTimeoutError
from cni_async.types import Result

from .tally import CANCELLATIONS, STALLS, Tally
from .world import World, address_in, key_of

# Seconds for which a plugin is open for writing.
REPLACING = 0.02


class _OwnError(Exception):
    """The error that the block of an `attachment` raises."""


class Driver:
    """Runs operations in workers, up to a number of them or for a time."""

    def __init__(
        self,
        world: World,
        tally: Tally,
        random: Random,
        *,
        operations: int,
        seconds: float,
        longest_delay: float,
    ) -> None:
        self._world = world
        self._tally = tally
        self._random = random
        self._left = operations
        self._deadline = time.monotonic() + seconds
        self._longest_delay = longest_delay
        self._operations: dict[str, tuple[int, Callable[[AttachmentKey], Awaitable[None]]]] = {
            "add": (36, self._add),
            "attachment": (20, self._attachment),
            "del": (10, self._del),
            "check": (10, self._check),
            "del_attachment": (6, self._del_attachment),
            "gc": (2, self._gc),
            "recover": (3, self._recover),
            "recover and delete": (3, self._recover_and_delete),
            "status": (3, self._status),
            "validate": (3, self._validate),
        }

    async def run(self, workers: int) -> None:
        """Run so many workers at a time, until their operations have ended."""
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._watch)
            async with anyio.create_task_group() as group:
                for _ in range(workers):
                    group.start_soon(self._work)
                keep_busy = anyio.CancelScope()
                group.start_soon(self._keep_busy, keep_busy)
                while self._goes_on():
                    await anyio.sleep(0.05)
                self._world.over = True
                keep_busy.cancel()
            watch.cancel_scope.cancel()

    async def _watch(self) -> None:
        """Measure how long the event loop stalls."""
        while True:
            asleep = time.monotonic()
            await anyio.sleep(0.05)
            self._tally.took(STALLS, asleep)

    def _goes_on(self) -> bool:
        return self._left > 0 and time.monotonic() < self._deadline

    async def _keep_busy(self, scope: anyio.CancelScope) -> None:
        """Now and then hold a plugin open for writing, as an upgrade does; its exec is ETXTBSY."""
        with scope:
            while True:
                await anyio.sleep(self._random.uniform(0.2, 0.6))
                if not self._world.busy:
                    continue
                # The open fails, too, while the plugin runs: the kernel excludes one or the other.
                with suppress(OSError), self._random.choice(self._world.busy).open("ab"):
                    self._tally.faults["is being replaced"] += 1
                    await anyio.sleep(REPLACING)

    async def _work(self) -> None:
        names = list(self._operations)
        weights = [weight for weight, _ in self._operations.values()]
        while self._goes_on():
            self._left -= 1
            name = self._random.choices(names, weights)[0]
            key = self._random.choice(self._world.keys)
            operation = self._operations[name][1]
            began = time.monotonic()
            outcome = await self._outcome(name, partial(operation, key))
            self._tally.force.count(began)
            self._tally.outcomes[name + self._world.suffix, outcome] += 1

    async def _outcome(self, name: str, call: Callable[[], Awaitable[None]]) -> str:
        """Run an operation, perhaps cancel it, and return its outcome."""
        kind = self._random.choices(["", "scope", "native"], [11, 5, 4])[0]
        delay = self._random.uniform(0, self._longest_delay)
        if kind:
            self._tally.cancellations[kind] += 1
        began = time.monotonic()
        try:
            if kind == "scope":
                with anyio.move_on_after(delay) as scope:
                    await call()
                return "cancelled" if scope.cancelled_caught else "done"
            if kind == "native":
                done = await natively(call, delay, self._random.choice([1, 1, 2, 4]))
                return "done" if done else "cancelled"
            await call()
        except PluginTimeoutError:
            return "timed out"
        except (CNIError, _OwnError):
            return "failed"
        except Exception:
            self._tally.violations.append(f"{name}: {traceback.format_exc()}")
            return "failed"
        finally:
            if kind:
                self._tally.took(CANCELLATIONS, began + delay)
        return "done"

    async def _to_its_end(
        self, *keys: AttachmentKey, call: Callable[[], Awaitable[Result | None]]
    ) -> None:
        """Make a call, and note the address of each attachment afterwards if it is certain.

        Args:
            keys: the attachments.
            call: changes them, and returns the result of ADD if they exist afterwards.
        """
        world = self._world
        world.clock += 1
        began = world.clock
        world.at_work.update(keys)
        try:
            for key in keys:
                world.recorded.pop(key, None)
            result = await call()
            for key in keys:
                shaken = world.shaken.get(key, 0)
                if shaken < began:
                    world.shaken.pop(key, None)
                    # With two operations at a time it is unknown which one worked last.
                    if world.at_work[key] == 1 and key.container_id not in world.wild:
                        world.recorded[key] = address_in(result)
        except BaseException:
            world.shake(*keys)
            raise
        finally:
            world.at_work.subtract(keys)

    async def _add(self, key: AttachmentKey) -> None:
        world = self._world
        cni = world.cni(key, self._random)
        net = world.nets[key.network]
        await self._to_its_end(key, call=lambda: cni.add_network_list(net, world.rt(key)))

    async def _attachment(self, key: AttachmentKey) -> None:
        world = self._world

        async def block() -> None:
            async with world.rolling.attachment(world.nets[key.network], world.rt(key)):
                await anyio.sleep(self._random.uniform(0, 0.05))
                if self._random.random() < 0.1:
                    raise _OwnError

        await self._to_its_end(key, call=block)

    async def _del(self, key: AttachmentKey) -> None:
        world = self._world
        net = world.nets[key.network]
        call = world.cni(key, self._random).del_network_list
        await self._to_its_end(key, call=lambda: call(net, world.rt(key)))

    async def _check(self, key: AttachmentKey) -> None:
        world = self._world
        # CHECK of an attachment without a record would only fail.
        known = {path.name for path in world.results.glob("*-*")}
        present = [each for each in world.keys if each.file_name in known]
        key = self._random.choice(present or [key])
        await world.rolling.check_network_list(world.nets[key.network], world.rt(key))

    async def _del_attachment(self, key: AttachmentKey) -> None:
        found = await self._world.rolling.get_cached_attachments(key.container_id)
        if found:
            one = self._random.choice(found)
            call = partial(self._world.rolling.del_attachment, one)
            await self._to_its_end(key_of(one), call=call)

    async def _gc(self, key: AttachmentKey) -> None:
        world = self._world
        keys = [each for each in world.keys if each.network == key.network]
        stale = self._random.sample(keys, min(3, len(keys)))
        valid = GCArgs(
            [GCAttachment(each.container_id, each.ifname) for each in keys if each not in stale]
        )
        call = world.rolling.gc_network_list
        await self._to_its_end(*stale, call=lambda: call(world.nets[key.network], valid))

    async def _recover(self, key: AttachmentKey) -> None:
        await self._world.rolling.recover()

    async def _recover_and_delete(self, key: AttachmentKey) -> None:
        await self._world.rolling.recover(delete=True)

    async def _status(self, key: AttachmentKey) -> None:
        await self._world.rolling.get_status_network_list(self._world.nets[key.network])

    async def _validate(self, key: AttachmentKey) -> None:
        await self._world.rolling.validate_network_list(self._world.nets[key.network])


async def natively(call: Callable[[], Awaitable[None]], delay: float, times: int) -> bool:
    """Await a call, and cancel it after a delay in the event loop's own way, without anyio.

    Args:
        call: what to await.
        delay: seconds.
        times: how often to cancel the task, on asyncio.

    Returns:
        whether the call ended without having been cancelled.
    """
    if _on_trio():
        import trio

        with trio.move_on_after(delay) as scope:
            await call()
        return not scope.cancelled_caught

    async def run() -> None:
        await call()

    task = asyncio.create_task(run())
    await asyncio.wait({task}, timeout=delay)
    for _ in range(times):
        task.cancel()
        await asyncio.wait({task}, timeout=0.01)
    await asyncio.wait({task})
    if task.cancelled():
        return False
    task.result()
    return True


def _on_trio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False

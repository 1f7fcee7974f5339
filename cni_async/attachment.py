"""Attachments that do not outlive their use: rolled back, left, or found again and deleted.

What is on the way out runs whether or not the caller is cancelled, and only so long. Its failure
never hides what came first: that error has it as a note and as `rollback_error`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import anyio

from . import _arguments
from ._concurrently import run_all, to_the_end
from ._text import quote
from .cache import NetworkAttachment
from .chains import Chain, Chains, Progress
from .conf import (
    NetworkConfigList,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
)
from .errors import CacheWriteError, CNIError, ConfigError, PluginTimeoutError
from .pacing import AT_ONCE
from .runtime import RuntimeConf
from .types import Result

_log = logging.getLogger(__name__)


async def add_or_undo(chains: Chains, chain: Chain, rt: RuntimeConf, *, within: float) -> Result:
    """Attach a container, or take back what there is of it.

    Args:
        chains: runs the plugins.
        chain: the network.
        rt: the container and its side of the attachment.
        within: seconds for the DEL.
    """
    progress = Progress()
    try:
        return await chains.add(chain, rt, progress)
    except GeneratorExit:
        raise  # nothing can be awaited any more; `recover` finds the record
    except BaseException as failure:
        # A plugin that was killed may have done all of its work.
        undone = await _on_the_way_out(
            lambda: chains.undo(chain, rt, progress), within, failure, f"rollback of {_name(rt)}"
        )
        if undone and progress.key is not None and isinstance(failure, CacheWriteError):
            failure.result = None  # nothing is attached any more
        raise


@asynccontextmanager
async def attached(
    add: Callable[[], Awaitable[Result]],
    delete: Callable[[], Awaitable[None]],
    rt: RuntimeConf,
    *,
    within: float,
) -> AsyncGenerator[Result]:
    """Attach a container for a block.

    Args:
        add: attaches it, or takes back what there is of it.
        delete: detaches it.
        rt: the container and its side of the attachment.
        within: seconds for the DEL, waiting for its turn included.
    """
    result = await add()
    try:
        yield result
    except GeneratorExit:
        raise  # nothing can be awaited any more
    except BaseException as failure:
        await _on_the_way_out(delete, within, failure, f"DEL of {_name(rt)}")
        raise
    await _bounded(delete, within, f"DEL of {_name(rt)}")


async def _on_the_way_out(
    call: Callable[[], Awaitable[None]], within: float, failure: BaseException, what: str
) -> bool:
    """Await a call after a failure; tell whether it succeeded."""
    try:
        await _bounded(call, within, what)
    except Exception as error:
        _add(error, failure, what)
        return False
    except BaseException as interruption:
        # Cancelled meanwhile, perhaps for the second time: that is what is raised.
        if isinstance(interruption.__cause__, Exception):
            _add(interruption.__cause__, failure, what)
        raise
    return True


def _add(error: Exception, failure: BaseException, what: str) -> None:
    """Keep a second error with the first."""
    _log.warning("%s failed: %s", what, error)
    failure.add_note(f"{what} failed: {error}")
    if isinstance(failure, CNIError):
        failure.rollback_error = error


async def _bounded(call: Callable[[], Awaitable[None]], within: float, what: str) -> None:
    async def in_time() -> None:
        with anyio.move_on_after(within):
            return await call()
        raise PluginTimeoutError(
            f"{what} was not done in {within:g} s", command="DEL", retryable=True
        )

    await to_the_end(in_time)


def _name(rt: RuntimeConf) -> str:
    return f"{rt.container_id} {rt.ifname}"


def added_with(attachment: NetworkAttachment) -> NetworkConfigList | None:
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
    except RecursionError:  # nested as nobody nests one
        return None
    return net if net.name == attachment.network else None


def network_of(attachment: NetworkAttachment) -> NetworkConfigList:
    """Return the network as it was when the attachment was added.

    Raises:
        ConfigError: that is unknown.
    """
    net = added_with(attachment)
    if net is None:
        raise ConfigError(
            f"no configuration of network {quote(attachment.network)} in the cache record of "
            f"{attachment.container_id} {attachment.ifname}"
        )
    return net


def runtime_of(
    attachment: NetworkAttachment, cache_dir: str | os.PathLike[str] | None = None
) -> RuntimeConf:
    """Return what an attachment was added with."""
    _arguments.require(attachment, NetworkAttachment, "attachment")
    return RuntimeConf(
        attachment.container_id,
        attachment.netns,
        attachment.ifname,
        args=attachment.cni_args,
        capability_args=attachment.capability_args,
        cache_dir=cache_dir,
    )


async def for_each(
    attachments: Iterable[NetworkAttachment],
    call: Callable[[NetworkAttachment], Awaitable[None]],
    words: str,
) -> list[CNIError]:
    """Await a call for attachments, those of different containers at once; return the failures.

    Args:
        attachments: one after the other for each container.
        call: what to await.
        words: stand before the text of a failure, and before whose it is.
    """
    by_container: dict[str, list[NetworkAttachment]] = {}
    for one in attachments:
        by_container.setdefault(one.container_id, []).append(one)

    async def in_turn(group: list[NetworkAttachment]) -> list[CNIError]:
        failures: list[CNIError] = []
        for one in group:
            try:
                await call(one)
            except CNIError as error:
                failures.append(error.in_context(f"{words} {one.container_id} {one.ifname}: "))
        return failures

    def all_of(group: list[NetworkAttachment]) -> Callable[[], Awaitable[list[CNIError]]]:
        return lambda: in_turn(group)

    outcomes = await run_all([all_of(group) for group in by_container.values()], limit=AT_ONCE)
    failures: list[CNIError] = []
    for outcome in outcomes:
        failures += [outcome] if isinstance(outcome, CNIError) else outcome
    return failures

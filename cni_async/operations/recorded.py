"""Attachments in the cache: the configuration of their ADDs, and a call for many of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from cni_async._async.concurrently import run_all
from cni_async._async.pacing import AT_ONCE
from cni_async.cache.records import usable_args
from cni_async.conf import (
    NetworkConfigList,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
)
from cni_async.errors import CNIError, ConfigError
from cni_async.go.quote import quote
from cni_async.model.attachment import AttachmentKey, NetworkAttachment
from cni_async.model.runtime import RuntimeConf


def recorded_network(attachment: NetworkAttachment) -> NetworkConfigList | None:
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
    except RecursionError:  # too deeply nested
        return None
    return net if net.name == attachment.network else None


def network_of(attachment: NetworkAttachment) -> NetworkConfigList:
    """Return the network as it was when the attachment was added.

    Raises:
        ConfigError: the record has no usable configuration.
    """
    net = recorded_network(attachment)
    if net is None:
        raise ConfigError(
            f"no configuration of network {quote(attachment.network)} in the cache record of "
            f"{attachment.container_id} {attachment.ifname}"
        )
    return net


def runtime_of(attachment: NetworkAttachment) -> RuntimeConf:
    """Return the runtime configuration that an attachment was added with."""
    key = AttachmentKey(attachment.network, attachment.container_id, attachment.ifname)
    return RuntimeConf(
        attachment.container_id,
        attachment.netns,
        attachment.ifname,
        args=usable_args(attachment.cni_args, key),
        capability_args=attachment.capability_args,
    )


async def for_each(
    attachments: Iterable[NetworkAttachment],
    call: Callable[[NetworkAttachment], Awaitable[None]],
    words: str,
) -> list[CNIError]:
    """Await a call for attachments, those of different containers at once; return the failures.

    Args:
        attachments: processed one after the other for each container.
        call: what to await.
        words: put before the container ID, interface name and text of a failure.
    """
    by_container: dict[str, list[NetworkAttachment]] = {}
    for one in attachments:
        by_container.setdefault(one.container_id, []).append(one)

    async def one_by_one(group: list[NetworkAttachment]) -> list[CNIError]:
        failures: list[CNIError] = []
        for one in group:
            try:
                await call(one)
            except CNIError as error:
                failures.append(error.in_context(f"{words} {one.container_id} {one.ifname}: "))
        return failures

    def calls_for(group: list[NetworkAttachment]) -> Callable[[], Awaitable[list[CNIError]]]:
        return lambda: one_by_one(group)

    outcomes = await run_all([calls_for(group) for group in by_container.values()], limit=AT_ONCE)
    failures: list[CNIError] = []
    for outcome in outcomes:
        failures += [outcome] if isinstance(outcome, CNIError) else outcome
    return failures

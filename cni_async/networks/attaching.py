"""Attach a sandbox to planned networks, detach it, and look at its attachments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from cni_async.api import CNIConfig
from cni_async.conf import NetworkConfigList, conf_list_from_bytes
from cni_async.errors import AggregateError, CheckNotSupportedError, CNIError, ConfigError
from cni_async.model.attachment import NetworkAttachment
from cni_async.model.runtime import RuntimeConf
from cni_async.operations.recorded import recorded_network, runtime_of
from cni_async.operations.rollback import clean_up
from cni_async.types import Result

from .namespace import prepare_namespace
from .plan import Planned
from .result import AttachmentStatus, SetupResult
from .sandbox import Sandbox

# The network of go-cni's WithLoNetwork.
_LOOPBACK: Final = conf_list_from_bytes(
    b'{"cniVersion": "0.3.1", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}'
)

Known = Mapping[str, NetworkConfigList]


async def attach(
    cni: CNIConfig,
    sandbox: Sandbox,
    planned: Sequence[Planned],
    *,
    loopback: bool | Literal["plugin"],
) -> SetupResult:
    """Attach a sandbox to networks in order; if one of them fails, undo all in reverse order.

    Args:
        cni: runs the plugins.
        sandbox: the sandbox.
        planned: its attachments.
        loopback: whether to enable its loopback interface, and how.

    Raises:
        NetNSError: the namespace cannot be used; no plugin was called.
        CNIError: an ADD failed; the first error.
    """
    await prepare_namespace(sandbox.netns, cni.exec, loopback=loopback is True)
    if loopback == "plugin":
        planned = [
            Planned(_LOOPBACK, RuntimeConf(sandbox.container_id, sandbox.netns, "lo")),
            *planned,
        ]
    results: dict[tuple[str, str], Result] = {}
    made: list[Planned] = []

    async def undo() -> None:
        if failures := await delete(cni, made[::-1]):
            raise AggregateError(failures)

    try:
        for one in planned:
            result = await cni.add_network_list(one.net, one.rt, rollback=True)
            made.append(one)
            if one.net is not _LOOPBACK:
                results[one.net.name, one.rt.ifname] = result
    except GeneratorExit:
        raise  # nothing can be awaited now; `recover` and `teardown` find the records
    except BaseException as failure:
        what = f"teardown of sandbox {sandbox.container_id}"
        await clean_up(undo, cni.cleanup_timeout, failure, what)
        raise
    return SetupResult(results)


async def delete(cni: CNIConfig, planned: Iterable[Planned]) -> list[CNIError]:
    """DEL attachments in this order, going on after errors; return the errors."""
    failures: list[CNIError] = []
    for one in planned:
        try:
            await cni.del_network_list(one.net, one.rt)
        except CNIError as error:
            failures.append(error.in_context(f"{one.rt.ifname} on {one.net.name}: "))
    return failures


async def detach(
    cni: CNIConfig, attachments: Iterable[NetworkAttachment], known: Known
) -> list[CNIError]:
    """DEL recorded attachments in the reverse order of their setup; return the errors.

    Args:
        cni: runs the plugins.
        attachments: the attachments.
        known: the networks as they are now, for records without a usable configuration.
    """
    failures: list[CNIError] = []
    for one in in_order(attachments)[::-1]:
        try:
            if recorded_network(one) is None and one.network in known:
                await cni.del_network_list(known[one.network], runtime_of(one))
            else:
                await cni.del_attachment(one)
        except CNIError as error:
            failures.append(error.in_context(f"{one.ifname} on {one.network}: "))
    return failures


async def status(cni: CNIConfig, one: NetworkAttachment, known: Known) -> AttachmentStatus:
    """Return the result of an attachment, and the verdict of CHECK.

    Args:
        cni: runs the plugins.
        one: the attachment.
        known: the networks as they are now, for records without a usable configuration.
    """
    net = recorded_network(one) or known.get(one.network)
    result: Result | None = None
    error: CNIError | None = None
    try:
        if net is None:
            raise ConfigError(f"no configuration of network {one.network}")
        rt = runtime_of(one)
        result = await cni.get_network_list_cached_result(net, rt)
        with suppress(CheckNotSupportedError):
            await cni.check_network_list(net, rt)
    except CNIError as failure:
        error = failure.in_context(f"{one.ifname} on {one.network}: ")
    return AttachmentStatus(one.network, one.ifname, result, error)


def in_order(attachments: Iterable[NetworkAttachment]) -> list[NetworkAttachment]:
    """Return attachments in the order of their setup, by their names: lo, eth9, eth10.

    Records do not have the order in which they were made.
    """

    def place(one: NetworkAttachment) -> tuple[bool, str, int]:
        stem = one.ifname.rstrip("0123456789")
        return one.ifname != "lo", stem, int(one.ifname[len(stem) :] or -1)

    return sorted(attachments, key=place)

"""Ask plugins whether they speak a network's version (ValidateNetworkList, ValidateNetwork)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from cni_async._async.concurrently import run_all
from cni_async._async.pacing import AT_ONCE
from cni_async.conf import NetworkConfig
from cni_async.errors import ValidationError, VersionError
from cni_async.go.quote import quote
from cni_async.version import PluginInfo

Ask = Callable[[str], Awaitable[PluginInfo]]


async def validate_plugins(
    plugins: Sequence[NetworkConfig], cni_version: str, ask: Ask
) -> list[str]:
    """Check that plugins speak a version; each plugin is asked once.

    Args:
        plugins: of a network.
        cni_version: the network's; an empty one is 0.1.0.
        ask: finds a plugin and returns the versions it supports.

    Returns:
        the capabilities that the plugins declare, in order of appearance.

    Raises:
        ValidationError: some do not support it; `errors` has an error for each.
    """
    types = list(dict.fromkeys(plugin.network.type for plugin in plugins))
    outcomes = await run_all(
        [partial(validate_plugin, each, cni_version, ask) for each in types], limit=AT_ONCE
    )
    errors = dict(zip(types, outcomes, strict=True))
    failures = [error for plugin in plugins if (error := errors[plugin.network.type]) is not None]
    if failures:
        raise ValidationError(failures)
    return enabled_capabilities(plugins)


async def validate_plugin(plugin_type: str, cni_version: str, ask: Ask) -> None:
    """Check that a plugin speaks a version.

    Raises:
        VersionError: it does not.
    """
    info = await ask(plugin_type)
    wanted = cni_version or "0.1.0"
    if wanted not in info.supported_versions:
        raise VersionError(f"plugin {plugin_type} does not support config version {quote(wanted)}")


def enabled_capabilities(plugins: Iterable[NetworkConfig]) -> list[str]:
    """Return the capabilities that plugins declare, each once, in order of appearance."""
    declared = (plugin.network.capabilities.items() for plugin in plugins)
    return list(dict.fromkeys(key for each in declared for key, enabled in each if enabled))

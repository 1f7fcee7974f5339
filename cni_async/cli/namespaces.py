"""The commands of ``cni-async netns``: create, remove and list network namespaces."""

import os

from cni_async import CNIConfig, netns
from cni_async.netns import NetNS

from . import options
from .answer import Answer, as_json, message
from .group import cli, command
from .options import Given


@cli.group("netns")
def namespaces() -> None:
    """Create, remove and list network namespaces, as `ip netns` does."""


@command("add", options.NAME, options.DIRECTORY, options.BACKEND, options.JSON, group=namespaces)
async def _add(given: Given, _cni: CNIConfig) -> Answer:
    """Create the network namespace NAME and enable its loopback interface.

    Prints its path, which `cni-async add` takes.
    """
    ns = await netns.create(given.name, dir=given.directory)
    return Answer(as_json(_fields(ns)), ns.path)


@command("rm", options.NAME, options.DIRECTORY, options.BACKEND, options.JSON, group=namespaces)
async def _remove(given: Given, _cni: CNIConfig) -> Answer:
    """Remove the network namespace NAME, or the one at the path NAME.

    Succeeds even if it does not exist. Processes that are in it keep it, without a path.
    """
    path = os.path.join(given.directory, given.name)
    await netns.remove(path)
    return message(f"{path}: removed")


@command("list", options.DIRECTORY, options.BACKEND, options.JSON, group=namespaces)
async def _list(given: Given, _cni: CNIConfig) -> Answer:
    """List the network namespaces."""
    found = await netns.list(given.directory)
    shown = "\n".join(ns.path for ns in found) or "no network namespaces"
    return Answer(as_json([_fields(ns) for ns in found]), shown)


def _fields(ns: NetNS) -> dict[str, object]:
    device, inode = ns.inode
    return {"name": ns.name, "path": ns.path, "device": device, "inode": inode}

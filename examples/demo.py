"""Attach a network namespace to a network and detach it again, on asyncio and then on trio.

Run ``python examples/demo.py`` where cni_async and trio are installed. The demo prefers the CNI
project's plugins: it looks for installed ones, and builds them if Go is installed. Root is not
needed if the kernel grants user namespaces. The machine's own network does not change.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

import fallback_plugin
from cni_async import CNIConfig, CNIError, RuntimeConf, conf_list_from_bytes, netns
from cni_async.netns import NetNS
from private_network import enter_private_network, why_no_private_network
from reference_plugins import CannotBuildError, build, find

SUBNET = "10.88.0.0/24"
INTRODUCTION = """\
To the network, a container is a network namespace, which is empty at first. CNI plugins are
programs that connect it (ADD) and disconnect it (DEL); cni_async calls them.
"""


@dataclass(frozen=True)
class Setting:
    """The plugins, the network and the kind of namespace of the demo."""

    explanation: str
    plugins: Path
    network: bytes
    addresses: Path
    """Where the plugin that hands out addresses keeps its books."""
    namespace: Callable[[], AbstractAsyncContextManager[NetNS]]
    real: bool = True


def main() -> None:
    """Choose the most realistic setting that this machine allows, and show it."""
    with tempfile.TemporaryDirectory(prefix="cni-async-demo-") as folder:
        scratch = Path(folder)
        setting = choose(scratch)
        print(INTRODUCTION, setting.explanation, sep="\n")
        for backend in ("asyncio", "trio"):
            print(f"\n{backend}")
            anyio.run(show, setting, scratch / "cache", backend=backend)
    print("\nDone.")


async def show(setting: Setting, cache: Path) -> None:
    """Call ADD, CHECK and DEL like a container runtime, and show the effect of each step."""
    network = conf_list_from_bytes(setting.network)
    cni = CNIConfig([setting.plugins], cache_dir=cache)
    async with setting.namespace() as ns:
        container = RuntimeConf("demo", ns, "eth0")
        if setting.real:
            say("before", await inside(ns))

        result = await cni.add_network_list(network, container)
        given = result.view().ips[0]
        say("ADD", f"the plugins report {given.address} with gateway {given.gateway}")
        if setting.real:
            say("inside", seen := await inside(ns))
            expect(f"eth0 {given.address}" in seen, "eth0 does not have the address")

        await cni.check_network_list(network, container)
        say("CHECK", "the plugins find everything as ADD left it")

        await cni.del_network_list(network, container)
        say("DEL", "taken back")
        if setting.real:
            say("inside", seen := await inside(ns))
            expect("eth0" not in seen, "eth0 is still there")
    reserved = [file.name for file in setting.addresses.rglob("*") if is_address(file.name)]
    remembered = await cni.get_cached_attachments()
    say("left over", f"{len(reserved)} reserved addresses, {len(remembered)} cached attachments")
    expect(not reserved and not remembered, "something was left behind")


def choose(scratch: Path) -> Setting:
    """Return the most realistic setting that works on this machine."""
    why_not = why_no_private_network()
    plugins = find("bridge", "host-local")
    if why_not:
        why_not = f"this machine gives us no network of our own ({why_not})"
    elif plugins is None:
        try:
            plugins = build()
        except CannotBuildError as error:
            why_not = str(error)
    if plugins is None or why_not:
        return pretend(scratch, str(why_not))

    as_whom = "as root" if os.geteuid() == 0 else "without root, in a user namespace"
    enter_private_network()
    addresses = scratch / "addresses"
    ipam = {
        "type": "host-local",
        "dataDir": str(addresses),
        "ranges": [[{"subnet": SUBNET}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni-demo0", "isGateway": True, "ipam": ipam}
    return Setting(
        f"The real thing: bridge and host-local from {plugins}, {as_whom}.\n"
        "All of it happens in a network of this program's own, which ends with it.",
        plugins,
        # Not the newest version: the plugins of distributions support this one as well.
        network_of("1.0.0", bridge),
        addresses,
        lambda: netns.new(dir=scratch / "netns"),
    )


def pretend(scratch: Path, why: str) -> Setting:
    """Return a setting with our own plugin, which supports all of CNI but touches no network."""
    plugins = scratch / "plugins"
    plugins.mkdir()
    script = plugins / "pretend"
    command = shlex.join([sys.executable, "-I", fallback_plugin.__file__])
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)
    addresses = scratch / "addresses"
    plugin = {"type": "pretend", "subnet": SUBNET, "dataDir": str(addresses)}
    return Setting(
        f"Not the real thing: {why}.\n"
        "Instead a plugin written in Python plays along: it is called as any plugin is and hands\n"
        "out addresses, but NO INTERFACE IS MADE, and no namespace.",
        plugins,
        network_of("1.0.0", plugin),
        addresses,
        our_own_namespace,
        real=False,
    )


@asynccontextmanager
async def our_own_namespace() -> AsyncGenerator[NetNS]:
    """Provide this program's namespace, which the pretending plugin does not touch."""
    yield netns.current()


def network_of(version: str, *plugins: Mapping[str, object]) -> bytes:
    """Return a network configuration like those in /etc/cni/net.d, as JSON bytes."""
    return json.dumps({"cniVersion": version, "name": "demo", "plugins": plugins}).encode()


async def inside(ns: NetNS) -> str:
    """Return the interfaces in the namespace and their IPv4 addresses, in one line."""
    return ", ".join(
        " ".join([each.name, *(str(address) for address in each.addresses if address.version == 4)])
        for each in await ns.interfaces()
    )


def is_address(text: str) -> bool:
    """Return whether a file name is an address; the store has other files, too."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def say(step: str, what: str) -> None:
    """Print one step."""
    print(f"  {step:<10} {what}", flush=True)


def expect(condition: bool, otherwise: str) -> None:
    """Exit with a message if the condition is false."""
    if not condition:
        sys.exit(f"demo: {otherwise}")


if __name__ == "__main__":
    try:
        main()
    except (CNIError, OSError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")

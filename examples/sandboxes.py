"""Ten sandboxes on two networks, one of them with a port mapping; the runtime is killed meanwhile.

As root, with the reference plugins and iptables::

    CNI_PATH=/opt/cni/bin python examples/sandboxes.py

The program starts itself as a runtime, kills it with SIGKILL while it sets its sandboxes up, and
starts it again. The second runtime finds what the first has left, and removes it before it begins.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial

import anyio

from cni_async import CNIConfig, conf_list_from_bytes, netns
from cni_async.capabilities import PortMapping, capability_args
from cni_async.networks import Networks, NetworkSelection, Sandbox

COUNT = 10
PREFIX = "sandbox-"


def network(name: str, subnet: str, *more: dict[str, object]) -> bytes:
    """Return a network configuration list with a bridge of its own."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    bridge = {"type": "bridge", "bridge": f"cni-{name}", "isGateway": True, "ipam": ipam}
    document = {"cniVersion": "1.1.0", "name": name, "plugins": [bridge, *more]}
    return json.dumps(document).encode()


NETWORKS = [
    network("front", "10.89.5.0/24", {"type": "portmap", "capabilities": {"portMappings": True}}),
    network("back", "10.89.6.0/24"),
]


async def runtime() -> None:
    """Remove what an earlier runtime has left, then run ten sandboxes at once."""
    path = os.environ.get("CNI_PATH", "/opt/cni/bin").split(":")
    cni = CNIConfig(path, timeout=30, lock_file="/run/sandboxes.lock")
    nets = Networks.of(map(conf_list_from_bytes, NETWORKS), cni=cni)
    await cni.recover(delete=True)
    stale = await nets.gc([])  # no sandbox outlives its runtime here
    for ns in await netns.list():
        if ns.name is not None and ns.name.startswith(PREFIX):
            await netns.remove(ns)
    print(f"removed {len(stale)} attachments of an earlier runtime", flush=True)
    async with anyio.create_task_group() as group:
        for number in range(COUNT):
            group.start_soon(partial(sandbox, nets, number))
    left = await cni.get_cached_attachments()
    print(f"all sandboxes have ended, {len(left)} attachments are left", flush=True)


async def sandbox(nets: Networks, number: int) -> None:
    """Run one sandbox: two networks, and a port of the host for the first sandbox."""
    web = PortMapping(host_port=8089, container_port=80, protocol="tcp")
    ports = [web] if number == 0 else None
    front = NetworkSelection("front", capability_args=capability_args(port_mappings=ports))
    async with netns.new(prefix=PREFIX) as ns:
        box = Sandbox(f"{PREFIX}{number}", ns.path, [front, NetworkSelection("back")])
        async with nets.sandbox(box) as done:
            addresses = [str(each.addresses[0].interface) for each in done.interfaces]
            print(f"{box.container_id}: {', '.join(addresses)}", flush=True)


def main() -> None:
    """Start the runtime, kill it in the middle, and start it again."""
    command = [sys.executable, __file__, "runtime"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            print("first: ", line, end="")
            if line.startswith(PREFIX):
                first.send_signal(signal.SIGKILL)
                break
    print("first:  killed")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        print("second:", line)


if __name__ == "__main__":
    if sys.argv[1:] == ["runtime"]:
        anyio.run(runtime)
    else:
        main()

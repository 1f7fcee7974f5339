"""Attach a network namespace to a network and detach it again, with trio.

As root, with the reference plugins and ``ip``::

    CNI_PATH=/opt/cni/bin python examples/quickstart_trio.py
"""

import json
import os

import trio

from cni_async import CNIConfig, RuntimeConf, conf_list_from_bytes

NETWORK = {
    "cniVersion": "1.1.0",
    "name": "quickstart",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.89.2.0/24"}]]},
        }
    ],
}


async def main() -> None:
    """Call ADD, print the typed result, and call DEL."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())
    container = RuntimeConf("my-container", netns="/run/netns/quickstart", ifname="eth0")

    await trio.run_process(["ip", "netns", "add", "quickstart"])
    try:
        result = await cni.add_network_list(network, container)
        for ip in result.view().ips:
            print(f"address {ip.address.ip} in {ip.address.network}, gateway {ip.gateway}")
    finally:
        # Also when the ADD was cancelled. Without the shield trio would cancel this await, too.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 60):
            await cni.del_network_list(network, container)
            await trio.run_process(["ip", "netns", "del", "quickstart"])


if __name__ == "__main__":
    trio.run(main)

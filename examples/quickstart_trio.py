"""Attach a network namespace to a network and detach it again, with trio.

As root, with the reference plugins::

    CNI_PATH=/opt/cni/bin python examples/quickstart_trio.py
"""

import json
import os

import trio

from cni_async import CNIConfig, RuntimeConf, conf_list_from_bytes, netns

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
    """Attach for a block, and print the typed result."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())

    async with netns.new() as ns:
        container = RuntimeConf("my-container", ns, "eth0")
        # DEL at the end of the block, also if ADD or the block is cancelled.
        async with cni.attachment(network, container) as result:
            for ip in result.view().ips:
                print(f"address {ip.address.ip} in {ip.address.network}, gateway {ip.gateway}")


if __name__ == "__main__":
    trio.run(main)

"""Attach a network namespace to a network and detach it again, with asyncio.

As root, with the reference plugins::

    CNI_PATH=/opt/cni/bin python examples/quickstart_asyncio.py
"""

import asyncio
import json
import os

from cni_async import CNIConfig, PluginError, RuntimeConf, conf_list_from_bytes, netns

NETWORK = {
    "cniVersion": "1.1.0",
    "name": "quickstart",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-quick0",
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.89.1.0/24"}]]},
        }
    ],
}


async def main() -> None:
    """Call ADD, CHECK and DEL."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())

    async with netns.new() as ns:
        container = RuntimeConf("my-container", ns, "eth0")
        try:
            result = await cni.add_network_list(network, container)
            print(result.to_json(indent=2))
            await cni.check_network_list(network, container)
        except PluginError as error:
            print(f"{error.plugin} failed ({error.command}, code {error.code}): {error.msg}")
            raise
        finally:
            # After a failed or cancelled ADD, too: it may have done part of its work.
            await cni.del_network_list(network, container)


if __name__ == "__main__":
    asyncio.run(main())

"""Two network namespaces on one bridge: a server in one, a client in the other.

As root, with the reference plugins and ``nsenter``::

    CNI_PATH=/opt/cni/bin python examples/two_containers.py
"""

import asyncio
import json
import os
import sys

from cni_async import CNIConfig, RuntimeConf, conf_list_from_bytes, netns

NETWORK = {
    "cniVersion": "1.1.0",
    "name": "pair",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-pair0",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.89.3.0/24"}]]},
        }
    ],
}

SERVER = """
import socket
server = socket.create_server(("", 7000))
print("listening", flush=True)
connection, (peer, _) = server.accept()
connection.sendall(f"hello {peer}".encode())
"""

CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=10) as connection:
    print("the server says:", connection.makefile().read())
"""


async def main() -> None:
    """Attach both containers, and let them talk."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())
    async with (
        netns.new() as blue,
        netns.new() as green,
        cni.attachment(network, RuntimeConf("pair-blue", blue, "eth0")) as result,
        cni.attachment(network, RuntimeConf("pair-green", green, "eth0")),
    ):
        address = str(result.view().ips[0].address.ip)
        print(f"blue is {address}")
        server = await asyncio.create_subprocess_exec(
            *blue.command([sys.executable, "-c", SERVER]), stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout
        await server.stdout.readline()
        client = await asyncio.create_subprocess_exec(
            *green.command([sys.executable, "-c", CLIENT, address])
        )
        if await client.wait() or await server.wait():
            raise SystemExit("they could not talk")


if __name__ == "__main__":
    asyncio.run(main())

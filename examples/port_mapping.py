"""Reach a server in a namespace through a port of the host, with typed capability args.

As root, with the reference plugins, ``nsenter`` and iptables::

    CNI_PATH=/opt/cni/bin python examples/port_mapping.py
"""

import asyncio
import json
import os
import sys

from cni_async import CNIConfig, RuntimeConf, conf_list_from_bytes, netns
from cni_async.capabilities import PortMapping, capability_args

NETWORK = {
    "cniVersion": "1.1.0",
    "name": "mapped",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-mapped0",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.89.4.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        # Only a plugin that declares a capability receives its args.
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

SERVER = """
import socket
server = socket.create_server(("", 80))
print("listening", flush=True)
server.accept()[0].sendall(b"hello from inside")
"""


async def main() -> None:
    """Map port 8080 of the host to port 80 of the container, and use it."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())
    ports = [PortMapping(host_port=8080, container_port=80, protocol="tcp")]
    async with netns.new() as ns:
        container = RuntimeConf(
            "mapped", ns, "eth0", capability_args=capability_args(port_mappings=ports)
        )
        async with cni.attachment(network, container) as result:
            server = await asyncio.create_subprocess_exec(
                *ns.command([sys.executable, "-c", SERVER]), stdout=asyncio.subprocess.PIPE
            )
            assert server.stdout
            await server.stdout.readline()

            host = str(result.view().ips[0].gateway)
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(host, 8080)
                print(f"{host}:8080 says:", (await reader.read()).decode())
                writer.close()
                await server.wait()


if __name__ == "__main__":
    asyncio.run(main())

"""Two network namespaces on one bridge: a server in one, a client in the other.

As root, with the reference plugins and ``ip``::

    CNI_PATH=/opt/cni/bin python examples/two_containers.py
"""

import asyncio
import json
import os
import sys

from cni_async import CNIConfig, NetworkConfigList, RuntimeConf, conf_list_from_bytes

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


async def attach(cni: CNIConfig, network: NetworkConfigList, name: str) -> str:
    """Make a namespace, attach it to the network and return its address."""
    await (await asyncio.create_subprocess_exec("ip", "netns", "add", name)).wait()
    container = RuntimeConf(name, netns=f"/run/netns/{name}", ifname="eth0")
    result = await cni.add_network_list(network, container)
    return str(result.view().ips[0].address.ip)


async def detach(cni: CNIConfig, network: NetworkConfigList, name: str) -> None:
    """Detach a namespace, whether or not it was ever attached, and remove it."""
    container = RuntimeConf(name, netns=f"/run/netns/{name}", ifname="eth0")
    await cni.del_network_list(network, container)
    await (await asyncio.create_subprocess_exec("ip", "netns", "del", name)).wait()


def inside(name: str, program: str, *args: str) -> list[str]:
    """Return the command that runs a Python program inside a namespace."""
    return ["ip", "netns", "exec", name, sys.executable, "-c", program, *args]


async def main() -> None:
    """Attach both containers at the same time, and let them talk."""
    cni = CNIConfig(os.environ.get("CNI_PATH", "/opt/cni/bin").split(":"), timeout=30)
    network = conf_list_from_bytes(json.dumps(NETWORK).encode())
    try:
        async with asyncio.TaskGroup() as group:
            blue = group.create_task(attach(cni, network, "pair-blue"))
            green = group.create_task(attach(cni, network, "pair-green"))
        print(f"blue is {blue.result()}, green is {green.result()}")

        server = await asyncio.create_subprocess_exec(
            *inside("pair-blue", SERVER), stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout
        await server.stdout.readline()
        client = await asyncio.create_subprocess_exec(*inside("pair-green", CLIENT, blue.result()))
        if await client.wait() or await server.wait():
            raise SystemExit("they could not talk")
    finally:
        await detach(cni, network, "pair-green")
        await detach(cni, network, "pair-blue")


if __name__ == "__main__":
    asyncio.run(main())

"""Network namespaces: create, name, list and remove them, and look inside. Linux only.

No process is started: a thread enters a namespace, does its work there and ends. Creating and
removing namespaces needs root (CAP_SYS_ADMIN), or ``unshare -Urnm``.

>>> async def run(cni, net):
...     async with new() as ns:
...         rt = RuntimeConf("web", ns.path, "eth0")
...         async with cni.attachment(net, rt):
...             await anyio.run_process(ns.command(["ping", "-c1", "10.0.0.1"]))
"""

from .links import InterfaceState
from .mounted import RUN_DIR, create, list, new, remove
from .namespace import NetNS, NetNSError, at, current, of_pid

__all__ = [
    "RUN_DIR",
    "InterfaceState",
    "NetNS",
    "NetNSError",
    "at",
    "create",
    "current",
    "list",
    "new",
    "of_pid",
    "remove",
]

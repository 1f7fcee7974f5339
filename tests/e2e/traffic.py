"""Programs that talk to each other across namespaces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from tests.support.netns import Namespace

_SERVER: Final = """
import socket, sys
kind, port = sys.argv[1:]
server = socket.socket(socket.AF_INET6, getattr(socket, kind))
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", int(port)))
if kind == "SOCK_STREAM":
    server.listen()
print("ready", flush=True)
while True:
    if kind == "SOCK_STREAM":
        with server.accept()[0] as connection, connection.makefile("rwb") as stream:
            stream.write(stream.readline().upper())
    else:
        data, peer = server.recvfrom(1000)
        server.sendto(data.upper(), peer)
"""

_CLIENT: Final = """
import socket, sys
kind, host, port, words = sys.argv[1:]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, getattr(socket, kind)) as client, client.makefile("rwb") as stream:
    client.settimeout(10)
    client.connect((host, int(port)))
    stream.write(words.encode() + b"\\n")
    stream.flush()
    print(stream.readline().decode(), end="")
"""

TCP: Final = "SOCK_STREAM"
UDP: Final = "SOCK_DGRAM"


@contextlib.contextmanager
def shouting_server(where: Namespace, port: int, kind: str = TCP) -> Iterator[None]:
    """Run a server, on both families, that answers a line with the same in capital letters."""
    with where.serving(_SERVER, kind, str(port)):
        yield


def ask(where: Namespace, host: object, port: int, words: str, kind: str = TCP) -> str:
    """Say a line to a server and return its answer."""
    return where.python(_CLIENT, kind, str(host), str(port), words).strip()

"""Network namespaces without ``ip netns``: make one, look into one. Linux only.

A container runtime has its own way to make namespaces; for CNI a namespace is just a path.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK, _SIOCBRADDBR = 0x8914, 0x8915, 0x891B, 0x89A0
_IFF_UP = 1


@dataclass(frozen=True)
class View:
    """The view of a network namespace from inside it."""

    interfaces: dict[str, list[str]]
    """The IPv4 address of each interface, if it has one, with its prefix length."""
    routes: list[str]
    """The IPv4 routes, as one would say them."""


def enter_private_network() -> None:
    """Move this process into a network namespace of its own, which it may change.

    Without root privileges this also makes a user namespace in which the caller is root. Call it
    before the first thread starts: other threads would stay in the old namespace. There is nothing
    to undo: the kernel drops the namespace, and all links in it, after its last process.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEWNET)
    except PermissionError:
        _call("unshare", _NEWUSER | _NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def why_no_private_network() -> str | None:
    """Try a private network and a bridge in it, in a child; return the error, or `None`."""
    if sys.platform != "linux":
        return "network namespaces are a thing of Linux"
    command = [sys.executable, "-IS", __file__, "try"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["unknown"])[-1]


@contextlib.contextmanager
def new_namespace() -> Iterator[Path]:
    """Make a network namespace, held by a child process until the end of the block."""
    command = [sys.executable, "-IS", __file__, "hold"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            raise OSError("cannot make a network namespace")
        # The holder ends when its stdin is closed: by this block, or because this process ends.
        yield Path(f"/proc/{holder.pid}/ns/net")


def command_in(namespace: Path, *command: str) -> list[str]:
    """Return the command that runs a command in a namespace."""
    return [sys.executable, "-IS", __file__, "run", str(namespace), *command]


def look_into(namespace: Path) -> View:
    """Return the interfaces, addresses and routes of a namespace."""
    command = [sys.executable, "-IS", __file__, "show", str(namespace)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return View(**json.loads(done.stdout))


def enter(namespace: Path) -> None:
    """Move the calling thread into a network namespace."""
    with namespace.open() as file:
        _call("setns", file.fileno(), _NEWNET)


def _call(function: str, *args: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def _here() -> View:
    """Return the interfaces, addresses and routes of this process's network namespace."""
    interfaces: dict[str, list[str]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                address, mask = (
                    socket.inet_ntoa(fcntl.ioctl(control, code, request)[20:24])
                    for code in (_SIOCGIFADDR, _SIOCGIFNETMASK)
                )
            except OSError:
                interfaces[name] = []
            else:
                interfaces[name] = [str(ipaddress.ip_interface(f"{address}/{mask}"))]
    routes: list[str] = []
    for line in Path("/proc/self/net/route").read_text().splitlines()[1:]:
        device, *rest = line.split()
        target, gateway, mask = (_address(rest[column]) for column in (0, 1, 6))
        network = str(ipaddress.ip_network(f"{target}/{mask}"))
        to = "default" if network == "0.0.0.0/0" else network
        routes.append(f"{to} via {gateway}" if gateway != "0.0.0.0" else f"{to} on {device}")
    return View(interfaces, routes)


def _address(word: str) -> str:
    """Decode an address of /proc/net/route: hexadecimal, in the machine's byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(word, 16)))


def _main(task: str, *args: str) -> None:
    if task == "try":
        enter_private_network()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCBRADDBR, struct.pack("16s", b"try0"))
    elif task == "hold":
        _call("unshare", _NEWNET)
        print("ready", flush=True)
        sys.stdin.read()
    elif task == "run":
        enter(Path(args[0]))
        os.execvp(args[1], args[1:])
    elif task == "show":
        enter(Path(args[0]))
        print(json.dumps(vars(_here())))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except OSError as error:
        sys.exit(error.strerror)

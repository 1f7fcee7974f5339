"""A network of this program's own, so that trying something does not change the machine's."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_NEWNS, _NEWUSER, _NEWNET = 0x20000, 0x10000000, 0x40000000
_MS_PRIVATE, _MS_REC = 0x40000, 0x4000
_SIOCSIFFLAGS, _SIOCBRADDBR = 0x8914, 0x89A0
_IFF_UP = 1


def enter_private_network() -> None:
    """Move this process into network and mount namespaces of its own, which it may change.

    Without root privileges this also makes a user namespace in which the caller is root. Call it
    before the first thread starts: other threads would stay in the old namespaces. There is nothing
    to undo: the kernel drops the namespaces, all links and all mounts, after their last process.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEWNET | _NEWNS)
    except PermissionError:
        _call("unshare", _NEWUSER | _NEWNET | _NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def why_no_private_network() -> str | None:
    """Try a private network with a bridge and another namespace, in a child; return the error."""
    if sys.platform != "linux":
        return "network namespaces are a thing of Linux"
    command = [sys.executable, __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["unknown"])[-1]


def _call(function: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def _try() -> None:
    import tempfile

    import anyio

    from cni_async import netns

    async def make_namespace(folder: str) -> None:
        async with netns.new(dir=folder):
            pass

    enter_private_network()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCBRADDBR, struct.pack("16s", b"try0"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        anyio.run(make_namespace, folder)


if __name__ == "__main__":
    try:
        _try()
    except Exception as error:
        sys.exit(str(error))

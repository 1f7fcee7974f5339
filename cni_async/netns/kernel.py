"""System calls for network namespaces; Python lacks mount(2), and before 3.12 the others too."""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from typing import Final

# include/uapi/linux/sched.h, mount.h, if.h, sockios.h, nsfs.h
_CLONE_NEWNET: Final = 0x40000000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SHARED: Final = 0x100000
_MNT_DETACH: Final = 2
_IFF_UP: Final = 1
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_NS_GET_NSTYPE: Final = 0xB703
_REQUEST: Final = struct.Struct("16sH14x")  # struct ifreq

OWN: Final = "/proc/thread-self/ns/net"


def unshare() -> None:
    """Move this thread into a new network namespace; no other thread follows."""
    _call("unshare", _CLONE_NEWNET)


def enter(path: str) -> None:
    """Move this thread into the network namespace at a path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", fd, _CLONE_NEWNET)
    finally:
        os.close(fd)


def bind_own(path: str) -> None:
    """Mount this thread's network namespace on a file, which keeps it alive."""
    _mount(OWN, path, _MS_BIND)


def share(directory: str) -> bool:
    """Have mounts in a directory appear in the mount namespaces that were copied from this one.

    Returns:
        whether that is so now; `False` if the directory is not a mount point.
    """
    try:
        _mount("", directory, _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def bind_self(directory: str) -> None:
    """Make a directory a mount point, by mounting it on itself."""
    _mount(directory, directory, _MS_BIND | _MS_REC)


def unmount(path: str) -> None:
    """Remove a mount at once; the kernel frees the namespace with its last user."""
    _call("umount2", os.fsencode(path), _MNT_DETACH)


def set_loopback_up() -> None:
    """Enable the loopback interface of this thread's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0))
        _, flags = _REQUEST.unpack(answer)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _REQUEST.pack(b"lo", flags | _IFF_UP))


def identity(path: str) -> tuple[int, int] | None:
    """Return the device and inode of the network namespace at a path; `None` for another file."""
    found = os.stat(path)
    # All namespaces are in one file system. A FIFO, which open() would wait for, is elsewhere.
    if found.st_dev != os.stat(OWN).st_dev:
        return None
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_net = fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return (found.st_dev, found.st_ino) if is_net else None


def _mount(source: str, target: str, flags: int) -> None:
    _call("mount", os.fsencode(source), os.fsencode(target), b"none", flags, None)


def _call(function: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, function):
        raise OSError(errno.ENOSYS, "only Linux has network namespaces")
    if getattr(libc, function)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")

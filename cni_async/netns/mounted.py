"""Namespaces mounted on files: create, list and remove them, where ``ip netns`` sees them too."""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import stat
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final
from uuid import uuid4

from cni_async import _arguments
from cni_async._async.shielded import shielded
from cni_async._async.threads import in_thread

from . import kernel
from .namespace import NetNS, NetNSError, at, in_own_thread, in_words

RUN_DIR: Final = "/run/netns"
# NAME_MAX of every file system in memory.
_MAX_NAME: Final = 255
# Another process holds the lock for some system calls; a second of waiting is enough.
_LOCK_PAUSE: Final = 0.01
_LOCK_ATTEMPTS: Final = 100


@asynccontextmanager
async def new(
    *, prefix: str = "cni-", dir: str | os.PathLike[str] = RUN_DIR, loopback: bool = True
) -> AsyncGenerator[NetNS]:
    """Provide a new network namespace for a block, and remove it afterwards.

    The removal also happens if the caller is cancelled. A process that is still in the namespace
    keeps it alive, without a path.

    Args:
        prefix: the start of its name; the rest is a random UUID.
        dir: the directory of its path.
        loopback: whether to enable its loopback interface.

    Raises:
        NetNSError: it cannot be created or removed.
    """
    ns = await create(f"{prefix}{uuid4()}", dir=dir, loopback=loopback)
    try:
        yield ns
    finally:
        await remove(ns)


async def create(
    name: str,
    *,
    dir: str | os.PathLike[str] = RUN_DIR,
    loopback: bool = True,
    exist_ok: bool = False,
) -> NetNS:
    """Create a network namespace with a name, as `ip netns add` does.

    A caller that is cancelled meanwhile leaves nothing behind.

    Args:
        name: the name of its file in `dir`, at most 255 bytes without a slash.
        dir: the directory of its path, which is created if it is missing. The default one is made
            a shared mount; in another one, programs in other mount namespaces see the namespace
            only if the file system is mounted as shared, as systemd does.
        loopback: whether to enable its loopback interface.
        exist_ok: return a namespace that has this name already, and replace an empty file without
            a namespace, which a reboot or a crash leaves.

    Raises:
        NetNSError: the name cannot be used or is taken, or this process has no rights.
    """
    directory = os.fsdecode(dir)
    path = os.path.join(directory, _checked(name))
    made: builtins.list[str] = []
    kept = False
    work = partial(_create, directory, path, loopback=loopback, exist_ok=exist_ok, made=made)
    try:
        with in_words(f"cannot create network namespace {path}", path):
            ns = await shielded(in_own_thread(work))
        kept = True
        return ns
    finally:
        if made and not kept:  # cancelled, once it existed
            await shielded(in_thread(_remove, path))


async def remove(ns: NetNS | str | os.PathLike[str]) -> None:
    """Remove a network namespace's path; succeed if nothing is there.

    The kernel frees the namespace once no process and no socket is in it. A caller that is
    cancelled waits until the path is removed.

    Raises:
        NetNSError: the path leads to something else than a namespace or an empty file, or this
            process has no rights.
    """
    path = os.fsdecode(ns)
    with in_words(f"cannot remove network namespace {path}", path):  # also if no thread starts
        await shielded(in_thread(_remove, path))


async def list(dir: str | os.PathLike[str] = RUN_DIR) -> builtins.list[NetNS]:
    """List the network namespaces with a path in a directory, sorted by name.

    Files that do not lead to a namespace are left out. A missing directory has none.

    Raises:
        NetNSError: the directory cannot be read.
    """
    directory = os.fsdecode(dir)
    with in_words(f"cannot list the network namespaces in {directory}", directory):
        return await in_thread(_list, directory)


def _checked(name: str) -> str:
    _arguments.require_text(name, "name")
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise NetNSError(f"{name!r} cannot be the name of a network namespace", path=name)
    if len(os.fsencode(name)) > _MAX_NAME:
        raise NetNSError(f"a network namespace's name has at most {_MAX_NAME} bytes", path=name)
    return name


def _create(
    directory: str, path: str, *, loopback: bool, exist_ok: bool, made: builtins.list[str]
) -> NetNS:
    """Create a namespace in this thread; `made` gets the path once there is something to undo."""
    os.makedirs(directory, 0o755, exist_ok=True)
    if os.path.realpath(directory) == RUN_DIR:
        _share(directory)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    except FileExistsError:
        if not exist_ok:
            raise
        if inode := kernel.identity(path):
            return NetNS(path, inode)
        _require_leftover(path)
    made.append(path)
    try:
        kernel.unshare()
        if loopback:
            kernel.set_loopback_up()
        kernel.bind_own(path)
        return at(path)
    except BaseException:
        _remove(path)
        made.clear()
        raise


def _share(directory: str) -> None:
    """Have namespaces appear in other mount namespaces, e.g. of daemons, as `ip netns add` does."""
    if kernel.share(directory):
        return
    with _locked(directory):
        # Another caller may have been faster.
        if not kernel.share(directory):
            kernel.bind_self(directory)
            kernel.share(directory)


@contextmanager
def _locked(directory: str) -> Generator[None]:
    """Hold the lock of `ip netns add`: two that mount the directory on itself hide each other."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(_LOCK_ATTEMPTS):
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_LOCK_PAUSE)
        else:
            raise TimeoutError(errno.ETIMEDOUT, f"another process holds the lock of {directory}")
        yield
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        if os.path.islink(path):
            raise OSError(errno.EINVAL, "it is a link")
        # A second namespace may be mounted over the first.
        while kernel.identity(path) is not None:
            kernel.unmount(path)
        _require_leftover(path)
        os.unlink(path)


def _require_leftover(path: str) -> None:
    """Raise unless a path is an empty file, as is left where a namespace was mounted."""
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size:
        raise FileExistsError(errno.EEXIST, "it is not a network namespace")


def _list(directory: str) -> builtins.list[NetNS]:
    found: builtins.list[NetNS] = []
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return found
    for name in names:
        path = os.path.join(directory, name)
        with suppress(OSError):  # it was removed meanwhile
            if inode := kernel.identity(path):
                found.append(NetNS(path, inode))
    return found

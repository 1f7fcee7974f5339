"""A network namespace: which one it is, what is in it, and how to run something there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from errno import EACCES, EAGAIN, EPERM
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
import msgspec

from cni_async._async.threads import in_thread
from cni_async.errors import CNIError

from . import kernel, links

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

_NO_RIGHTS: Final = frozenset({EPERM, EACCES})


class NetNSError(CNIError):
    """A network namespace cannot be created, entered, removed or found.

    Attributes:
        path: the path of the namespace, if there is one.
        errno: the kernel's error number; 0 if the kernel did not refuse.
    """

    def __init__(self, text: str = "", *, path: str = "", errno: int = 0) -> None:
        super().__init__(text)
        self.path: str = path
        self.errno: int = errno


class NetNS(msgspec.Struct, frozen=True):
    """A network namespace at a path; equal to another object if it is the same namespace there.

    Attributes:
        path: leads to the namespace; CNI_NETNS for plugins.
        inode: the device and inode of the namespace. A path that is used again, e.g. after a
            reboot, leads to a namespace with another inode or device.
    """

    path: str
    inode: tuple[int, int]

    @property
    def name(self) -> str | None:
        """The last part of the path; `None` for the namespace of a process."""
        return None if self.path.startswith("/proc/") else os.path.basename(self.path)

    def __fspath__(self) -> str:
        return self.path

    def same_as(self, other: NetNS) -> bool:
        """Return whether both are the same namespace, perhaps at different paths."""
        return self.inode == other.inode

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs a command in the namespace, with nsenter (util-linux)."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    async def exists(self) -> bool:
        """Return whether the path still leads to this namespace.

        Raises:
            NetNSError: no thread can be started.
        """
        with in_words(f"cannot examine network namespace {self.path}", self.path):
            return await in_thread(_leads_to, self.path, self.inode)

    async def run(self, function: Callable[[*_Args], _T], /, *args: *_Args) -> _T:
        """Call a function in a thread that is in the namespace and ends afterwards.

        Sockets that the function opens stay in the namespace. A cancelled caller still waits for
        the function to return, as with `anyio.to_thread.run_sync`.

        Raises:
            NetNSError: the namespace cannot be entered; the function was not called.
            Exception: what the function raises.
        """

        def call() -> _T:
            with in_words(f"cannot enter network namespace {self.path}", self.path):
                kernel.enter(self.path)
            return function(*args)

        return await in_own_thread(call)

    async def interfaces(self) -> list[links.InterfaceState]:
        """Return the interfaces in the namespace, in the order of their indexes.

        Raises:
            NetNSError: the namespace cannot be entered.
        """
        return await self.run(links.interfaces)

    async def loopback_up(self) -> None:
        """Enable the loopback interface.

        Raises:
            NetNSError: the namespace cannot be entered, or this process has no rights there.
        """

        def call() -> None:
            with in_words(f"cannot enable the loopback interface of {self.path}", self.path):
                kernel.set_loopback_up()

        await self.run(call)

    async def processes(self) -> list[int]:
        """Return the IDs of the processes in the namespace, in ascending order.

        Processes that this user may not examine are left out: as root none is. A process counts
        if its main thread is in the namespace.

        Raises:
            NetNSError: /proc cannot be read, or no thread can be started.
        """
        with in_words("cannot list the processes", self.path):
            return await in_thread(_processes, self.inode)


def at(path: str | os.PathLike[str]) -> NetNS:
    """Return the network namespace at a path.

    Raises:
        NetNSError: the path does not lead to a network namespace.
    """
    text = os.fsdecode(path)
    with in_words(f"no network namespace at {text}", text):
        inode = kernel.identity(text)
    if inode is None:
        raise NetNSError(f"{text} is not a network namespace", path=text)
    return NetNS(text, inode)


def of_pid(pid: int) -> NetNS:
    """Return the network namespace of a process.

    Raises:
        NetNSError: no such process exists, or this user may not examine it.
    """
    return at(f"/proc/{int(pid)}/ns/net")


def current() -> NetNS:
    """Return the network namespace of this thread, at a path that other processes can use."""
    return at(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")


async def in_own_thread(function: Callable[[], _T], *, abandon_on_cancel: bool = False) -> _T:
    """Call a function in a thread that ends afterwards.

    A thread that has changed its namespace must not serve another caller, so none of a pool is
    used for the function. One of anyio's waits for it.

    Args:
        function: what to call.
        abandon_on_cancel: whether a cancelled caller goes on without waiting for the function.

    Raises:
        NetNSError: no thread can be started.
        Exception: what the function raises.
    """
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    def wait() -> None:
        thread = threading.Thread(target=call, name="cni_async.netns", daemon=True)
        thread.start()
        thread.join()

    try:
        await anyio.to_thread.run_sync(
            wait, abandon_on_cancel=abandon_on_cancel, limiter=anyio.CapacityLimiter(1)
        )
    except RuntimeError as error:
        raise NetNSError(f"no thread can be started: {error}", errno=EAGAIN) from error
    if failure:
        raise failure[0]
    return outcome[0]


@contextmanager
def in_words(words: str, path: str) -> Generator[None]:
    """Raise the kernel's errors as `NetNSError`, with a hint for the most frequent one.

    Args:
        words: what cannot be done.
        path: the path of the namespace.
    """
    try:
        yield
    except OSError as error:
        text = f"{words}: {error.strerror or error}"
        if error.errno in _NO_RIGHTS:
            text += ' (it needs CAP_SYS_ADMIN: run as root, or in "unshare -Urnm")'
        raise NetNSError(text, path=path, errno=error.errno or 0) from error
    except ValueError as error:  # a NUL in the path, or a lone surrogate
        raise NetNSError(f"{words}: {error}", path=path) from error


def _leads_to(path: str, inode: tuple[int, int]) -> bool:
    try:
        return kernel.identity(path) == inode
    except (OSError, ValueError):
        return False


def _processes(inode: tuple[int, int]) -> list[int]:
    found: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            status = os.stat(f"/proc/{name}/ns/net")
        except OSError:
            continue  # it has just ended, or belongs to another user
        if (status.st_dev, status.st_ino) == inode:
            found.append(int(name))
    return sorted(found)

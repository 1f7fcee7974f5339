"""Reused numbers of file descriptors, and resources that the kernel refuses."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async.errors import PluginError
from cni_async.invoke import RawExec, pipes as pipes_module
from tests.support.scripts import Scripts, has_children, open_fds, wait_for_fds

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

HANG = 60
SOON = 20.0


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    """Check that a test leaves no children (zombies included) and no file descriptors."""
    children, fds = has_children(), len(open_fds())
    yield
    assert has_children() == children
    assert wait_for_fds(fds)


def move(fd: int, wanted: int) -> None:
    """Move a descriptor to another number."""
    if fd != wanted:
        os.dup2(fd, wanted, inheritable=False)
        os.close(fd)


@pytest.mark.parametrize("size", [2, 200000])
async def test_the_number_of_stdin_comes_back(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The pidfd may get the number of stdin's end: the call still notices the exit."""
    numbers: list[int] = []
    make = pipes_module.Pipes.__init__

    def note(self: pipes_module.Pipes, *args: Any) -> None:
        real = os.pipe

        def pipe() -> tuple[int, int]:
            ends = real()
            numbers.append(ends[1])
            return ends

        with monkeypatch.context() as patch:
            patch.setattr(os, "pipe", pipe)
            make(self, *args)
        if size < 65536:
            # Occupy the number, so that no other descriptor, such as trio's own pidfd, gets it.
            move(os.open(os.devnull, os.O_RDONLY), numbers[0])

    def pidfd_open(pid: int) -> int:
        fd = os.pidfd_open(pid)
        if size > 65536:  # stdin is still open
            return fd
        move(fd, numbers[0])
        return numbers[0]

    monkeypatch.setattr(pipes_module.Pipes, "__init__", note)
    monkeypatch.setattr(pipes_module, "_pidfd_open", pidfd_open)
    # Polling would take longer than the test waits.
    monkeypatch.setattr(pipes_module, "_TICK", float(HANG))
    with anyio.fail_after(SOON):
        answer = await RawExec().exec_plugin(scripts.sh("sleep 0.1; exec cat"), bytes(size), None)
    assert answer == bytes(size)


def no_pidfd(number: int, patch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    patch.setattr(pipes_module, "_pidfd_open", pidfd_open)


def no_epoll(number: int, patch: pytest.MonkeyPatch) -> None:
    def epoll() -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(select, "epoll", epoll)


def no_place_in_epoll(number: int, patch: pytest.MonkeyPatch) -> None:
    real = select.epoll

    class Epoll:
        """Accepts one descriptor and no more."""

        def __init__(self) -> None:
            self._epoll = real()
            self._full = False
            self.close = self._epoll.close

        def register(self, fd: int, what: int) -> None:
            if self._full:
                raise OSError(number, os.strerror(number))
            self._full = True
            self._epoll.register(fd, what)

    patch.setattr(select, "epoll", Epoll)


Missing = Callable[[int, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("take_away", [no_pidfd, no_epoll, no_place_in_epoll])
@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC]
)
async def test_what_cannot_be_had(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, take_away: Missing, number: int
) -> None:
    """Polling replaces the missing resource."""
    with anyio.fail_after(SOON):
        path = scripts.sh("exec cat")
        with monkeypatch.context() as patch:
            # The event loops keep their own.
            take_away(number, patch)
            assert await RawExec().exec_plugin(path, bytes(200000), None) == bytes(200000)
            with pytest.raises(PluginError, match="exit status 3"):
                await RawExec().exec_plugin(scripts.sh("exit 3", "bad"), b"", None)


@pytest.mark.parametrize("take_away", [no_pidfd, no_epoll, no_place_in_epoll])
@pytest.mark.parametrize("number", [errno.EEXIST, errno.EBADF, errno.EINVAL])
async def test_mistakes_are_told(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, take_away: Missing, number: int
) -> None:
    """Mistakes are not taken for a missing resource or for a failed start."""
    path = scripts.sh(f"exec sleep {HANG}")
    with monkeypatch.context() as patch, anyio.fail_after(SOON):
        take_away(number, patch)
        with pytest.raises(RuntimeError, match="cannot watch a child process"):
            await RawExec(grace=0).exec_plugin(path, b"", None)

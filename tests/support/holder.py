"""Another process, which holds the locks of an operation in a lock file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from cni_async.operations import lockfile, order
from tests.support.program import PIPE, Program
from tests.support.wait import PATIENCE

PROGRAM: Final = """
import sys
import anyio
from cni_async.operations.order import Locks

async def main():
    kind, file = sys.argv[1:3]
    locks = Locks(file)
    hold = locks.collection("other", "n") if kind == "gc" else locks.attachment("other", "n", kind)
    async with hold:
        print("inside", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(main)
"""


class Holder:
    """Another process, which waits for the locks of an operation and then holds them."""

    def __init__(self, kind: str, file: Path, program: str = PROGRAM) -> None:
        self._process = Program(kind, str(file), code=program, stdin=PIPE, stdout=PIPE)

    async def says(self) -> str:
        assert self._process.stdout is not None
        with anyio.fail_after(PATIENCE):
            line = await anyio.to_thread.run_sync(
                self._process.stdout.readline, abandon_on_cancel=True
            )
        return line.strip()

    def tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def holder(kind: str, file: Path, program: str = PROGRAM) -> Iterator[Holder]:
    process = Holder(kind, file, program)
    try:
        yield process
    finally:
        process.end()


async def is_queueing(file: Path, kind: str, name: str) -> None:
    """Wait until another process is the next to get the lock of a "network" or a "container"."""
    with anyio.fail_after(PATIENCE):
        while not lockfile.is_locked(str(file), order._byte_of(kind, name) - 1):
            await anyio.sleep(0.01)

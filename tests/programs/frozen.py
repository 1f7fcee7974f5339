"""Attach containers while the file system of the cache is frozen, as for a snapshot.

``python -m tests.programs.frozen <event loop>`` in a mount namespace of its own, as root; prints a
line if the file system cannot be mounted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from cni_async import CacheWriteError, CNIConfig, FileCache
from cni_async.cache import files
from cni_async.testing import FakeExec
from tests.programs.interrupted import LOOPS
from tests.support.chains import KEY, RT, address, as_dict, network
from tests.support.stuck import until_no_thread_is_busy

AT_MOST = 60  # seconds until it thaws, whatever happens to this program
WAIT = 1.0

A = network("a")


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[str]:
    """Mount a new file system on a folder; yield the error's text if that fails, else ""."""
    image.touch()
    os.truncate(image, 16 * 2**20)
    folder.mkdir()
    for command in (
        ["mkfs.ext4", "-q", "-F", str(image)],
        ["mount", "-o", "loop", str(image), str(folder)],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            yield getattr(error, "stderr", "") or str(error)
            return
    try:
        yield ""
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class Freezer:
    """Freezes a file system, and makes sure that it thaws again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watch: subprocess.Popen[bytes] | None = None

    def freeze(self) -> None:
        """Freeze the file system: every write hangs from now on."""
        # Another process thaws it, because this one may hang or die.
        thaw = f'timeout {AT_MOST} cat >/dev/null; fsfreeze --unfreeze "$0"'
        self._watch = subprocess.Popen(["sh", "-c", thaw, self._folder], stdin=subprocess.PIPE)
        subprocess.run(["fsfreeze", "--freeze", self._folder], check=True)

    def thaw(self) -> None:
        """Thaw the file system: hanging writes go on."""
        if self._watch is not None:
            self._watch.communicate()
            assert self._watch.returncode == 0
            self._watch = None


class Node:
    """A runtime with fake plugins and a cache in a directory."""

    def __init__(self, folder: Path, freezer: Freezer) -> None:
        self.folder = folder
        self.freezer = freezer
        self.adds = 0
        self.cni = CNIConfig(
            ["/bin"], exec=FakeExec({("a", "ADD"): self._add}), cache=FileCache(folder)
        )

    async def _add(self, call: object) -> dict[str, Any]:
        self.adds += 1
        return address(self.adds)

    def files(self) -> list[str]:
        """Return the names of all files in the cache, including unfinished ones."""
        return [path.name for path in self.folder.rglob("*") if path.is_file()]

    async def fails(self) -> CacheWriteError:
        """Check that an ADD fails in time because it cannot be recorded."""
        with anyio.fail_after(30):
            try:
                await self.cni.add_network_list(A, RT)
            except CacheWriteError as error:
                caught = error
            else:
                raise AssertionError("it was recorded")
        assert str(caught).endswith(f": no answer in {WAIT:g} s")
        return caught

    async def delete(self) -> None:
        """Check that a DEL succeeds in time."""
        with anyio.fail_after(30):
            await self.cni.del_network_list(A, RT)


async def run(node: Node) -> None:
    """Run ADDs and DELs on a frozen file system and on a thawed one."""
    await node.cni.add_network_list(A, RT)
    await node.cni.del_network_list(A, RT)
    assert node.files() == []

    # A record that could not be written does not appear once the file system has thawed.
    node.freezer.freeze()
    error = await node.fails()
    assert as_dict(error.result) == address(2)
    await node.delete()
    node.freezer.thaw()
    await until_no_thread_is_busy()
    assert node.files() == []

    # A removal that the kernel already has comes late, and removes no later record.
    await node.cni.add_network_list(A, RT)
    assert node.files() == [KEY.file_name]
    node.freezer.freeze()
    await node.delete()
    # The ADD waits for the removal and runs no plugin.
    assert (await node.fails()).result is None
    assert node.adds == 3
    node.freezer.thaw()
    await node.cni.add_network_list(A, RT)
    await until_no_thread_is_busy()
    result = await node.cni.get_network_list_cached_result(A, RT)
    assert result is not None
    assert as_dict(result) == address(4)
    await node.delete()
    await until_no_thread_is_busy()
    assert node.files() == []


def main() -> None:
    """Run the test in the event loop that the command line names."""
    backend, options = LOOPS[sys.argv[1]]
    setattr(files, "_WAIT", WAIT)  # noqa: B010 - Final to type checkers
    with (
        tempfile.TemporaryDirectory() as name,
        mounted(Path(name, "image"), Path(name, "mount")) as problem,
    ):
        if problem:
            print(problem)
            return
        freezer = Freezer(Path(name, "mount"))
        try:
            node = Node(Path(name, "mount", "cache"), freezer)
            anyio.run(run, node, backend=backend, backend_options=options)
        finally:
            freezer.thaw()


if __name__ == "__main__":
    main()

"""A runtime in a process of its own, for tests that kill it during an ADD."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cni_async import NetworkConfigList

from .program import Program

_PROGRAM = """
import sys
import anyio
from cni_async import CNIConfig, RuntimeConf, conf_list_from_bytes

async def main():
    plugins, cache, lock_file, net, container = sys.argv[1:]
    cni = CNIConfig([plugins], cache_dir=cache, lock_file=lock_file, rollback=True)
    rt = RuntimeConf(container, "", "eth0")
    await cni.add_network_list(conf_list_from_bytes(net.encode()), rt)

anyio.run(main)
"""


@contextmanager
def adding(
    plugins: Path, cache: Path, lock_file: Path, net: NetworkConfigList, container_id: str
) -> Iterator[Program]:
    """Run a runtime during a block, which makes an ADD with `rollback`; then kill it."""
    arguments = [str(plugins), str(cache), str(lock_file), net.raw.decode(), container_id]
    child = Program(*arguments, code=_PROGRAM)
    try:
        yield child
    finally:
        child.kill()
        child.wait()

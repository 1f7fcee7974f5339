"""A directory for namespaces that leaves no mount behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_async.netns import kernel
from tests.support.require import require


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Provide a directory for namespaces; `create` makes it, and it may become a mount point."""
    require(os.geteuid() == 0, "creating network namespaces needs root")
    path = tmp_path / "netns"
    yield path
    for mounted in [*path.glob("*"), path]:
        with contextlib.suppress(OSError):
            while True:
                kernel.unmount(str(mounted))

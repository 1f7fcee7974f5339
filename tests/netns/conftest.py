"""Directories for namespaces that leave no mount behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_async.netns import kernel, mounted as mounted_module
from tests.support.require import require


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Provide a directory for namespaces, which `create` makes."""
    require(os.geteuid() == 0, "creating network namespaces needs root")
    path = tmp_path / "netns"
    yield path
    for mounted in [*path.glob("*"), path]:
        with contextlib.suppress(OSError):
            while True:
                kernel.unmount(str(mounted))


@pytest.fixture
def run_dir(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a directory that is treated like /run/netns."""
    monkeypatch.setattr(mounted_module, "RUN_DIR", str(directory))
    return directory

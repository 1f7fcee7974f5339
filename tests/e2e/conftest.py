"""Fixtures for end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Host


# uvloop only starts processes in its own way, and tests/ has enough of these.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run every test on asyncio and on trio."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture
def host(tmp_path: Path, plugin_dir: Path) -> Iterator[Host]:
    """Provide a host, which has to be clean again at the end of the test."""
    folder = tmp_path / "host"
    folder.mkdir()
    host = Host(folder, plugin_dir)
    try:
        yield host
        assert host.wait_until_clean() == {}
    finally:
        host.close()

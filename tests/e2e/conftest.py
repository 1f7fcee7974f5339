"""Fixtures for end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Host


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run every test on each event loop in its usual way to start plugins: on uvloop it's posix."""
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

"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import hypothesis
import pytest

from cni_async.invoke import Spawn
from tests.support import starts
from tests.support.netns import leave_host_network
from tests.support.plugins import reference_plugins
from tests.support.processes import command, ignore_no_signals, state
from tests.support.recorder import Recorder
from tests.support.scripts import children, has_children

_HAS_UVLOOP = find_spec("uvloop") is not None
_NO_UVLOOP = pytest.mark.skipif(
    not _HAS_UVLOOP and not os.environ.get("CI"), reason="uvloop is not installed"
)


def pytest_configure() -> None:
    """Isolate the tests from the machine: its network, its ignored signals, its speed."""
    ignore_no_signals()
    leave_host_network()
    # The duration of an example says more about the machine than about the tested code.
    patient = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("patient", patient)
    hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect uvloop's own way to start plugins in tests that are not marked `libuv`.

    It copies the memory of this process for each plugin, and no event loop uses it by default.
    """
    left_out = [each for each in items if _is_of_libuv(each)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


def _is_of_libuv(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    given = item.callspec.params
    backend = given.get("anyio_backend")
    on_uvloop = "use_uvloop': True" in str(backend) or given.get("loop") == "uvloop"
    marked = item.get_closest_marker("libuv") is not None
    return on_uvloop and given.get("spawn") == "anyio" and not marked


def pytest_collection_finish() -> None:
    """Exempt the thousands of tests, which all stay alive, from garbage collection."""
    gc.collect()
    gc.freeze()


# anyio's own fixture has module scope, so module-scoped asynchronous fixtures work.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop", marks=_NO_UVLOOP),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run every test marked ``anyio`` on each event loop that we support."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture(autouse=True)
def _children() -> Iterator[None]:
    """Fail a test that leaves children, zombies included, so that later tests are not blamed."""
    had = has_children()  # children of a fixture with a larger scope
    yield
    if not had and has_children():
        left = [f"{pid} {state(pid)} {command(pid)}" for pid in sorted(children())]
        pytest.fail("this test leaves children: " + "; ".join(left))


@pytest.fixture(params=get_args(Spawn))
def spawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Spawn:
    """Run the test with each way to start plugins, on each event loop."""
    way: Spawn = request.param
    starts.use(way, monkeypatch)
    return way


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """Provide plugins that follow instructions and record how they were called."""
    return Recorder(tmp_path)


@pytest.fixture(scope="session")
def plugin_dir() -> Path:
    """Provide the directory with the reference plugins."""
    return reference_plugins()

"""The namespace of a sandbox is checked before any plugin runs, and its loopback is enabled."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from cni_async import CNIConfig, netns
from cni_async.netns import NetNS, NetNSError
from cni_async.networks import Networks, Sandbox
from tests.support.chains import network
from tests.support.recorder import Recorder
from tests.support.require import require

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ns(tmp_path: Path) -> AsyncGenerator[NetNS]:
    """Provide a namespace whose loopback interface is down."""
    require(os.geteuid() == 0, "creating network namespaces needs root")
    async with netns.new(dir=tmp_path / "netns", loopback=False) as made:
        yield made


def nets(recorder: Recorder, tmp_path: Path, *, loopback: bool = True) -> Networks:
    """Return a network with a plugin that is a process."""
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache")
    return Networks.of([network("a", name="n")], cni=cni, loopback=loopback)


async def is_loopback_up(ns: NetNS) -> bool:
    [loopback] = await ns.interfaces()
    return loopback.up


async def test_loopback_is_enabled(recorder: Recorder, tmp_path: Path, ns: NetNS) -> None:
    await nets(recorder, tmp_path).setup(Sandbox("c1", ns))
    assert await is_loopback_up(ns)
    assert [call.command for call in recorder.calls()] == ["ADD"]


async def test_loopback_is_left_alone(recorder: Recorder, tmp_path: Path, ns: NetNS) -> None:
    await nets(recorder, tmp_path, loopback=False).setup(Sandbox("c1", ns))
    assert not await is_loopback_up(ns)


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/passwd", "/etc/passwd is not a network namespace"),
        ("/nowhere", "no network namespace at /nowhere: No such file or directory"),
        ("", "no network namespace at : No such file or directory"),
        ("/proc/self/ns/net", "/proc/self/ns/net is this process's own network namespace"),
    ],
)
async def test_a_namespace_that_cannot_be_used(
    recorder: Recorder, tmp_path: Path, path: str, text: str, *, loopback: bool
) -> None:
    with pytest.raises(NetNSError) as caught:
        await nets(recorder, tmp_path, loopback=loopback).setup(Sandbox("c1", path))
    assert str(caught.value) == text
    assert recorder.calls() == []


async def test_a_teardown_without_an_id_ends(tmp_path: Path) -> None:
    """It loads the networks within its own turn."""
    made = Networks(CNIConfig(["/bin"], cache_dir=tmp_path / "cache"), tmp_path / "net.d")
    with anyio.fail_after(10), pytest.raises(Exception, match="no net configurations found"):
        await made.teardown(Sandbox("", "/run/netns/blue"))

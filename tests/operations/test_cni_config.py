"""The parts of a `CNIConfig`.

See items 348 and 351 of docs/maintainers/conformance.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import (
    AggregateError,
    CNIConfig,
    FileCache,
    GCArgs,
    GCAttachment,
    MemoryCache,
    PluginInfo,
    PluginTimeoutError,
    RawExec,
    RuntimeConf,
)
from cni_async.testing import FakeCall, FakeExec
from tests.support.chains import RT, Blocker, network, runtime, single
from tests.support.recorder import Answer, Recorder


@pytest.mark.parametrize("path", ["/opt/cni/bin", b"/opt/cni/bin"])
def test_one_string_is_no_path(path: Any) -> None:
    with pytest.raises(TypeError, match="path must be a sequence of directories"):
        CNIConfig(path)


def test_the_path_can_be_of_paths() -> None:
    assert CNIConfig([Path("/a"), "/b"]).path == ("/a", "/b")


@pytest.mark.parametrize("directory", ["/c", Path("/c")])
def test_a_cache_and_a_directory(directory: Any) -> None:
    with pytest.raises(ValueError, match="give either cache or cache_dir"):
        CNIConfig([], cache=MemoryCache(), cache_dir=directory)
    CNIConfig([], cache=FileCache(directory), cache_dir="")


@pytest.mark.parametrize("exec", [None, FakeExec()], ids=["default", "own"])
@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_that_makes_no_sense(timeout: float, exec: FakeExec | None) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be positive, not"):
        CNIConfig([], exec=exec, timeout=timeout)


@pytest.mark.anyio
async def test_an_empty_lock_file_is_none() -> None:
    """As with `cache_dir`; it would be the current directory."""
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=MemoryCache(), lock_file="")
    await cni.add_network_list(network("a"), RT)


def test_bounds_of_a_raw_exec() -> None:
    with pytest.raises(ValueError, match="max_output must not be negative, as -1 is"):
        RawExec(max_output=-1)
    wrong: Any = ["posix"]
    with pytest.raises(ValueError, match="spawn must be"):
        RawExec(spawn=wrong)


def test_a_grace_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"^grace must not be negative, as -1 is$"):
        CNIConfig([], grace=-1)


@pytest.mark.anyio
async def test_item_348_without_an_executor_plugins_are_processes(
    recorder: Recorder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = {"ADD": Answer(stderr="look\n"), "DEL": Answer(sleep=5)}
    recorder.plugin("a", answers)
    await CNIConfig(recorder.path, cache_dir=tmp_path).add_network_list(network("a"), RT)
    assert capfd.readouterr().err == "look\n"
    impatient = CNIConfig(recorder.path, cache_dir=tmp_path, timeout=0.2, grace=0.1)
    with pytest.raises(PluginTimeoutError, match=r"timed out after 0\.2 s"):
        await impatient.del_network(single(), RT)


_NET = network("a")
_IMPATIENT: dict[str, tuple[str, Callable[[CNIConfig], Awaitable[object]]]] = {
    "add": ("ADD", lambda cni: cni.add_network_list(_NET, RT)),
    "check": ("CHECK", lambda cni: cni.check_network_list(_NET, RT)),
    "del": ("DEL", lambda cni: cni.del_network_list(_NET, RT)),
    "gc": ("GC", lambda cni: cni.gc_network_list(_NET, GCArgs([GCAttachment("c1", "eth0")]))),
    "gc-del": ("DEL", lambda cni: cni.gc_network_list(_NET, GCArgs())),
    "status": ("STATUS", lambda cni: cni.get_status_network_list(_NET)),
    "validate": ("VERSION", lambda cni: cni.validate_network_list(_NET)),
    "version": ("VERSION", lambda cni: cni.get_version_info("a")),
    "single-add": ("ADD", lambda cni: cni.add_network(single(), RT)),
    "single-check": ("CHECK", lambda cni: cni.check_network(single(), RT)),
    "single-del": ("DEL", lambda cni: cni.del_network(single(), RT)),
    "single-validate": ("VERSION", lambda cni: cni.validate_network(single())),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("command", "call"), _IMPATIENT.values(), ids=list(_IMPATIENT))
async def test_item_230_every_operation_has_the_deadline(
    command: str, call: Callable[[CNIConfig], Awaitable[object]]
) -> None:
    fake = runtime()
    await fake.added()
    records = dict(fake.cache.records)
    exec = FakeExec({("a", command): Blocker()})
    cni = CNIConfig(["/bin"], exec=exec, cache=fake.cache, timeout=0.05)
    with pytest.raises((PluginTimeoutError, AggregateError)) as caught:
        await call(cni)
    error: Exception = caught.value
    if isinstance(error, AggregateError):
        error = error.errors[0]
    assert isinstance(error, PluginTimeoutError)
    assert (error.plugin, error.command, error.retryable) == ("a", command, True)
    assert "netplugin failed with no error message: timed out after 0.05 s" in str(error)
    assert fake.cache.records == records


@pytest.mark.parametrize("bounds", [{"grace": 1.0}, {"limiter": True}, {"spawn": "posix"}])
async def test_bounds_that_an_exec_of_ones_own_would_not_see(
    bounds: dict[str, Any], anyio_backend: object
) -> None:
    if "limiter" in bounds:
        bounds = {"limiter": anyio.CapacityLimiter(1)}
    [name] = bounds
    with pytest.raises(ValueError, match=f"^{name} has no effect on an exec of your own"):
        CNIConfig(["/bin"], exec=FakeExec(), **bounds)


class Translated(FakeExec):
    """An executor with its own way to find, run and decode plugins."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        return f"image:{'+'.join(paths)}/{plugin}"

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        self.paths.append(plugin_path)
        await super().exec_plugin(plugin_path, stdin_data, environ)
        return b"{}"

    def decode(self, data: bytes) -> PluginInfo:
        return PluginInfo((data.decode(), "1.1.0"), "decoded")


@pytest.mark.anyio
async def test_item_348_an_executor_of_ones_own_decides_all_three() -> None:
    exec = Translated()
    cni = CNIConfig(["/a", "/b"], exec=exec, cache=MemoryCache())
    await cni.add_network_list(network("p"), RT)
    assert await cni.get_version_info("p") == PluginInfo(("{}", "1.1.0"), "decoded")
    assert await cni.validate_network_list(network("p")) == []
    assert exec.paths == ["image:/a+/b/p"] * 3
    assert [call.command for call in exec.calls] == ["ADD", "VERSION", "VERSION"]


@pytest.mark.anyio
async def test_item_351_different_containers_at_the_same_time() -> None:
    all_of_them = anyio.Event()

    async def add(call: FakeCall) -> None:
        if len(fake.exec.calls) == 20:
            all_of_them.set()
        await all_of_them.wait()

    fake = runtime({("a", "ADD"): add})
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(20):
                rt = RuntimeConf(f"c{number}", "", "eth0")
                group.start_soon(fake.cni.add_network_list, network("a"), rt)
    assert len(fake.cache.records) == 20

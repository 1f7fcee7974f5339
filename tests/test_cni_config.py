"""What a `CNIConfig` is made of (items 348, 350 and 351 of the checklist)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async import CNIConfig, FileCache, MemoryCache, PluginTimeoutError, RuntimeConf
from cni_async.testing import FakeCall, FakeExec
from tests.support.chains import RT, network, runtime, single
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
@pytest.mark.parametrize(
    "numbers",
    [{"timeout": 0}, {"timeout": -1}, {"timeout": float("nan")}, {"grace": -1}],
    ids=["0", "-1", "nan", "grace"],
)
def test_numbers_that_make_no_sense(numbers: dict[str, float], exec: FakeExec | None) -> None:
    with pytest.raises(ValueError, match=r"timeout must be|grace must not"):
        CNIConfig([], exec=exec, timeout=numbers.get("timeout"), grace=numbers.get("grace", 2))


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


@pytest.mark.anyio
async def test_item_351_different_containers_at_the_same_time() -> None:
    all_of_them = anyio.Event()

    async def add(call: FakeCall) -> None:
        if len(fake.exec.calls) == 20:
            all_of_them.set()
        await all_of_them.wait()

    fake = runtime({("a", "ADD"): add})
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for number in range(20):
                rt = RuntimeConf(f"c{number}", "", "eth0")
                group.start_soon(fake.cni.add_network_list, network("a"), rt)
    assert len(fake.cache.records) == 20

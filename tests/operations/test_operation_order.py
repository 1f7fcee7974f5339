"""The order that operations of a `CNIConfig` keep among themselves.

See items 139 and 350 of docs/maintainers/conformance.md, and `order` in docs/differences.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from cni_async import CNIConfig, GCArgs, RuntimeConf
from cni_async.testing import FakeCache, FakeCall, FakeExec
from tests.support.chains import RT, Blocker, network, runtime, single
from tests.support.crowd import nobody_left

pytestmark = pytest.mark.anyio

NET = network("a")


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    async with nobody_left():
        yield


@pytest.mark.parametrize(
    "operation", ["add", "add_single", "check", "del", "del_attachment", "attachment", "gc"]
)
async def test_operations_wait_for_an_add(operation: str) -> None:
    blocker = Blocker()
    fake = runtime({("slow", "ADD"): blocker})
    await fake.added(NET)
    [attached] = await fake.cni.get_cached_attachments()

    async def attach() -> None:
        async with fake.cni.attachment(NET, RT):
            pass

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "add": lambda: fake.cni.add_network_list(NET, RT),
        "add_single": lambda: fake.cni.add_network(single(), RT),
        "check": lambda: fake.cni.check_network_list(NET, RT),
        "del": lambda: fake.cni.del_network_list(NET, RT),
        "del_attachment": lambda: fake.cni.del_attachment(attached),
        "attachment": attach,
        "gc": lambda: fake.cni.gc_network_list(NET, None),
    }

    async def add() -> None:
        with adding:
            await fake.cni.add_network_list(network("slow"), RT)

    async def other() -> None:
        await calls[operation]()

    adding = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(add)
        await blocker.started.wait()
        group.start_soon(other)
        await anyio.wait_all_tasks_blocked()
        assert fake.order == ["slow ADD"]
        adding.cancel()
    assert len(fake.order) > 1


async def test_a_block_holds_nothing() -> None:
    """Between its ADD and its DEL, other operations may work on the container."""
    fake = runtime()
    with anyio.fail_after(10):
        async with fake.cni.attachment(NET, RT):
            await fake.cni.check_network_list(NET, RT)
            await fake.cni.gc_network_list(NET, GCArgs())
    assert fake.order == ["a ADD", "a CHECK", "a DEL", "a GC", "a DEL"]


async def test_other_containers_do_not_wait() -> None:
    blocker = Blocker()
    fake = runtime({("slow", "ADD"): blocker})

    async def add() -> None:
        await fake.cni.add_network_list(network("slow"), RT)

    async with anyio.create_task_group() as group:
        group.start_soon(add)
        await blocker.started.wait()
        with anyio.fail_after(10):
            other = RuntimeConf("c2", "", "eth0")
            await fake.cni.add_network_list(NET, other)
            await fake.cni.del_network_list(NET, other)
            await fake.cni.get_status_network_list(NET)
            await fake.cni.validate_network_list(NET)
            await fake.cni.gc_network_list(network("a", name="other"), None)
        group.cancel_scope.cancel()


async def test_nothing_is_added_while_its_network_is_collected() -> None:
    blocker = Blocker()
    fake = runtime({("a", "GC"): blocker})

    async def collect() -> None:
        with collecting:
            await fake.cni.gc_network_list(NET, GCArgs())

    async def add(name: str, container_id: str) -> None:
        await fake.cni.add_network_list(network("a", name=name), RuntimeConf(container_id, "", "e"))

    collecting = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(collect)
        await blocker.started.wait()
        group.start_soon(add, "net", "c1")
        group.start_soon(add, "other", "c2")
        await anyio.wait_all_tasks_blocked()
        assert [call.environ["CNI_CONTAINERID"] for call in fake.exec.calls[1:]] == ["c2"]
        collecting.cancel()
    assert fake.exec.calls[-1].environ["CNI_CONTAINERID"] == "c1"


class Meeting:
    """An answer that waits for a second call, and records in `met` whether it came."""

    def __init__(self, patience: float) -> None:
        self.met = False
        self._patience = patience
        self._called = 0
        self._both = anyio.Event()

    async def __call__(self, call: FakeCall) -> None:
        self._called += 1
        if self._called == 2:
            self._both.set()
        with anyio.move_on_after(self._patience):
            await self._both.wait()
            self.met = True
        self._called -= 1


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("kind", ["directory", "rt", "memory"])
async def test_cni_configs_on_one_cache_keep_one_order(
    tmp_path: Path, kind: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Meeting(0.05 if same else 20)
    exec = FakeExec({("a", "ADD"): meeting})
    monkeypatch.chdir(tmp_path)
    rts = [RT, RT]
    first, second = tmp_path / "one", Path("one" if same else "two")
    if kind == "directory":
        cnis = [CNIConfig(["/bin"], exec=exec, cache_dir=each) for each in (first, second)]
    elif kind == "rt":
        cnis = [CNIConfig(["/bin"], exec=exec) for _ in range(2)]
        rts = [RuntimeConf("c1", "", "eth0", cache_dir=str(each)) for each in (first, second)]
    else:
        cache = FakeCache()
        cnis = [
            CNIConfig(["/bin"], exec=exec, cache=each)
            for each in (cache, cache if same else FakeCache())
        ]
    async with anyio.create_task_group() as group:
        for cni, rt in zip(cnis, rts, strict=True):
            group.start_soon(cni.add_network_list, NET, rt)
    assert meeting.met is not same

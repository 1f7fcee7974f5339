"""`attachment()` and `rollback`: whatever happens, what is attached is recorded or taken back.

Each test checks which plugins were called, in which order, and which records are left.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from cni_async import (
    ArgsError,
    AttachmentKey,
    CacheError,
    CacheWriteError,
    CNIConfig,
    CNIError,
    ConfigError,
    ForeignRecordError,
    InvalidIdentifierError,
    NetConf,
    NetworkConfig,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
    PluginTimeoutError,
    RuntimeConf,
    VersionError,
)
from cni_async.testing import FakeCache, FakeCall, FakeExec
from tests.support.chains import (
    KEY,
    RT,
    Blocker,
    Runtime,
    address,
    as_dict,
    failure,
    network,
    runtime,
    single,
)
from tests.support.processes import wait_until_gone
from tests.support.recorder import Answer, Recorder
from tests.support.wait import LIMITS, PATIENCE

pytestmark = pytest.mark.anyio

starts_plugins = pytest.mark.usefixtures("spawn")

asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
)

Network = NetworkConfigList | NetworkConfig
Way = Callable[[CNIConfig, Network, RuntimeConf], Awaitable[object]]
ABC = network("a", "b", "c")


async def _add(cni: CNIConfig, net: Network, rt: RuntimeConf) -> object:
    if isinstance(net, NetworkConfigList):
        return await cni.add_network_list(net, rt)
    return await cni.add_network(net, rt)


async def _attach(cni: CNIConfig, net: Network, rt: RuntimeConf) -> object:
    async with cni.attachment(net, rt):
        raise AssertionError("attached")


# A failing ADD is taken back in the same way, whether by `rollback` or by `attachment()`.
both_ways = pytest.mark.parametrize(
    "way", [pytest.param(_add, id="rollback"), pytest.param(_attach, id="attachment")]
)


def rolling(
    answers: dict[tuple[str, str], Any] | None = None, *, way: Way = _add, **options: Any
) -> Runtime:
    """Make a runtime that rolls back, through its `rollback` option or through `attachment()`."""
    return runtime(answers, rollback=way is _add, **options)


async def refused(way: Way, fake: Runtime, net: Network = ABC, rt: RuntimeConf = RT) -> CNIError:
    with pytest.raises(CNIError) as caught:
        await way(fake.cni, net, rt)
    return caught.value


def unfinished(net: str = "net", container_id: str = "c1", ifname: str = "eth0") -> bytes:
    """Return the record of an ADD that has begun, in libcni's spelling."""
    record = {
        "kind": "cniCacheV1",
        "containerId": container_id,
        "config": None,
        "ifName": ifname,
        "networkName": net,
    }
    return json.dumps(record).encode()


class Wait:
    """An answer that waits until the test sets `go_on`."""

    def __init__(self, reply: Any = None) -> None:
        self.started = anyio.Event()
        self.go_on = anyio.Event()
        self.ended = False
        self._reply = reply

    async def __call__(self, call: FakeCall) -> Any:
        self.started.set()
        await self.go_on.wait()
        self.ended = True
        return self._reply


# -- success


@pytest.mark.parametrize("net", [ABC, single("c")], ids=["list", "single"])
async def test_attached_for_a_block(net: Network) -> None:
    fake = runtime({("c", "ADD"): address(3)})
    async with fake.cni.attachment(net, RT) as result:
        assert as_dict(result) == address(3)
        adds = fake.order
        [attached] = await fake.cni.get_cached_attachments()
        assert attached.completed
        fake.exec.calls.clear()
    assert adds == (["c ADD"] if isinstance(net, NetworkConfig) else ["a ADD", "b ADD", "c ADD"])
    assert fake.order == [call.replace("ADD", "DEL") for call in reversed(adds)]
    assert {json.dumps(config["prevResult"]) for config in fake.configs("DEL")} == {
        json.dumps(address(3))
    }
    assert not fake.cache.records


async def test_a_block_does_not_keep_others_from_its_container() -> None:
    fake = runtime()
    async with (
        fake.cni.attachment(ABC, RT),
        fake.cni.attachment(ABC, RuntimeConf("c1", RT.netns, "eth1")),
    ):
        await fake.cni.check_network_list(ABC, RT)
        assert len(fake.cache.records) == 2
        fake.exec.calls.clear()
    assert [call.environ["CNI_IFNAME"] for call in fake.exec.calls] == ["eth1"] * 3 + ["eth0"] * 3
    assert not fake.cache.records


async def test_deleted_within_its_block() -> None:
    fake = runtime()
    async with fake.cni.attachment(ABC, RT):
        await fake.cni.del_network_list(ABC, RT)
        fake.exec.calls.clear()
    # DEL succeeds where nothing is attached, as the spec asks of plugins.
    assert fake.order == ["c DEL", "b DEL", "a DEL"]


@pytest.mark.parametrize("rollback", [True, False])
async def test_recorded_before_the_first_plugin_only_if_it_will_be_taken_back(
    rollback: bool,
) -> None:
    seen: list[Any] = []

    async def look(call: FakeCall) -> None:
        seen.append(await fake.cni.get_cached_attachments())

    rt = RuntimeConf("c1", "/n", "eth0", args=[("K", "v")], capability_args={"p": 1})
    net = network("a", "b")
    fake = runtime({("a", "ADD"): look, ("b", "ADD"): look}, rollback=rollback)
    await fake.cni.add_network_list(net, rt)
    [completed] = await fake.cni.get_cached_attachments()
    assert completed.completed
    if not rollback:
        assert seen == [[], []]
        return
    for [begun] in seen:
        assert not begun.completed
        assert (begun.config, begun.netns) == (net.raw, "/n")
        assert (begun.cni_args, begun.capability_args) == ((("K", "v"),), {"p": 1})


@pytest.mark.parametrize("cleanup_timeout", [0, -1, float("nan")])
def test_a_time_that_makes_no_sense(cleanup_timeout: float) -> None:
    with pytest.raises(ValueError, match="cleanup_timeout must be positive"):
        CNIConfig(["/bin"], cleanup_timeout=cleanup_timeout)


# -- an ADD that fails


@both_ways
@pytest.mark.parametrize("failing", ["a", "b", "c"])
async def test_add_fails(way: Way, failing: str) -> None:
    error = failure("no", details="way")
    answers = {("a", "ADD"): address(1), ("b", "ADD"): address(2), (failing, "ADD"): error}
    fake = rolling(answers, way=way)
    caught = await refused(way, fake)
    called = "abc"[: "abc".index(failing) + 1]
    assert fake.order == [f"{p} ADD" for p in called] + [f"{p} DEL" for p in reversed(called)]
    assert str(caught) == f'plugin type="{failing}" failed (add): no; way'
    assert isinstance(caught, PluginError)
    assert (caught.plugin, caught.command, caught.rollback_error) == (failing, "ADD", None)
    assert not hasattr(caught, "__notes__")
    # All plugins get the result of the last plugin that succeeded.
    given = [config.get("prevResult") for config in fake.configs("DEL")]
    assert given == [address(len(called) - 1) if len(called) > 1 else None] * len(called)
    assert not fake.cache.records


async def test_without_rollback_nothing_is_taken_back() -> None:
    fake = runtime({("b", "ADD"): failure()})
    await refused(_add, fake)
    assert fake.order == ["a ADD", "b ADD"]


@both_ways
@pytest.mark.parametrize(
    ("version", "has_prev_result"), [("", False), ("0.3.1", False), ("0.4.0", True)]
)
async def test_a_previous_result_only_for_those_who_know_it(
    way: Way, version: str, has_prev_result: bool
) -> None:
    old = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/24"}}
    fake = rolling({("a", "ADD"): old, ("b", "ADD"): failure()}, way=way)
    await refused(way, fake, network("a", "b", version=version))
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert ["prevResult" in config for config in fake.configs("DEL")] == [has_prev_result] * 2
    if has_prev_result:
        assert fake.configs("DEL")[0]["prevResult"]["cniVersion"] == "0.4.0"


async def test_a_result_that_the_networks_version_cannot_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The result is passed on unchanged, and does not prevent the rollback."""
    fake = rolling({("a", "ADD"): {"cniVersion": "1.0.0"}, ("b", "ADD"): failure()})
    caught = await refused(_add, fake, network("a", "b", version="0.2.0"))
    assert str(caught) == 'plugin type="b" failed (add): boom'
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert fake.configs("ADD")[1]["prevResult"] == {"cniVersion": "1.0.0"}
    assert all("prevResult" not in config for config in fake.configs("DEL"))
    assert not fake.cache.records
    assert not caplog.messages


@both_ways
@pytest.mark.parametrize("missing", ["a", "b", "c"])
async def test_a_plugin_is_missing(way: Way, missing: str) -> None:
    fake = rolling(way=way, missing=[missing])
    caught = await refused(way, fake)
    assert isinstance(caught, PluginNotFoundError)
    assert caught.rollback_error is None
    called = "abc"[: "abc".index(missing)]
    assert fake.order == [f"{p} ADD" for p in called] + [f"{p} DEL" for p in reversed(called)]
    assert not fake.cache.records


@both_ways
async def test_a_single_plugin_fails(way: Way) -> None:
    fake = rolling({("a", "ADD"): failure()}, way=way)
    assert str(await refused(way, fake, single())) == "boom"
    assert fake.order == ["a ADD", "a DEL"]
    assert not fake.cache.records


@both_ways
async def test_a_plugins_time_is_up(way: Way) -> None:
    fake = rolling({("b", "ADD"): Blocker()}, way=way, timeout=0.5)
    caught = await refused(way, fake)
    assert isinstance(caught, PluginTimeoutError)
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert not fake.cache.records


@both_ways
async def test_a_bug_in_somebodys_exec(way: Way) -> None:
    bug = LookupError("bug")
    fake = rolling({("b", "ADD"): bug, ("a", "DEL"): failure("no")}, way=way)
    with pytest.raises(LookupError) as caught:
        await way(fake.cni, ABC, RT)
    assert caught.value is bug
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert bug.__notes__ == ['rollback of c1 eth0 failed: plugin type="a" failed (delete): no']


@both_ways
@pytest.mark.parametrize(
    ("rt", "error"),
    [
        (RuntimeConf("", "", "eth0"), InvalidIdentifierError),
        (RuntimeConf("c1", "", "eth0", args=[("a", ";")]), ArgsError),
        (RuntimeConf("c1", "", "eth0", capability_args={"p": object()}), ArgsError),
    ],
)
async def test_nothing_was_run(way: Way, rt: RuntimeConf, error: type[CNIError]) -> None:
    fake = rolling(way=way)
    assert isinstance(await refused(way, fake, ABC, rt), error)
    assert not fake.exec.calls
    assert not fake.cache.records


@both_ways
async def test_the_first_request_cannot_be_made(way: Way) -> None:
    fake = rolling(way=way)
    broken = NetworkConfig(NetConf(type="a"), b"{")
    net = NetworkConfigList("net", "1.0.0", plugins=[broken])
    assert isinstance(await refused(way, fake, net), ConfigError)
    assert not fake.exec.calls
    assert not fake.cache.records


# -- an ADD that fails, and whose DEL fails


@both_ways
async def test_both_errors_are_kept(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    answers = {("b", "ADD"): failure("first"), ("a", "DEL"): failure("second", details="why")}
    fake = rolling(answers, way=way)
    with caplog.at_level(logging.WARNING):
        caught = await refused(way, fake)
    words = 'rollback of c1 eth0 failed: plugin type="a" failed (delete): second; why'
    assert str(caught) == 'plugin type="b" failed (add): first'
    assert caught.__notes__ == [words]
    assert caplog.messages == [words]
    assert isinstance(caught.rollback_error, PluginError)
    assert (caught.rollback_error.plugin, caught.rollback_error.command) == ("a", "DEL")
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    # The record stays while an attachment may exist, and `recover` finds it.
    [found] = await fake.cni.recover()
    assert found.container_id == "c1"


@both_ways
async def test_the_del_takes_too_long(way: Way) -> None:
    fake = rolling(
        {("b", "ADD"): failure("first"), ("b", "DEL"): Blocker()}, way=way, cleanup_timeout=0.5
    )
    with anyio.fail_after(10):
        caught = await refused(way, fake)
    assert str(caught) == 'plugin type="b" failed (add): first'
    assert isinstance(caught.rollback_error, PluginTimeoutError)
    assert str(caught.rollback_error) == "rollback of c1 eth0 was not done in 0.5 s"
    assert (caught.rollback_error.command, caught.rollback_error.retryable) == ("DEL", True)
    assert fake.order == ["a ADD", "b ADD", "b DEL"]
    assert [one.completed for one in await fake.cni.get_cached_attachments()] == [False]


async def test_a_version_that_nothing_can_be_compared_with() -> None:
    fake = rolling({("a", "ADD"): failure()})
    caught = await refused(_add, fake, network("a", version="1.0.0.0"))
    assert caught.rollback_error is None
    assert not fake.exec.calls
    assert not isinstance(caught, VersionError)


# -- the record cannot be written


class Failing(FakeCache):
    """A cache whose disk is full after the given number of records."""

    def __init__(self, stored: int) -> None:
        super().__init__()
        self._left = stored

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        if not self._left:
            self.fail_on.add("store")
        self._left -= 1
        await super().store(key, record)


def with_cache(cache: FakeCache, answers: dict[tuple[str, str], Any], way: Way) -> Runtime:
    exec = FakeExec(answers)
    return Runtime(CNIConfig(["/bin"], exec=exec, cache=cache, rollback=way is _add), exec, cache)


@both_ways
@pytest.mark.parametrize("method", ["prepare", "load", "store"])
async def test_no_record_can_be_made_before(way: Way, method: str) -> None:
    fake = rolling(way=way, fail_on=[method])
    caught = await refused(way, fake)
    assert isinstance(caught, CacheWriteError)
    words = f'failed to set network "net" cached result: {method}: input/output error'
    assert str(caught) == words
    assert (caught.result, caught.rollback_error) == (None, None)
    assert not fake.exec.calls
    assert not fake.cache.records


@both_ways
async def test_no_record_can_be_made_after(way: Way) -> None:
    fake = with_cache(Failing(1), {("c", "ADD"): address(3)}, way)
    caught = await refused(way, fake)
    assert isinstance(caught, CacheWriteError)
    assert fake.order == ["a ADD", "b ADD", "c ADD", "c DEL", "b DEL", "a DEL"]
    assert [config["prevResult"] for config in fake.configs("DEL")] == [address(3)] * 3
    # Nothing is attached, so the error has no result.
    assert (caught.result, caught.rollback_error) == (None, None)
    assert not fake.cache.records


@both_ways
async def test_no_record_can_be_made_after_and_the_del_fails(way: Way) -> None:
    answers = {("c", "ADD"): address(3), ("c", "DEL"): failure("second")}
    fake = with_cache(Failing(1), answers, way)
    caught = await refused(way, fake)
    assert isinstance(caught, CacheWriteError)
    assert as_dict(caught.result) == address(3)
    assert isinstance(caught.rollback_error, PluginError)
    assert [one.completed for one in await fake.cache.attachments()] == [False]


@both_ways
async def test_the_record_cannot_be_removed(way: Way) -> None:
    fake = rolling({("a", "ADD"): failure()}, way=way, fail_on=["remove"])
    caught = await refused(way, fake)
    assert str(caught) == 'plugin type="a" failed (add): boom'
    assert isinstance(caught.rollback_error, CacheError)
    assert fake.order == ["a ADD", "a DEL"]
    assert [one.completed for one in await fake.cache.attachments()] == [False]


# -- an older record exists


@both_ways
@pytest.mark.parametrize(
    "older",
    [
        pytest.param(None, id="completed"),
        pytest.param(json.dumps(address(1)).encode(), id="legacy"),
        pytest.param(b'{"kind":"cniCacheV9"}', id="of-another-kind"),
    ],
)
async def test_an_older_attachment_is_left_alone(way: Way, older: bytes | None) -> None:
    answers: list[Any] = [failure()] if older else [address(1), failure()]
    fake = rolling({("b", "ADD"): lambda call: answers.pop(0)}, way=way)
    if older:
        fake.cache.records[KEY] = older
    else:
        await _add(fake.cni, ABC, RT)
        fake.exec.calls.clear()
    before = dict(fake.cache.records)
    caught = await refused(way, fake)
    assert fake.order == ["a ADD", "b ADD"]
    assert caught.rollback_error is None
    assert fake.cache.records == before


async def test_the_record_of_an_older_attachment_cannot_be_replaced() -> None:
    cache = Failing(2)
    fake = with_cache(cache, {("c", "ADD"): address(3)}, _add)
    await _add(fake.cni, ABC, RT)
    before = dict(cache.records)
    caught = await refused(_add, fake)
    assert isinstance(caught, CacheWriteError)
    assert as_dict(caught.result) == address(3)
    assert cache.records == before
    assert "a DEL" not in fake.order


@both_ways
@pytest.mark.parametrize(
    "older",
    [
        pytest.param(unfinished(), id="unfinished"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"kind":"cniCa', id="torn"),
    ],
)
async def test_an_add_after_one_that_did_not_end(way: Way, older: bytes) -> None:
    """The earlier ADD may have come further, so every plugin gets its DEL."""
    fake = rolling({("b", "ADD"): failure()}, way=way)
    fake.cache.records[KEY] = older
    caught = await refused(way, fake)
    assert fake.order == ["a ADD", "b ADD", "c DEL", "b DEL", "a DEL"]
    assert caught.rollback_error is None
    assert not fake.cache.records


async def test_an_add_after_one_that_did_not_end_is_completed() -> None:
    fake = rolling()
    fake.cache.records[KEY] = unfinished()
    await _add(fake.cni, ABC, RT)
    assert [one.completed for one in await fake.cache.attachments()] == [True]
    assert fake.order == ["a ADD", "b ADD", "c ADD"]


@both_ways
async def test_an_add_after_one_that_did_not_end_runs_nothing(way: Way) -> None:
    """The record of the earlier ADD stays, for `recover` to find."""
    fake = rolling(way=way, missing=["b"], fail_on=["store"])
    fake.cache.records[KEY] = unfinished()
    assert isinstance(await refused(way, fake), CacheWriteError)
    assert not fake.exec.calls
    assert list(fake.cache.records.values()) == [unfinished()]


@both_ways
@pytest.mark.parametrize("completed", [True, False])
async def test_another_attachments_record_is_in_the_way(
    tmp_path: Path, way: Way, completed: bool
) -> None:
    exec = FakeExec()
    cni = CNIConfig(["/bin"], exec=exec, cache_dir=tmp_path, rollback=way is _add)
    record = tmp_path / "results" / "x-y-c-eth0"
    record.parent.mkdir()
    foreign = unfinished("x-y", "c")
    if completed:
        foreign = foreign.replace(b"}", b', "result": {"cniVersion": "1.0.0"}}')
    record.write_bytes(foreign)
    with pytest.raises(CacheWriteError) as caught:
        await way(cni, network("a", name="x"), RuntimeConf("y-c", "", "eth0"))
    assert isinstance(caught.value.__cause__, ForeignRecordError)
    assert not exec.calls
    assert record.read_bytes() == foreign


# -- cancellation


@both_ways
@pytest.mark.parametrize("running", ["a", "b", "c"])
async def test_cancelled_while_a_plugin_runs(way: Way, running: str) -> None:
    blocker = Blocker()
    fake = rolling({(running, "ADD"): blocker}, way=way)
    await blocker.cancel(lambda: way(fake.cni, ABC, RT))
    called = "abc"[: "abc".index(running) + 1]
    assert fake.order == [f"{p} ADD" for p in called] + [f"{p} DEL" for p in reversed(called)]
    assert not fake.cache.records


async def test_cancelled_and_the_del_fails(caplog: pytest.LogCaptureFixture) -> None:
    blocker = Blocker()
    fake = rolling({("a", "ADD"): blocker, ("a", "DEL"): failure("second")})
    notes: list[str] = []

    async def add() -> None:
        try:
            await _add(fake.cni, ABC, RT)
        except BaseException as cancelled:
            notes.extend(cancelled.__notes__)
            raise

    await blocker.cancel(add)
    words = 'rollback of c1 eth0 failed: plugin type="a" failed (delete): second'
    assert notes == caplog.messages == [words]
    assert [one.completed for one in await fake.cache.attachments()] == [False]


async def test_cancelled_before_it_has_begun() -> None:
    fake = rolling()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await _add(fake.cni, ABC, RT)
    assert scope.cancelled_caught
    assert not fake.exec.calls
    assert not fake.cache.records


async def test_an_older_attachment_is_left_alone_when_cancelled() -> None:
    answers: list[Any] = [address(1), blocker := Blocker()]

    async def answer(call: FakeCall) -> Any:
        reply = answers.pop(0)
        return await reply(call) if isinstance(reply, Blocker) else reply

    fake = rolling({("a", "ADD"): answer})
    await _add(fake.cni, ABC, RT)
    before = dict(fake.cache.records)
    fake.exec.calls.clear()
    await blocker.cancel(lambda: _add(fake.cni, ABC, RT))
    assert fake.order == ["a ADD"]
    assert fake.cache.records == before


@asyncio_only
@both_ways
@pytest.mark.parametrize("times", [1, 2, 4])
async def test_task_cancel(way: Way, times: int) -> None:
    """The first cancellation ends the ADD. Further ones do not end the DEL."""
    blocker, wait = Blocker(), Wait()
    fake = rolling({("b", "ADD"): blocker, ("b", "DEL"): wait}, way=way)
    task = asyncio.ensure_future(way(fake.cni, ABC, RT))
    await blocker.started.wait()
    task.cancel()
    await wait.started.wait()
    for _ in range(times - 1):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    wait.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wait.ended
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert not fake.cache.records


@asyncio_only
@both_ways
async def test_task_cancel_while_the_del_runs_and_fails(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither error is lost."""
    wait = Wait(failure("second"))
    error = failure("first")
    fake = rolling({("a", "ADD"): lambda call: error, ("a", "DEL"): wait}, way=way)
    task = asyncio.ensure_future(way(fake.cni, ABC, RT))
    await wait.started.wait()
    task.cancel()
    wait.go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    first, second = caught.value.__context__, caught.value.__cause__
    assert isinstance(second, PluginError)
    assert second.msg == "second"
    words = 'rollback of c1 eth0 failed: plugin type="a" failed (delete): second'
    assert caplog.messages == [words]
    while first is not None and not (isinstance(first, PluginError) and first.msg == "first"):
        first = first.__context__
    assert first is not None
    assert first.rollback_error is second
    assert first.__notes__ == [words]
    assert [one.completed for one in await fake.cache.attachments()] == [False]


@asyncio_only
async def test_task_cancel_while_the_del_runs_too_long(caplog: pytest.LogCaptureFixture) -> None:
    blocker = Blocker()
    fake = rolling({("a", "ADD"): failure(), ("a", "DEL"): blocker}, cleanup_timeout=0.5)
    task = asyncio.ensure_future(_add(fake.cni, ABC, RT))
    await blocker.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, PluginTimeoutError)
    assert caplog.messages == [
        "rollback of c1 eth0 failed: rollback of c1 eth0 was not done in 0.5 s"
    ]


@asyncio_only
@both_ways
async def test_asyncio_timeout(way: Way) -> None:
    fake = rolling({("b", "ADD"): Blocker()}, way=way)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.5):
            await way(fake.cni, ABC, RT)
    assert not isinstance(caught.value, CNIError)
    assert fake.order == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert not fake.cache.records
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


# -- the end of a block


async def block_that_raises(fake: Runtime, error: Exception) -> None:
    async with fake.cni.attachment(ABC, RT):
        fake.exec.calls.clear()
        raise error


@pytest.mark.parametrize("error", [failure("body"), LookupError("body")], ids=["ours", "any"])
async def test_the_block_raises(error: Exception) -> None:
    fake = runtime()
    with pytest.raises(type(error)) as caught:
        await block_that_raises(fake, error)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert not fake.cache.records


@pytest.mark.parametrize("ours", [True, False])
async def test_the_block_raises_and_the_del_fails(
    ours: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fake = runtime({("b", "DEL"): failure("second")})
    error: Exception = failure("body") if ours else LookupError("body")
    with pytest.raises(type(error)) as caught:
        await block_that_raises(fake, error)
    assert caught.value is error
    words = 'DEL of c1 eth0 failed: plugin type="b" failed (delete): second'
    assert error.__notes__ == caplog.messages == [words]
    if isinstance(error, CNIError):
        assert str(error.rollback_error) == 'plugin type="b" failed (delete): second'
    assert fake.order == ["c DEL", "b DEL"]
    assert [one.completed for one in await fake.cache.attachments()] == [True]


async def test_the_del_fails() -> None:
    fake = runtime({("b", "DEL"): failure("second")})
    with pytest.raises(PluginError) as caught:
        async with fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
    assert str(caught.value) == 'plugin type="b" failed (delete): second'
    assert caught.value.rollback_error is None
    assert fake.order == ["c DEL", "b DEL"]
    assert [one.completed for one in await fake.cache.attachments()] == [True]


async def test_the_del_does_not_end() -> None:
    fake = runtime({("c", "DEL"): Blocker()}, cleanup_timeout=0.5)
    with anyio.fail_after(10), pytest.raises(PluginTimeoutError) as caught:
        async with fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
    assert str(caught.value) == "DEL of c1 eth0 was not done in 0.5 s"
    assert (caught.value.command, caught.value.retryable) == ("DEL", True)
    assert fake.order == ["c DEL"]
    assert [one.completed for one in await fake.cache.attachments()] == [True]


async def test_the_del_does_not_get_its_turn() -> None:
    """`cleanup_timeout` includes the wait for other operations. The DEL then stops waiting."""
    wait = Wait()
    fake = runtime({("a", "CHECK"): wait}, cleanup_timeout=0.5)

    async def check() -> None:
        await fake.cni.check_network_list(network("a"), RT)

    async def attach(group: TaskGroup) -> None:
        async with fake.cni.attachment(network("a"), RT):
            group.start_soon(check)
            await wait.started.wait()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            with pytest.raises(PluginTimeoutError, match="not done"):
                await attach(group)
            assert fake.order == ["a ADD", "a CHECK"]
            wait.go_on.set()
        await fake.cni.del_network_list(network("a"), RT)
    assert not fake.cache.records


@pytest.mark.parametrize("fails", [False, True])
async def test_the_block_is_cancelled(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    fake = runtime({("a", "DEL"): failure() if fails else None})
    with anyio.CancelScope() as scope:
        async with fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert [one.completed for one in await fake.cache.attachments()] == [True] * fails
    assert len(caplog.messages) == fails


async def test_cancelled_while_the_del_at_the_end_runs() -> None:
    wait = Wait()
    fake = runtime({("c", "DEL"): wait})
    after = False

    async def run() -> None:
        nonlocal after
        async with fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
        after = True
        await anyio.lowlevel.checkpoint()
        raise AssertionError("not cancelled")

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await wait.started.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.02)
        assert not wait.ended
        wait.go_on.set()
    assert after
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert not fake.cache.records


@asyncio_only
@pytest.mark.parametrize("times", [1, 2, 4])
async def test_task_cancel_of_the_block(times: int) -> None:
    wait = Wait()
    fake = runtime({("c", "DEL"): wait})
    attached = asyncio.Event()

    async def run() -> None:
        async with fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
            attached.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await attached.wait()
    task.cancel()
    await wait.started.wait()
    for _ in range(times - 1):
        task.cancel()
        await asyncio.sleep(0)
    wait.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert not fake.cache.records


@asyncio_only
async def test_task_cancel_while_the_del_at_the_end_runs_and_fails() -> None:
    wait = Wait(failure("second"))
    fake = runtime({("c", "DEL"): wait})

    async def run() -> None:
        async with fake.cni.attachment(ABC, RT):
            pass

    task = asyncio.create_task(run())
    await wait.started.wait()
    task.cancel()
    wait.go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert isinstance(caught.value.__cause__, PluginError)
    assert [one.completed for one in await fake.cache.attachments()] == [True]


@asyncio_only
async def test_asyncio_timeout_of_the_block() -> None:
    fake = runtime()

    async def attach() -> None:
        async with asyncio.timeout(None) as limit, fake.cni.attachment(ABC, RT):
            fake.exec.calls.clear()
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await attach()
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert not fake.cache.records


# -- a coroutine that is not run to its end


class Abandoned:
    """An awaitable that closes its coroutine as soon as the coroutine awaits `HERE`."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        value = None
        while (waiting_for := self._coroutine.send(value)) is not HERE:
            value = yield waiting_for
        self._coroutine.close()


class Here:
    def __await__(self) -> Generator[Any, Any, None]:
        yield self


HERE = Here()


class Stuck(FakeExec):
    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        if plugin == "b":
            await HERE
        return await super().find_in_path(plugin, paths)


async def test_a_coroutine_that_is_closed_awaits_nothing() -> None:
    """Nothing can be taken back then. The record is there for `recover` to find."""
    cache = FakeCache()
    exec = Stuck()
    cni = CNIConfig(["/bin"], exec=exec, cache=cache, rollback=True)

    async def in_the_block() -> None:
        async with cni.attachment(network("a"), RT):
            await HERE

    await Abandoned(cni.add_network_list(ABC, RT))
    assert [one.completed for one in await cache.attachments()] == [False]
    cache.records.clear()
    await Abandoned(in_the_block())
    assert [one.completed for one in await cache.attachments()] == [True]
    assert [call.command for call in exec.calls] == ["ADD", "ADD"]
    with anyio.fail_after(10):
        await cni.del_network_list(network("a"), RT)


# -- with real plugins


def with_plugins(recorder: Recorder, tmp_path: Path, **options: Any) -> CNIConfig:
    options = {"cache_dir": tmp_path / "cache", "grace": 0.2, **options}
    return CNIConfig(recorder.path, **options)


def records(tmp_path: Path) -> list[str]:
    return [file.name for file in (tmp_path / "cache/results").glob("*-*")]


@starts_plugins
@both_ways
async def test_real_plugins_fail(recorder: Recorder, tmp_path: Path, way: Way) -> None:
    recorder.plugin("a", {"ADD": Answer(stdout=address(1))})
    recorder.plugin("b", {"ADD": Answer(stdout={"code": 100, "msg": "no"}, exit_code=1)})
    cni = with_plugins(recorder, tmp_path, rollback=way is _add)
    rt = RuntimeConf("c1", "/n", "eth0", args=[("K", "v")], capability_args={"p": 1})
    net = network({"type": "a", "capabilities": {"p": True}}, "b")
    with pytest.raises(PluginError, match="no"):
        await way(cni, net, rt)
    assert recorder.order() == ["a ADD", "b ADD", "b DEL", "a DEL"]
    add, last = recorder.calls()[0], recorder.calls()[-1]
    assert last.cni_environ == {**add.cni_environ, "CNI_COMMAND": "DEL"}
    assert last.config == {**add.config, "prevResult": address(1)}
    assert records(tmp_path) == []


@starts_plugins
@both_ways
async def test_a_real_plugin_is_killed_when_cancelled(
    recorder: Recorder, tmp_path: Path, way: Way
) -> None:
    recorder.plugin("a")
    recorder.plugin("b", {"ADD": Answer(sleep=60, ignore_sigterm=True)})
    cni = with_plugins(recorder, tmp_path, rollback=way is _add)

    async def run() -> None:
        await way(cni, network("a", "b"), RT)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await recorder.wait_for_calls(2)
        assert records(tmp_path) == ["net-c1-eth0"]
        group.cancel_scope.cancel()
    assert recorder.order() == ["a ADD", "b ADD", "b DEL", "a DEL"]
    assert records(tmp_path) == []


@starts_plugins
async def test_a_real_plugins_time_is_up(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a", {"ADD": Answer(sleep=60)})
    for limit in LIMITS:
        recorder.forget()
        cni = with_plugins(recorder, tmp_path, rollback=True, timeout=limit)
        with pytest.raises(PluginTimeoutError) as caught:
            await cni.add_network(single(), RT)
        if len(recorder.calls()) == 2 and recorder.calls()[1].ended:
            break  # otherwise a busy machine has not run the plugins within the limit
    else:
        pytest.fail("the machine is too busy for every limit")
    assert caught.value.rollback_error is None
    assert recorder.order() == ["a ADD", "a DEL"]
    assert records(tmp_path) == []


@starts_plugins
async def test_a_real_plugins_del_hangs(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a", {"DEL": Answer(sleep=60, ignore_sigterm=True)})
    for limit in LIMITS:
        cni = with_plugins(recorder, tmp_path, cleanup_timeout=limit)
        with anyio.fail_after(2 * PATIENCE), pytest.raises(PluginTimeoutError):
            async with cni.attachment(single(), RT):
                pass
        if recorder.calls("DEL"):
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    # The plugin is ended nevertheless, and the record stays for another try.
    assert wait_until_gone(recorder.calls("DEL")[0].pid)
    assert records(tmp_path) == ["net-c1-eth0"]

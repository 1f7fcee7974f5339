"""ADD and its cancellation.

The tests cover section H of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import anyio
import anyio.lowlevel
import pytest

from cni_async import (
    ArgsError,
    AttachmentKey,
    CacheError,
    CacheWriteError,
    CNIConfig,
    CNIError,
    ErrorCode,
    FileCache,
    ForeignRecordError,
    InvalidIdentifierError,
    MemoryCache,
    NetConf,
    NetworkConfig,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
    PluginTimeoutError,
    ResultError,
    RuntimeConf,
)
from cni_async.cache import records
from cni_async.testing import FakeCache, FakeExec
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

pytestmark = pytest.mark.anyio


async def refused(fake: Runtime, net: NetworkConfigList, rt: RuntimeConf = RT) -> CNIError:
    with pytest.raises(CNIError) as caught:
        await fake.cni.add_network_list(net, rt)
    return caught.value


async def test_item_89_each_plugin_gets_the_result_of_the_one_before() -> None:
    fake = runtime({("a", "ADD"): address(1), ("b", "ADD"): address(2), ("c", "ADD"): address(3)})
    result = await fake.cni.add_network_list(network("a", "b", "c"), RT)
    assert as_dict(result) == address(3)
    assert fake.order == ["a ADD", "b ADD", "c ADD"]
    assert [config.get("prevResult") for config in fake.configs("ADD")] == [
        None,
        address(1),
        address(2),
    ]
    assert list(fake.cache.records) == [KEY]


async def test_item_90_the_first_failure_stops_the_chain_and_nothing_is_undone() -> None:
    error = failure("no", details="way")
    fake = runtime({("b", "ADD"): error})
    caught = await refused(fake, network("a", "b", "c"))
    assert fake.order == ["a ADD", "b ADD"]
    assert isinstance(caught, PluginError)
    assert (caught.code, caught.msg, caught.details) == (100, "no", "way")
    assert (caught.plugin, caught.command) == ("b", "ADD")
    assert not fake.cache.records


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", 'plugin type="a" failed (add): boom'),
        ("inner", 'plugin type="a" name="inner" failed (add): boom'),
    ],
)
async def test_item_91_errors_of_a_list_name_the_plugin(name: str, words: str) -> None:
    fake = runtime({("a", "ADD"): failure()})
    plugin = {"type": "a", "name": name} if name else {"type": "a"}
    assert str(await refused(fake, network(plugin))) == words


async def test_item_92_errors_of_a_single_plugin_are_bare() -> None:
    fake = runtime({("a", "ADD"): failure()})
    with pytest.raises(PluginError) as caught:
        await fake.cni.add_network(single(), RT)
    assert str(caught.value) == "boom"
    fake = runtime(missing=["a"])
    with pytest.raises(PluginNotFoundError) as missing:
        await fake.cni.add_network(single(), RT)
    assert str(missing.value) == 'failed to find plugin "a" in path [/bin1 /bin2]'


@pytest.mark.parametrize(
    ("missing", "rt", "name", "version", "words"),
    [
        pytest.param(
            ["a"], RuntimeConf("-"), "-", "zz", 'failed to find plugin "a" in path', id="plugin"
        ),
        pytest.param((), RuntimeConf(""), "-", "zz", "missing containerID", id="no-container"),
        pytest.param((), RuntimeConf("-"), "-", "zz", "invalid characters in con", id="container"),
        pytest.param((), RuntimeConf("c"), "", "zz", "missing network name:", id="no-network"),
        pytest.param((), RuntimeConf("c"), "-", "zz", "invalid characters found", id="network"),
        pytest.param((), RuntimeConf("c"), "n", "zz", "interface name is empty", id="interface"),
        pytest.param(
            (),
            RuntimeConf("c", "", "e", args=[("a", ";")]),
            "n",
            "zz",
            "CNI_ARGS cannot",
            id="args",
        ),
        pytest.param(
            (), RuntimeConf("c", "", "e"), "n", "zz", 'unsupported CNI result version "zz"', id="98"
        ),
    ],
)
async def test_items_93_and_94_the_order_of_checks(
    missing: list[str], rt: RuntimeConf, name: str, version: str, words: str
) -> None:
    fake = runtime(missing=missing)
    broken = NetworkConfig(NetConf(type="a"), b"{")
    caught = await refused(fake, NetworkConfigList(name, version, plugins=[broken]), rt)
    assert str(caught).startswith(f'plugin type="a" failed (add): {words}')
    assert not fake.exec.calls
    assert not fake.cache.records


async def test_item_93_the_configuration_comes_last() -> None:
    fake = runtime()
    broken = NetworkConfig(NetConf(type="a"), b"{")
    caught = await refused(fake, NetworkConfigList("net", "1.0.0", plugins=[broken]))
    words = 'plugin type="a" failed (add): unmarshal existing network bytes: '
    assert str(caught).startswith(words)
    assert not fake.exec.calls


async def test_item_94_the_cause_has_code_and_details() -> None:
    caught = await refused(runtime(), network("a"), RuntimeConf("a b", "", "eth0"))
    assert isinstance(caught, InvalidIdentifierError)
    assert caught.code is ErrorCode.INVALID_ENVIRONMENT_VARIABLES
    assert caught.details == "a b"


async def test_item_93_a_later_plugin_that_is_missing_is_found_missing_later() -> None:
    fake = runtime(missing=["b"])
    caught = await refused(fake, network("a", "b"))
    assert str(caught).startswith('plugin type="b" failed (add): failed to find plugin "b"')
    assert fake.order == ["a ADD"]


@pytest.mark.parametrize("method", ["prepare", "store"])
async def test_items_95_and_96_a_cache_that_fails(method: str) -> None:
    fake = runtime({("a", "ADD"): address(1)}, fail_on=[method])
    caught = await refused(fake, network("a"))
    assert isinstance(caught, CacheWriteError)
    assert str(caught) == (
        f'failed to set network "net" cached result: {method}: input/output error'
    )
    if method == "prepare":
        assert not fake.exec.calls
        assert caught.result is None
    else:
        assert fake.order == ["a ADD"]
        assert as_dict(caught.result) == address(1)


async def test_item_96_another_attachments_record_is_in_the_way(tmp_path: Path) -> None:
    fake = runtime()
    cni = CNIConfig(["/bin"], cache_dir=tmp_path, exec=fake.exec)
    await cni.add_network_list(network("a", name="x-y"), RuntimeConf("c", "", "eth0"))
    fake.exec.calls.clear()
    with pytest.raises(CacheWriteError) as caught:
        await cni.add_network_list(network("a", name="x"), RuntimeConf("y-c", "", "eth0"))
    assert isinstance(caught.value.__cause__, ForeignRecordError)
    assert 'network "x-y", container ID "c", interface "eth0"' in str(caught.value)
    assert caught.value.path == str(tmp_path / "results/x-y-c-eth0")
    assert not fake.exec.calls


async def test_item_97_a_failed_second_add_leaves_the_older_record() -> None:
    answers: list[Any] = [address(1), failure()]
    fake = runtime({("a", "ADD"): lambda call: answers.pop(0)})
    await fake.cni.add_network_list(network("a"), RT)
    before = dict(fake.cache.records)
    await refused(fake, network("a"))
    assert fake.cache.records == before


async def test_a_second_add_replaces_the_record() -> None:
    answers = [address(1), address(2)]
    fake = runtime({("a", "ADD"): lambda call: answers.pop(0)})
    await fake.cni.add_network_list(network("a"), RT)
    await fake.cni.add_network_list(network("a"), RT)
    assert json.loads(fake.cache.records[KEY])["result"] == address(2)


@pytest.mark.parametrize("version", ["zz", "1.0", "1.2.0", "8.0.0"])
async def test_item_98_an_unknown_version_runs_nothing(version: str) -> None:
    fake = runtime()
    caught = await refused(fake, network("a", version=version))
    assert isinstance(caught, ResultError)
    assert str(caught) == (
        f'plugin type="a" failed (add): unsupported CNI result version "{version}"'
    )
    assert not fake.exec.calls
    with pytest.raises(ResultError, match=r"^unsupported"):
        await fake.cni.add_network(single(version=version), RT)
    assert not fake.exec.calls


async def test_item_99_the_next_plugin_gets_the_result_in_the_networks_version() -> None:
    old = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/24"}}
    fake = runtime({("a", "ADD"): old, ("b", "ADD"): {"cniVersion": "0.4.0"}})
    result = await fake.cni.add_network_list(network("a", "b", version="1.0.0"), RT)
    assert fake.configs("ADD")[1]["prevResult"] == address(1, "1.0.0")
    # The caller and the cache get the last plugin's own result, as in libcni.
    assert result.version == "0.4.0"
    assert json.loads(fake.cache.records[KEY])["result"]["cniVersion"] == "0.4.0"


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0"])
@pytest.mark.parametrize("answered", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
async def test_item_99_a_result_that_the_networks_version_cannot_hold(
    version: str, answered: str
) -> None:
    """A result without addresses cannot be converted, so it is passed on as in libcni."""
    told = {"cniVersion": answered, "interfaces": [{"name": "eth0", "sandbox": "/n"}]}
    own = {"cniVersion": version or "0.1.0", "ip4": {"ip": "10.0.0.1/24"}}
    fake = runtime({("a", "ADD"): told, ("c", "ADD"): own})
    result = await fake.cni.add_network_list(network("a", "b", "c", version=version), RT)
    first, *others = [config.get("prevResult") for config in fake.configs("ADD")]
    assert first is None
    # "b" passes on the result it received.
    assert [_without_empty(each or {}) for each in others] == [told, told]
    assert _without_empty(as_dict(result)) == own
    fake.exec.calls.clear()
    await fake.cni.del_network_list(network("a", "b", "c", version=version), RT)
    assert fake.order == ["c DEL", "b DEL", "a DEL"]
    assert all("prevResult" not in config for config in fake.configs("DEL"))


async def test_item_99_such_a_result_may_be_the_last_one() -> None:
    told = {"cniVersion": "0.3.1"}
    fake = runtime({("a", "ADD"): told})
    net = network("a", "b", version="0.2.0")
    result = await fake.cni.add_network_list(net, RT)
    assert _without_empty(as_dict(result)) == told
    with pytest.raises(CacheError, match="cannot convert: no valid IP addresses"):
        await fake.cni.get_network_list_cached_result(net, RT)  # as in libcni
    await fake.cni.del_network_list(net, RT)
    assert not fake.cache.records


def _without_empty(result: dict[str, Any] | None) -> dict[str, Any]:
    assert result is not None
    return {key: value for key, value in result.items() if value}


async def test_item_100_unknown_fields_of_a_result_are_lost() -> None:
    fake = runtime({("a", "ADD"): {**address(1), "mine": 1}})
    result = await fake.cni.add_network_list(network("a", "b"), RT)
    assert fake.configs("ADD")[1]["prevResult"] == as_dict(result) == address(1)
    assert json.loads(fake.cache.records[KEY])["result"] == address(1)


async def test_item_101_a_list_without_plugins_makes_a_record_without_a_result() -> None:
    fake = runtime()
    net = NetworkConfigList("net", "1.0.0")
    result = await fake.cni.add_network_list(net, RT)
    assert as_dict(result) == {"cniVersion": "1.0.0"}
    assert json.loads(fake.cache.records[KEY]) == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "config": None,
        "ifName": "eth0",
        "networkName": "net",
        "netns": RT.netns,
    }
    cached = await fake.cni.get_network_list_cached_result(net, RT)
    assert as_dict(cached) == as_dict(result)


async def test_item_101_its_identifiers_are_checked_all_the_same() -> None:
    fake = runtime()
    with pytest.raises(InvalidIdentifierError):
        await fake.cni.add_network_list(NetworkConfigList("../n", "1.0.0"), RT)
    assert not fake.cache.records


async def test_item_102_a_deadline() -> None:
    blocker = Blocker()
    fake = runtime({("a", "ADD"): blocker}, timeout=0.05)
    caught = await refused(fake, network("a"))
    assert isinstance(caught, PluginTimeoutError)
    assert "netplugin failed with no error message" in str(caught)
    assert (caught.plugin, caught.command, caught.retryable) == ("a", "ADD", True)


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0"])
async def test_item_352_a_plugin_of_the_first_hour(version: str) -> None:
    fake = runtime({("a", "ADD"): b'{"ip4":{"ip":"10.0.0.1/24"}}'})
    result = await fake.cni.add_network_list(network("a", "a", version=version), RT)
    assert as_dict(result)["cniVersion"] == (version or "0.1.0")
    assert [config["cniVersion"] for config in fake.configs("ADD")] == [version, version]


async def test_item_349_the_environment_has_the_runtimes_side() -> None:
    fake = runtime()
    rt = RuntimeConf("c1", "/n", "eth0", args=[("B", "2"), ("A", "")])
    await fake.cni.add_network(single(), rt)
    [call] = fake.exec.calls
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "B=2;A=",
        "CNI_PATH": "/bin1:/bin2",
    }


@pytest.mark.parametrize("value", [object(), float("nan"), {"x": [float("-inf")]}, "\ud800"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_capability_arg_that_is_no_json_runs_nothing(declared: bool, value: Any) -> None:
    fake = runtime()
    net = network({"type": "a", "capabilities": {"p": declared}})
    rt = RuntimeConf("c1", "", "eth0", capability_args={"p": value})
    with pytest.raises(ArgsError, match=r"no JSON can be made of the runtime configuration"):
        await fake.cni.add_network_list(net, rt)
    assert not fake.exec.calls


# -- cancellation


@pytest.mark.parametrize("chain", [True, False])
async def test_cancelled_while_a_plugin_runs(chain: bool) -> None:
    blocker = Blocker()
    fake = runtime({("b", "ADD"): blocker})
    await fake.cache.store(KEY, b"older")
    if chain:
        await blocker.cancel(lambda: fake.cni.add_network_list(network("a", "b", "c"), RT))
        assert fake.order == ["a ADD", "b ADD"]
    else:
        await blocker.cancel(lambda: fake.cni.add_network(single("b"), RT))
        assert fake.order == ["b ADD"]
    assert fake.cache.records == {KEY: b"older"}


class SlowCache(MemoryCache):
    """A cache with a slow disk."""

    def __init__(self) -> None:
        super().__init__()
        self.storing = anyio.Event()

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        self.storing.set()
        await anyio.sleep(0.05)
        await super().store(key, record)


async def test_cancelled_while_the_record_is_written() -> None:
    cache = SlowCache()
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache)

    async def add() -> None:
        await cni.add_network_list(network("a"), RT)
        await anyio.lowlevel.checkpoint()
        raise AssertionError("not cancelled")

    async with anyio.create_task_group() as group:
        group.start_soon(add)
        await cache.storing.wait()
        group.cancel_scope.cancel()
    assert list(cache.records) == [KEY]


async def test_a_result_is_returned_though_the_time_was_up_while_it_was_recorded() -> None:
    cache = SlowCache()
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache)
    versions: list[str] = []

    async def add(scope: anyio.CancelScope) -> None:
        with scope:
            versions.append((await cni.add_network_list(network("a"), RT)).version)

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(add, scope)
        await cache.storing.wait()
        scope.cancel()
    assert versions == ["1.1.0"]
    assert not scope.cancelled_caught


async def test_a_disk_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_CACHE_WAIT", 0.01)
    cni = CNIConfig(["/bin"], exec=FakeExec({("a", "ADD"): address(1)}), cache=SlowCache())
    with pytest.raises(CacheWriteError) as caught:
        await cni.add_network_list(network("a"), RT)
    assert str(caught.value) == 'failed to set network "net" cached result: no answer in 0.01 s'
    assert as_dict(caught.value.result) == address(1)


class NativelyCancelled(FileCache):
    """A cache that cancels the storing task, at once or a little later."""

    when: Literal["at once", "later"]

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        loop = asyncio.get_running_loop()
        [task] = [task for task in asyncio.all_tasks() if task.get_name() == "add"]
        if self.when == "at once":
            task.cancel()
        else:
            loop.call_later(0.01, task.cancel)
            await asyncio.sleep(0.03)
        await super().store(key, record)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_task_cancel_while_the_record_is_written(
    tmp_path: Path, when: Literal["at once", "later"]
) -> None:
    cache = NativelyCancelled(tmp_path)
    cache.when = when
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache)
    task = asyncio.create_task(cni.add_network_list(network("a"), RT), name="add")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.container_id for one in await cache.attachments()] == ["c1"]


async def test_an_error_that_an_exec_raises_twice_keeps_its_text() -> None:
    """It belongs to the caller's own `Exec`, and gets neither context nor notes."""
    error = failure()
    error.add_note("mine")

    class Same(FakeExec):
        async def exec_plugin(
            self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
        ) -> NoReturn:
            raise error

        async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
            if plugin == "missing":
                raise not_found
            return await super().find_in_path(plugin, paths)

    not_found = PluginNotFoundError("nowhere")
    cni = CNIConfig(["/bin"], exec=Same(), cache=FakeCache())
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            await cni.add_network_list(network("a"), RT)
        assert str(caught.value) == 'plugin type="a" failed (add): boom'
        assert (caught.value.plugin, caught.value.command) == ("a", "ADD")
        assert caught.value.__cause__ is error
        caught.value.add_note("more")
        with pytest.raises(PluginNotFoundError) as missing:
            await cni.add_network_list(network("missing"), RT)
        assert str(missing.value) == 'plugin type="missing" failed (add): nowhere'
    assert (str(error), error.plugin, error.__notes__) == ("boom", "", ["mine"])
    assert str(not_found) == "nowhere"


async def test_a_cache_that_says_itself_that_its_time_is_up() -> None:
    class Slow(FakeCache):
        async def store(self, key: AttachmentKey, record: bytes) -> None:
            raise TimeoutError("my own")

    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=Slow())
    with pytest.raises(TimeoutError, match="my own"):
        await cni.add_network_list(network("a"), RT)


async def test_a_record_of_another_attachment_in_a_store_by_file_names() -> None:
    class ByName(FakeCache):
        async def load(self, key: AttachmentKey) -> bytes | None:
            return next(
                (data for one, data in self.records.items() if one.file_name == key.file_name), None
            )

    cache = ByName()
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache, strict=True)
    await cni.add_network_list(network("a", name="x-y"), RuntimeConf("c", "", "eth0"))
    with pytest.raises(CacheWriteError, match="is of another attachment"):
        await cni.add_network_list(network("a", name="x"), RuntimeConf("y-c", "", "eth0"))

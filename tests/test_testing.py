"""The fakes that help users test a runtime."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from cni_async import (
    CNI,
    CacheError,
    CacheStore,
    CacheWriteError,
    CNIConfig,
    Exec,
    MemoryCache,
    PluginError,
    PluginNotFoundError,
    VersionError,
    testing as fakes,
)
from cni_async.testing import FakeCache, FakeCall, FakeExec
from tests.support.chains import KEY, RT, address, as_dict, failure, network, runtime, single

pytestmark = pytest.mark.anyio

ENVIRON = {"CNI_COMMAND": "ADD", "OTHER": "x"}


def test_the_fakes_are_what_they_stand_for() -> None:
    exec: Exec = FakeExec()
    cache: CacheStore = FakeCache()
    cni: CNI = CNIConfig([], exec=exec, cache=cache)
    assert isinstance(cni, CNIConfig)
    assert isinstance(cache, MemoryCache)
    assert fakes.__doc__ is not None
    assert all(name in fakes.__doc__ for name in ("FakeCache", "FakeExec"))


async def test_every_call_is_remembered() -> None:
    exec = FakeExec()
    await exec.exec_plugin("/bin/a", b'{"name":"n"}', ENVIRON)
    assert exec.calls == [FakeCall("a", "ADD", {"name": "n"}, ENVIRON)]


async def test_no_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNI_COMMAND", "DEL")
    exec = FakeExec()
    assert await exec.exec_plugin("a", b"{}", None) == b""
    assert exec.calls[0].command == "DEL"
    monkeypatch.delenv("CNI_COMMAND")
    assert await exec.exec_plugin("a", b"{}", None) == b""
    assert exec.calls[1].command == ""


async def test_without_an_answer_plugins_succeed() -> None:
    fake = runtime()
    net = network("a", "b")
    result = await fake.cni.add_network_list(net, RT)
    assert as_dict(result) == {"cniVersion": "1.1.0"}
    await fake.cni.check_network_list(net, RT)
    await fake.cni.get_status_network_list(net)
    await fake.cni.validate_network_list(net)
    await fake.cni.gc_network_list(net, None)
    await fake.cni.del_network_list(net, RT)
    commands = [call.command for call in fake.exec.calls]
    assert set(commands) == {"ADD", "CHECK", "STATUS", "VERSION", "DEL", "GC"}


async def test_a_plugin_without_an_answer_hands_the_result_on() -> None:
    fake = runtime({("a", "ADD"): address(1)})
    assert as_dict(await fake.cni.add_network_list(network("a", "b"), RT)) == address(1)


async def test_answers_can_be_bytes_objects_functions_and_coroutine_functions() -> None:
    async def wait(call: FakeCall) -> bytes:
        await anyio.sleep(0)
        return json.dumps(address(4)).encode()

    def nothing(call: FakeCall) -> None:
        return None

    fake = runtime(
        {
            ("a", "ADD"): json.dumps(address(1)).encode(),
            ("b", "ADD"): address(2),
            ("c", "ADD"): lambda call: {**call.config["prevResult"], "routes": []},
            ("d", "ADD"): wait,
            ("e", "ADD"): nothing,
        }
    )
    await fake.cni.add_network_list(network("a", "b", "c", "d", "e"), RT)
    given = [config.get("prevResult") for config in fake.configs("ADD")]
    assert given == [None, address(1), address(2), address(2), address(4)]


async def test_errors_are_raised_and_each_time_as_if_they_were_new() -> None:
    error = failure("no", details="way")
    fake = runtime({("a", "ADD"): error, ("b", "ADD"): lambda call: error})
    for plugin_type in ("a", "b", "a"):
        with pytest.raises(PluginError) as caught:
            await fake.cni.add_network_list(network(plugin_type), RT)
        assert str(caught.value) == f'plugin type="{plugin_type}" failed (add): no; way'
        assert (caught.value.code, caught.value.plugin) == (100, plugin_type)
    assert (str(error), error.plugin) == ("no; way", "")
    fake = runtime({("a", "ADD"): LookupError("bug")})
    with pytest.raises(LookupError, match="bug"):
        await fake.cni.add_network(single(), RT)


async def test_missing_plugins() -> None:
    exec = FakeExec(missing=["a"])
    assert await exec.find_in_path("b", ["/x", "/y"]) == "/x/b"
    with pytest.raises(PluginNotFoundError) as caught:
        await exec.find_in_path("a", ["/x", "/y"])
    assert str(caught.value) == 'failed to find plugin "a" in path [/x /y]'
    assert (caught.value.plugin, caught.value.paths) == ("a", ("/x", "/y"))
    with pytest.raises(PluginNotFoundError):
        await exec.find_in_path("b", [])


def test_answers_to_version_are_read_as_always() -> None:
    exec = FakeExec()
    info = exec.decode(b'{"cniVersion":"1.0.0","supportedVersions":["0.4.0"]}')
    assert info.supported_versions == ("0.4.0",)
    with pytest.raises(VersionError):
        exec.decode(b"{}")


async def test_a_cache_fails_on_demand() -> None:
    cache = FakeCache(fail_on=["load"])
    await cache.prepare(KEY)
    await cache.store(KEY, b"x")
    with pytest.raises(CacheError, match="load: input/output error"):
        await cache.load(KEY)
    cache.fail_on = {"prepare", "store", "remove", "attachments"}
    assert await cache.load(KEY) == b"x"
    for call in (
        cache.prepare(KEY),
        cache.store(KEY, b"y"),
        cache.remove(KEY),
        cache.attachments(),
    ):
        with pytest.raises(CacheError):
            await call
    cache.fail_on.clear()
    assert await cache.load(KEY) == b"x"
    await cache.remove(KEY)
    await cache.remove(KEY)
    assert await cache.load(KEY) is None
    assert await cache.attachments() == []


async def test_the_example_in_its_docstring() -> None:
    exec = FakeExec({("bridge", "ADD"): {"ips": [{"address": "10.1.2.3/24"}]}})
    cni = CNIConfig(["/opt/cni/bin"], exec=exec, cache=FakeCache(fail_on=["store"]))
    with pytest.raises(CacheWriteError) as caught:
        await cni.add_network_list(network("bridge"), RT)
    assert as_dict(caught.value.result)["ips"] == [{"address": "10.1.2.3/24"}]


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        (
            ("a", "Add"),
            ValueError,
            "('a', 'Add'): 'Add' is not a command; commands are ADD, CHECK, DEL",
        ),
        (
            ("ADD", "a"),
            ValueError,
            "('ADD', 'a'): 'a' is not a command; commands are ADD, CHECK, DEL",
        ),
        (("a", ""), ValueError, "('a', ''): '' is not a command; commands are ADD, CHECK, DEL"),
        (("", "ADD"), ValueError, "('', 'ADD'): '' is not a plugin type"),
        (("/bin/a", "ADD"), ValueError, "('/bin/a', 'ADD'): '/bin/a' is not a plugin type"),
        ("a ADD", TypeError, "each key of answers must be a pair of plugin type and command, not"),
        (("a",), TypeError, "each key of answers must be a pair of plugin type and command, not"),
        ((1, "ADD"), TypeError, "each key of answers must be a pair of plugin type and command,"),
    ],
)
async def test_an_answer_that_nothing_could_ask_for(
    key: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as caught:
        FakeExec({key: b""})
    assert str(caught.value).startswith(text)


async def test_answers_that_were_not_asked_for() -> None:
    fake = runtime({("a", "ADD"): address(1), ("bridge", "ADD"): address(2), ("a", "DEL"): b""})
    assert fake.exec.unasked == {("a", "ADD"), ("bridge", "ADD"), ("a", "DEL")}
    await fake.cni.add_network_list(network("a"), RT)
    assert fake.exec.unasked == {("bridge", "ADD"), ("a", "DEL")}


async def test_missing_is_no_string() -> None:
    with pytest.raises(TypeError, match="missing must be a collection of plugin types, not string"):
        FakeExec(missing="bridge")


async def test_a_method_that_no_cache_has() -> None:
    with pytest.raises(ValueError, match=r"fail_on: \['stor'\] is not a method; methods are att"):
        FakeCache(fail_on={"stor"})
    with pytest.raises(TypeError, match="fail_on must be a collection of names of methods, not"):
        FakeCache(fail_on="store")
    cache = FakeCache()
    cache.fail_on.add("save")
    with pytest.raises(ValueError, match="'save'"):
        await cache.load(KEY)

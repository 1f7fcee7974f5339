"""Arguments that callers may pass (paths, mappings, bytes that are not UTF-8), and refused ones."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest

from cni_async import (
    CNIConfig,
    FileCache,
    GCArgs,
    GCAttachment,
    MemoryCache,
    NetworkAttachment,
    RuntimeConf,
    conf_files,
    conf_from_bytes,
    conf_from_file,
    conf_list_from_bytes,
    conf_list_from_conf,
    conf_list_from_file,
    create_result,
    create_result_from_bytes,
    inject_conf,
    load_conf,
    load_conf_list,
    load_network_conf,
    network_conf_from_bytes,
    network_conf_from_file,
    network_plugin_conf_from_bytes,
    network_plugin_confs_from_files,
)
from cni_async.errors import ArgsError
from cni_async.invoke import Args, find_in_path
from cni_async.testing import FakeExec
from cni_async.types.args import CommonArgs, load_args
from cni_async.version import decode_config_version, decode_plugin_info
from tests.support.chains import RT, network, runtime, single
from tests.support.recorder import Recorder

# Hides a value's type, to pass arguments that a type checker would reject.
odd: Final = cast("Callable[[object], Any]", lambda value: value)

NET: Final = network("a")
SINGLE: Final = single("a")


def test_runtime_conf_paths_become_strings() -> None:
    rt = RuntimeConf("c1", Path("/run/netns/x"), "eth0", cache_dir=Path("/cache"))
    assert (rt.netns, rt.cache_dir) == ("/run/netns/x", "/cache")
    assert RuntimeConf("c1", netns=Path("/n")) == RuntimeConf("c1", "/n")


@pytest.mark.parametrize(
    "args",
    [
        [("Z", "1"), ("A", "2"), ("Z", "3")],
        (("Z", "1"), ("A", "2"), ("Z", "3")),
        [["Z", "1"], ["A", "2"], ["Z", "3"]],
        iter([("Z", "1"), ("A", "2"), ("Z", "3")]),
    ],
    ids=["list", "tuple", "lists", "generator"],
)
def test_runtime_conf_pairs_become_tuples(args: Any) -> None:
    assert RuntimeConf("c1", args=args).args == (("Z", "1"), ("A", "2"), ("Z", "3"))


def test_runtime_conf_a_mapping_keeps_its_order() -> None:
    rt = RuntimeConf("c1", args={"Z": "1", "AB": "x"})
    assert rt.args == (("Z", "1"), ("AB", "x"))
    assert RuntimeConf("c1", args={}).args == ()


def test_runtime_conf_no_cache_directory_is_none() -> None:
    assert RuntimeConf("c1").cache_dir is None
    assert RuntimeConf("c1", cache_dir="") == RuntimeConf("c1")


def test_runtime_conf_only_three_by_position() -> None:
    with pytest.raises(TypeError):
        odd(RuntimeConf)("c1", "/n", "eth0", [("K", "V")])
    with pytest.raises(TypeError):
        odd(NetworkAttachment)("c1", "net", "eth0", b"{}")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"container_id": 7}, "container_id must be a string, not int"),
        ({"container_id": None}, "container_id must be a string, not None"),
        ({"ifname": Path("eth0")}, "ifname must be a string, not PosixPath"),
        ({"netns": None}, "netns must be a string or a path, not None"),
        ({"netns": 3}, "netns must be a string or a path, not int"),
        ({"netns": b"/n"}, "netns must be a string or a path, not bytes"),
        ({"cache_dir": 3}, "cache_dir must be a string or a path, not int"),
        ({"args": "AB=x"}, "args must be a mapping or pairs of strings, not string"),
        ({"args": None}, "args must be a mapping or pairs of strings, not None"),
        ({"args": 1}, "args must be a mapping or pairs of strings, not int"),
        (
            {"args": ["AB"]},
            "args must be a mapping or pairs of strings, and 'AB' is not a pair of strings",
        ),
        (
            {"args": {"K": 1}},
            "args must be a mapping or pairs of strings, and ('K', 1) is not a pair of strings",
        ),
        (
            {"args": [("K",)]},
            "args must be a mapping or pairs of strings, and ('K',) is not a pair of strings",
        ),
        ({"capability_args": [("mac", "x")]}, "capability_args must be a Mapping, not list"),
        ({"capability_args": None}, "capability_args must be a Mapping, not None"),
    ],
)
def test_runtime_conf_anything_else_is_refused_here(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        odd(RuntimeConf)(**{"container_id": "c1", **given})
    assert str(caught.value) == text


def test_gc_args_a_generator_is_read_once() -> None:
    args = GCArgs(GCAttachment(container_id, "eth0") for container_id in ("c1", "c2"))
    assert args.valid_attachments == (GCAttachment("c1", "eth0"), GCAttachment("c2", "eth0"))
    assert GCArgs([]) == GCArgs()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["x"], "each element of valid_attachments must be a GCAttachment, not string"),
        ([("c1", "eth0")], "each element of valid_attachments must be a GCAttachment, not tu"),
        ([RT], "each element of valid_attachments must be a GCAttachment, not RuntimeConf"),
        ("x", "valid_attachments must be a sequence of GCAttachment, not string"),
        (None, "valid_attachments must be a sequence of GCAttachment, not None"),
        ({"c1": "eth0"}, "valid_attachments must be a sequence of GCAttachment, not dict"),
        (GCAttachment("c", "e"), "valid_attachments must be a sequence of GCAttachment, not G"),
    ],
)
def test_gc_args_anything_else_is_refused_here(given: object, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        GCArgs(odd(given))
    assert str(caught.value).startswith(text)


def test_gc_args_an_attachment_that_would_spare_nothing() -> None:
    with pytest.raises(TypeError, match=r"^container_id must be a string, not int$"):
        GCAttachment(odd(1), "eth0")
    with pytest.raises(TypeError, match=r"^ifname must be a string, not None$"):
        GCAttachment("c1", odd(None))


def test_cni_config_paths(tmp_path: Path) -> None:
    cni = CNIConfig([Path("/a"), "/b"], cache_dir=tmp_path, lock_file=tmp_path / "lock")
    assert cni.path == ("/a", "/b")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"path": "/bin"}, "path must be a sequence of directories, not one string"),
        ({"path": b"/bin"}, "path must be a sequence of directories, not one bytes"),
        ({"path": Path("/b")}, "path must be a sequence of directories, not one PosixPath"),
        ({"path": None}, "path must be a sequence of directories, not None"),
        ({"path": [1]}, "each element of path must be a string or a path, not int"),
        ({"path": [b"/b"]}, "each element of path must be a string or a path, not bytes"),
        ({"cache_dir": 5}, "cache_dir must be a string or a path, not int"),
        ({"lock_file": 5}, "lock_file must be a string or a path, not int"),
    ],
)
def test_cni_config_anything_else_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        odd(CNIConfig)(**{"path": ["/bin"], **given})
    assert str(caught.value) == text


LISTS: Final = [
    "add_network_list",
    "check_network_list",
    "del_network_list",
    "get_network_list_cached_result",
    "get_network_list_cached_config",
]
SINGLES: Final = [
    "add_network",
    "check_network",
    "del_network",
    "get_network_cached_result",
    "get_network_cached_config",
]


@pytest.mark.anyio
@pytest.mark.parametrize("method", LISTS + SINGLES)
async def test_cni_config_swapped_and_wrong_objects(method: str) -> None:
    fake = runtime()
    call: Callable[..., Awaitable[object]] = getattr(fake.cni, method)
    right, wrong = (NET, SINGLE) if method in LISTS else (SINGLE, NET)
    wanted = type(right).__name__
    for net, rt, text in [
        (wrong, RT, f"net must be a {wanted}, not {type(wrong).__name__}"),
        (RT, right, f"net must be a {wanted}, not RuntimeConf"),
        (right, right, f"rt must be a RuntimeConf, not {wanted}"),
        (right, "c1", "rt must be a RuntimeConf, not string"),
        ("net", RT, f"net must be a {wanted}, not string"),
    ]:
        with pytest.raises(TypeError) as caught:
            await call(net, rt)
        assert str(caught.value) == text
    assert not fake.exec.calls


@pytest.mark.anyio
async def test_cni_config_the_other_methods() -> None:
    fake = runtime()
    cni = odd(fake.cni)
    both = "net must be a NetworkConfigList or a NetworkConfig, not RuntimeConf"
    with pytest.raises(TypeError, match=f"^{both}$"):
        cni.attachment(RT, NET)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: cni.validate_network_list(SINGLE), "net must be a NetworkConfigList, not N"),
        (lambda: cni.validate_network(NET), "net must be a NetworkConfig, not NetworkConfigLi"),
        (lambda: cni.get_status_network_list(SINGLE), "net must be a NetworkConfigList, not"),
        (lambda: cni.gc_network_list(SINGLE, None), "net must be a NetworkConfigList, not Ne"),
        (lambda: cni.gc_network_list(NET, []), "args must be a GCArgs or None, not list"),
        (lambda: cni.get_version_info(7), "plugin_type must be a string, not int"),
        (lambda: cni.get_cached_attachments(7), "container_id must be a string, not int"),
        (lambda: cni.get_cached_attachments(cache_dir=7), "cache_dir must be a string or a p"),
        (lambda: cni.del_attachment(RT), "attachment must be a NetworkAttachment, not Runtime"),
        (lambda: cni.recover(cache_dir=7), "cache_dir must be a string or a path, not int"),
    ]
    for call, text in calls:
        with pytest.raises(TypeError) as caught:
            await call()
        assert str(caught.value).startswith(text)
    assert not fake.exec.calls


@pytest.mark.parametrize(
    "read",
    [
        conf_from_bytes,
        conf_list_from_bytes,
        network_conf_from_bytes,
        network_plugin_conf_from_bytes,
    ],
)
def test_configurations_text_is_no_bytes(read: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"^a configuration is read from bytes, not str$"):
        read('{"name":"n","type":"t","plugins":[{"type":"t"}]}')


def test_configurations_wrong_objects() -> None:
    with pytest.raises(TypeError, match=r"^conf must be a NetworkConfig, not Net"):
        conf_list_from_conf(odd(NET))
    with pytest.raises(TypeError, match=r"^conf must be a NetworkConfig, not Net"):
        inject_conf(odd(NET), {})
    with pytest.raises(TypeError, match=r"^new_values must be a Mapping, not list$"):
        inject_conf(SINGLE, odd([("a", 1)]))


@pytest.mark.anyio
async def test_configurations_numbers_and_paths_where_others_belong(tmp_path: Path) -> None:
    for read in (conf_from_file, conf_list_from_file, network_conf_from_file):
        with pytest.raises(TypeError, match=r"^path must be a string or a path, not int$"):
            await odd(read)(5)
    for load in (load_conf, load_conf_list, load_network_conf):
        with pytest.raises(TypeError, match=r"^dir must be a string or a path, not int$"):
            await odd(load)(5, "net")
        with pytest.raises(TypeError, match=r"^name must be a string, not int$"):
            await odd(load)(tmp_path, 5)
    with pytest.raises(TypeError, match=r"^network_name must be a string, not PosixPath$"):
        await network_plugin_confs_from_files(tmp_path, odd(tmp_path))
    with pytest.raises(TypeError, match=r"^extensions must be a collection of strings, not"):
        await conf_files(tmp_path, ".conf")


@pytest.mark.parametrize(
    "read",
    [
        lambda text: create_result("1.0.0", text),
        create_result_from_bytes,
        decode_config_version,
        decode_plugin_info,
    ],
)
def test_the_rest_text_is_no_bytes(read: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"^data must be bytes, not string$"):
        read('{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}')


def test_the_rest_cni_args() -> None:
    with pytest.raises(TypeError, match=r"^text must be a string, not bytes$"):
        load_args(odd(b"A=b"), CommonArgs())


def test_the_rest_parameters_of_a_plugin() -> None:
    args = Args(command="ADD", netns=Path("/n"), args=iter([("A", "b")]), path=[Path("/x"), "/y"])
    for _ in range(2):
        environ = args.as_env()
        assert environ["CNI_ARGS"] == "A=b"
        assert environ["CNI_NETNS"] == "/n"
        assert environ["CNI_PATH"] == "/x:/y"
    assert Args(command="ADD", args={"AB": "x"}).as_env()["CNI_ARGS"] == "AB=x"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"command": None}, "command must be a string, not None"),
        ({"args": ["AB"]}, "args must be a mapping or pairs of strings, and 'AB' is not a pair"),
        ({"path": "/bin"}, "path must be a sequence of directories, not one string"),
    ],
)
def test_the_rest_anything_else_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as caught:
        odd(Args)(**{"command": "ADD", **given})
    assert str(caught.value).startswith(text)


def test_the_rest_finding_a_plugin() -> None:
    with pytest.raises(TypeError, match=r"^paths must be a sequence of directories, not one"):
        find_in_path("sh", "/bin")
    with pytest.raises(TypeError, match=r"^plugin must be a string, not None$"):
        find_in_path(odd(None), ["/bin"])
    assert find_in_path("sh", [odd(Path("/bin"))]) == "/bin/sh"


def test_the_rest_a_cache() -> None:
    with pytest.raises(TypeError, match=r"^dir must be a string or a path, not bytes$"):
        FileCache(odd(b"/cache"))


RAW: Final = b"/run/netns/\xff\xfe\xc3"
UNDECODED: Final = os.fsdecode(RAW)
WRITTEN: Final = "/run/netns/\ufffd\ufffd\ufffd"


@pytest.mark.anyio
async def test_bytes_that_are_no_utf8_reach_plugins(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path)
    interface = os.fsdecode(b"e\xff0")
    rt = RuntimeConf("c1", UNDECODED, interface, args={"K": os.fsdecode(b"v\xff=\xfe")})
    await cni.add_network_list(NET, rt)
    await cni.check_network_list(NET, rt)
    valid = GCArgs([GCAttachment("c1", interface)])
    await cni.gc_network_list(NET, valid)
    await cni.del_network_list(NET, rt)
    calls = recorder.calls()
    assert [call.command for call in calls] == ["ADD", "CHECK", "GC", "DEL"]
    for call in calls:
        if call.command != "GC":
            assert os.fsencode(call.environ["CNI_NETNS"]) == RAW
            assert os.fsencode(call.environ["CNI_ARGS"]) == b"K=v\xff=\xfe"
            assert os.fsencode(call.environ["CNI_IFNAME"]) == b"e\xff0"
    assert await cni.get_cached_attachments() == []


@pytest.mark.anyio
async def test_bytes_that_are_no_utf8_in_a_record() -> None:
    cache = MemoryCache()
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache=cache)
    rt = RuntimeConf("c1", UNDECODED, "eth0", args={"K": os.fsdecode(b"\xffv")})
    await cni.add_network_list(NET, rt)
    [record] = map(json.loads, cache.records.values())
    # Go writes the bytes like this.
    assert record["netns"] == WRITTEN
    assert record["cniArgs"] == [["K", "\ufffdv"]]
    [attachment] = await cni.get_cached_attachments("c1")
    await cni.del_attachment(attachment)
    assert not cache.records


@pytest.mark.anyio
async def test_half_a_character_is_not_recorded() -> None:
    fake = runtime()
    for rt in (
        RuntimeConf("c1", "/\ud800", "eth0"),
        RuntimeConf("c1", "", "e", args={"K": "\ud800"}),
    ):
        with pytest.raises(ArgsError, match=r"^.* cannot carry .*surrogates not allowed$"):
            await fake.cni.add_network_list(NET, rt)
    assert not fake.exec.calls


@pytest.mark.anyio
async def test_an_equals_sign_in_a_value(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path)
    rt = RuntimeConf("c1", "", "eth0", args={"TC_REDIRECT_TAP_NAME": "a=b=="})
    await cni.add_network_list(NET, rt)
    [call] = recorder.calls()
    assert call.environ["CNI_ARGS"] == "TC_REDIRECT_TAP_NAME=a=b=="

"""Records are written and read.

The tests cover sections O to Q of docs/maintainers/conformance.md;
their names or ids contain the numbers.

libcni v1.2.3 wrote the literal records.
"""

from __future__ import annotations

import base64
import json
import logging
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from cni_async import (
    ArgsError,
    AttachmentKey,
    CacheError,
    CNIConfig,
    CorruptRecordError,
    ForeignRecordError,
    MemoryCache,
    NetworkAttachment,
    NetworkConfigList,
    RuntimeConf,
    conf_list_from_bytes,
)
from cni_async.cache.record import decode_record, encode_record, new_record, read_result
from cni_async.capabilities import Bandwidth, PortMapping, capability_args
from cni_async.testing import FakeExec
from tests.support.chains import KEY, as_dict, network, runtime, single

LIST = b'{ "cniVersion": "1.0.0", "name": "net", "plugins": [ {"type": "bridge"} ] }'
LIST_64 = (
    b"eyAiY25pVmVyc2lvbiI6ICIxLjAuMCIsICJuYW1lIjogIm5ldCIsICJwbHVnaW5zIjogWyB7InR5cGUiOiAi"
    b"YnJpZGdlIn0gXSB9"
)
HEAD = b'{"kind":"cniCacheV1","containerId":"c1","config":"%s","ifName":"eth0","networkName":"net"'
BARE = RuntimeConf("c1", "", "eth0")
FULL = RuntimeConf(
    "c1",
    "/run/netns/blue",
    "eth0",
    args=(("B", "2"), ("A", "1"), ("E", "")),
    capability_args={
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 1, "a": "\u00e9"},
        "none": None,
    },
)
FULL_RECORD = (
    HEAD % LIST_64
    + ',"netns":"/run/netns/blue","cniArgs":[["B","2"],["A","1"],["E",""]],'
    '"capabilityArgs":{"bandwidth":{"a":"\u00e9","ingressRate":1},"none":null,"portMappings":'
    '[{"containerPort":80,"hostPort":8080,"protocol":"tcp"}]},"result":{"cniVersion":"1.0.0",'
    '"interfaces":[{"mac":"02:00:00:00:00:01","mtu":1500,"name":"eth0",'
    '"sandbox":"/run/netns/blue"}],"ips":[{"address":"10.0.0.2/24","gateway":"10.0.0.1",'
    '"interface":0}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]}}'.encode()
)
FULL_ANSWER = (
    b'{"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}],"ips":[{"gateway":"10.0.0.1",'
    b'"address":"10.0.0.2/24","interface":0}],"interfaces":[{"sandbox":"/run/netns/blue",'
    b'"mac":"02:00:00:00:00:01","name":"eth0","mtu":1500}],"cniVersion":"1.0.0"}'
)
LIST_040 = b'{"cniVersion":"0.4.0","name":"net","plugins":[{"type":"bridge"}]}'
ANSWER_040 = (
    b'{"cniVersion":"0.4.0","routes":[{"gw":"10.0.0.1","dst":"0.0.0.0/0"}],"interfaces":'
    b'[{"sandbox":"/s","name":"eth0"}],"ips":[{"version":"4","address":"10.0.0.2/24",'
    b'"interface":0}],"dns":{"nameservers":["1.1.1.1"],"domain":"d"}}'
)
RECORD_040 = (
    HEAD
    % b"eyJjbmlWZXJzaW9uIjoiMC40LjAiLCJuYW1lIjoibmV0IiwicGx1Z2lucyI6W3sidHlwZSI6ImJyaWRnZSJ9XX0="
    + b',"result":{"cniVersion":"0.4.0","dns":{"domain":"d","nameservers":["1.1.1.1"]},'
    b'"interfaces":[{"name":"eth0","sandbox":"/s"}],"ips":[{"address":"10.0.0.2/24",'
    b'"interface":0,"version":"4"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]}}'
)
LIST_020 = b'{"cniVersion":"0.2.0","name":"net","plugins":[{"type":"bridge"}]}'
ANSWER_020 = b'{"ip4":{"routes":[{"dst":"1.0.0.0/8"}],"ip":"10.0.0.2/24","gateway":"10.0.0.1"}}'
RECORD_020 = (
    HEAD
    % b"eyJjbmlWZXJzaW9uIjoiMC4yLjAiLCJuYW1lIjoibmV0IiwicGx1Z2lucyI6W3sidHlwZSI6ImJyaWRnZSJ9XX0="
    + b',"result":{"cniVersion":"0.2.0","dns":{},"ip4":{"gateway":"10.0.0.1","ip":"10.0.0.2/24",'
    b'"routes":[{"dst":"1.0.0.0/8"}]}}}'
)

written_by_go = pytest.mark.parametrize(
    ("config", "rt", "answer", "record"),
    [
        pytest.param(LIST, FULL, FULL_ANSWER, FULL_RECORD, id="168-full"),
        pytest.param(
            LIST, BARE, b"{}", HEAD % LIST_64 + b',"result":{"cniVersion":"1.0.0"}}', id="166-bare"
        ),
        pytest.param(LIST_040, BARE, ANSWER_040, RECORD_040, id="166-0.4.0"),
        pytest.param(LIST_020, BARE, ANSWER_020, RECORD_020, id="166-0.2.0"),
    ],
)


# -- writing


@pytest.mark.anyio
@written_by_go
async def test_records_are_written_as_go_writes_them(
    config: bytes, rt: RuntimeConf, answer: bytes, record: bytes
) -> None:
    fake = runtime({("bridge", "ADD"): answer})
    await fake.cni.add_network_list(conf_list_from_bytes(config), rt)
    assert fake.cache.records == {KEY: record}


@pytest.mark.anyio
async def test_item_167_the_configuration_is_the_original_bytes() -> None:
    fake = runtime()
    net = single(" odd \u00e9 ", mtu=1.0)
    await fake.cni.add_network(net, BARE)
    record = json.loads(fake.cache.records[KEY])
    assert base64.b64decode(record["config"], validate=True) == net.raw
    await fake.cni.add_network_list(NetworkConfigList("net", "1.0.0"), BARE)
    assert fake.cache.records[KEY] == (
        b'{"kind":"cniCacheV1","containerId":"c1","config":null,"ifName":"eth0",'
        b'"networkName":"net"}'
    )


@pytest.mark.anyio
async def test_item_168_typed_capability_args() -> None:
    fake = runtime()
    args = capability_args(port_mappings=[PortMapping(8080, 80, "tcp")], bandwidth=Bandwidth(1, 2))
    rt = RuntimeConf("c1", "", "eth0", capability_args=args)
    await fake.cni.add_network_list(network("a"), rt)
    [one] = await fake.cni.get_cached_attachments()
    assert one.capability_args == {
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {
            "ingressRate": 1,
            "ingressBurst": 2,
            "egressRate": 0,
            "egressBurst": 0,
        },
    }


@pytest.mark.anyio
async def test_item_46_integral_floats_lose_their_point_in_records_too() -> None:
    fake = runtime()
    values = {"n": 1000.0, "list": [1e3, 1.5, {"x": -0.0}]}
    await fake.cni.add_network_list(
        network("a"), RuntimeConf("c1", "", "eth0", args=(), capability_args=values)
    )
    assert b'"capabilityArgs":{"list":[1000,1.5,{"x":' in fake.cache.records[KEY]
    assert b'"n":1000}' in fake.cache.records[KEY]


@pytest.mark.parametrize("netns", ["\ud800", "/run/\udfff"])
def test_what_is_no_text_cannot_be_written(netns: str) -> None:
    with pytest.raises(ArgsError, match=r"surrogates"):
        encode_record(new_record(KEY, b"{}", RuntimeConf("c1", netns, "eth0")), None)


# -- reading the configuration and result of ADD


class Kept:
    """A cache with one record, and what can be read from it."""

    def __init__(self, record: bytes, version: str = "1.0.0") -> None:
        fake = runtime()
        fake.cache.records[KEY] = record
        self.cni = fake.cni
        self.net = network("bridge", version=version)
        self.one = single("bridge", version=version)

    async def result(self) -> dict[str, Any]:
        result = await self.cni.get_network_list_cached_result(self.net, BARE)
        assert result == await self.cni.get_network_cached_result(self.one, BARE)
        return as_dict(result)

    async def no_result(self) -> str:
        with pytest.raises(CorruptRecordError) as caught:
            await self.cni.get_network_list_cached_result(self.net, BARE)
        with pytest.raises(CorruptRecordError):
            await self.cni.get_network_cached_result(self.one, BARE)
        return str(caught.value)

    async def config(self, rt: RuntimeConf = BARE) -> tuple[bytes, RuntimeConf]:
        cached = await self.cni.get_network_list_cached_config(self.net, rt)
        assert cached == await self.cni.get_network_cached_config(self.one, rt)
        assert cached is not None
        return cached.config, cached.runtime

    async def no_config(self) -> str:
        with pytest.raises(CorruptRecordError) as caught:
            await self.cni.get_network_list_cached_config(self.net, BARE)
        with pytest.raises(CorruptRecordError):
            await self.cni.get_network_cached_config(self.one, BARE)
        return str(caught.value)


def v1(**keys: Any) -> bytes:
    """Return a record as the library writes it, with the given keys added or replaced."""
    usual = {"kind": "cniCacheV1", "containerId": "c1", "config": "e30=", "ifName": "eth0"}
    return json.dumps({**usual, "networkName": "net", **keys}).encode()


@pytest.mark.anyio
@written_by_go
async def test_records_of_go_are_read(
    config: bytes, rt: RuntimeConf, answer: bytes, record: bytes
) -> None:
    version = json.loads(config)["cniVersion"]
    kept = Kept(record, version)
    result = json.loads(record)["result"]
    assert await kept.result() == result
    # The record may have no namespace while its result has one.
    inside = [each["sandbox"] for each in result.get("interfaces", ())]
    rt = msgspec.structs.replace(rt, netns=rt.netns or "".join(inside))
    assert await kept.config() == (config, rt)


@pytest.mark.anyio
async def test_item_172_and_180_no_record() -> None:
    fake = runtime()
    for net in (network("a"), network("a", version="0.1.0")):
        assert await fake.cni.get_network_list_cached_result(net, BARE) is None
        assert await fake.cni.get_network_list_cached_config(net, BARE) is None
    assert await fake.cni.get_network_cached_result(single(), BARE) is None
    assert await fake.cni.get_network_cached_config(single(), BARE) is None


@pytest.mark.anyio
async def test_item_173_an_error_on_reading_is_an_error() -> None:
    fake = runtime(fail_on=["load"])
    with pytest.raises(CacheError, match=r"^load: input/output error$"):
        await fake.cni.get_network_list_cached_result(network("a"), BARE)
    with pytest.raises(CacheError, match=r"^load: input/output error$"):
        await fake.cni.get_network_cached_config(single(), BARE)


ADDRESS = {"cniVersion": "1.0.0", "ips": [{"address": "1.2.3.4/24"}]}
ADDRESS_040 = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "1.2.3.4/24"}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "version", "result"),
    [
        pytest.param(v1(result=ADDRESS_040), "1.0.0", ADDRESS, id="174-converted"),
        pytest.param(v1(result=ADDRESS), "0.4.0", {**ADDRESS_040, "dns": {}}, id="174-down"),
        pytest.param(v1(result={"ips": []}), "1.0.0", {"cniVersion": "1.0.0"}, id="174-no-version"),
        pytest.param(json.dumps(ADDRESS_040).encode(), "1.0.0", ADDRESS, id="175-legacy"),
        pytest.param(
            b'{"ip4":{"ip":"1.2.3.4/24"}}', "1.0.0", ADDRESS, id="175-legacy-without-version"
        ),
        pytest.param(v1(), "1.0.0", {"cniVersion": "1.0.0"}, id="178-none"),
        pytest.param(v1(result=None), "1.0.0", {"cniVersion": "1.0.0"}, id="178-null"),
        pytest.param(v1(result={}), "1.1.0", {"cniVersion": "1.1.0"}, id="178-empty"),
        pytest.param(
            v1(result={}), "0.2.0", {"cniVersion": "0.2.0", "dns": {}}, id="178-empty-of-old"
        ),
        pytest.param(v1(RESULT=ADDRESS), "1.0.0", ADDRESS, id="179-one-key"),
        pytest.param(
            json.dumps({key.upper(): value for key, value in json.loads(v1()).items()}).encode(),
            "1.0.0",
            {"cniVersion": "1.0.0"},
            id="179-all-keys",
        ),
        pytest.param(v1(result=ADDRESS, future={"a": 1}), "1.0.0", ADDRESS, id="unknown-key"),
        pytest.param(
            v1(result=ADDRESS, netns="@").replace(b"@", b"\xff"), "1.0.0", ADDRESS, id="48-bytes"
        ),
        pytest.param(
            v1(result=ADDRESS, netns=None, cniArgs=None, capabilityArgs=None),
            "1.0.0",
            ADDRESS,
            id="nulls",
        ),
        pytest.param(
            v1(result=ADDRESS)[:-1] + b',"kind":null}', "1.0.0", ADDRESS, id="null-takes-no-text"
        ),
        pytest.param(
            v1(result=ADDRESS)[:-1] + b',"future":1,"result":null}',
            "1.0.0",
            {"cniVersion": "1.0.0"},
            id="null-takes-a-result",
        ),
        pytest.param(
            v1(result=1).replace(b'"result": 1', b'"result":{"cniVersion":"1.1.0","routes":%s}')
            % b'[{"dst":"1.0.0.0/8","mtu":15e2}]',
            "1.1.0",
            {"cniVersion": "1.1.0", "routes": [{"dst": "1.0.0.0/8", "mtu": 1500}]},
            id="numbers-without-their-point",
        ),
        pytest.param(
            v1(result={"cniVersion": "1.0.0", "DNS": {"domain": "a"}, "dns": {"domain": "b"}}),
            "1.0.0",
            {"cniVersion": "1.0.0", "dns": {"domain": "b"}},
            id="spellings-in-order",
        ),
        pytest.param(
            v1(result={"cniVersion": "1.0.0", "dns": {"domain": "b"}, "DNS": {"domain": "a"}}),
            "1.0.0",
            {"cniVersion": "1.0.0", "dns": {"domain": "b"}},
            id="spellings-sorted",
        ),
        pytest.param(
            v1(result=1).replace(b'"result": 1', b'"result":{"cniVersion":"1.0.0",%s}')
            % b'"dns":{"domain":"a"},"dns":{"search":["b"]}',
            "1.0.0",
            {"cniVersion": "1.0.0", "dns": {"search": ["b"]}},
            id="a-key-of-the-result-twice",
        ),
    ],
)
async def test_results(record: bytes, version: str, result: dict[str, Any]) -> None:
    assert await Kept(record, version).result() == result


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "words"),
    [
        pytest.param(
            b"adfadsf",
            "decoding version from network config: invalid character 'a' looking for beginning "
            "of value",
            id="176-garbage",
        ),
        pytest.param(
            b'{"cniVersion":"0.4567.0"}',
            'unsupported CNI result version "0.4567.0"',
            id="176-unknown-version",
        ),
        pytest.param(
            b"", "decoding version from network config: unexpected end of JSON input", id="empty"
        ),
        pytest.param(
            FULL_RECORD[:-1],
            "decoding version from network config: unexpected end of JSON input",
            id="truncated",
        ),
        pytest.param(
            b"[]",
            "decoding version from network config: the document is of type array, not object",
            id="array",
        ),
        pytest.param(
            b"{}", "no result in cache record net-c1-eth0: it is empty", id="177-empty-object"
        ),
        pytest.param(b"null", "no result in cache record net-c1-eth0: it is empty", id="177-null"),
        pytest.param(
            v1(kind="cniCacheV2", result=ADDRESS),
            "no result in cache record net-c1-eth0: the record has wrong kind: cniCacheV2",
            id="177-kind",
        ),
        pytest.param(
            v1(config="!"),
            "no result in cache record net-c1-eth0: Invalid base64 encoded string - at `$.config`",
            id="177-config",
        ),
        pytest.param(
            v1(result=[]),
            "no result in cache record net-c1-eth0: result is of type array, not object",
            id="177-result",
        ),
        pytest.param(
            v1(RESULT=[]),
            "no result in cache record net-c1-eth0: result is of type array, not object",
            id="177-result-patiently",
        ),
        pytest.param(
            v1(cniArgs=[["A", 1]]),
            "no result in cache record net-c1-eth0: Expected `str`, got `int` - at "
            "`$.cniArgs[0][1]`",
            id="177-args",
        ),
        pytest.param(
            v1(result={"cniVersion": "9.9.9"}),
            'unsupported CNI result version "9.9.9"',
            id="result-version",
        ),
        pytest.param(
            v1(result={"cniVersion": 5}),
            "decoding version from network config: cniVersion is of type number, not string",
            id="result-version-type",
        ),
        pytest.param(v1(result={"cniVersion": "1.0.0", "ips": 5}), None, id="result-of-no-result"),
        pytest.param(b"[" * 100_000, None, id="deep"),
    ],
)
async def test_damaged_results(record: bytes, words: str | None) -> None:
    found = await Kept(record).no_result()
    assert words is None or found == words


@pytest.mark.anyio
async def test_item_174_a_result_that_cannot_be_converted() -> None:
    kept = Kept(v1(result=ADDRESS), "2.0.0")
    with pytest.raises(CacheError) as caught:
        await kept.result()
    assert str(caught.value) == (
        'failed to convert cached result to config version "2.0.0": '
        "no converter for CNI result version 1.0.0 to 2.0.0"
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"asdf", "failed to unmarshal cached network \"net\" config: invalid character 'a' "
         "looking for beginning of value"),
        (b"", 'failed to unmarshal cached network "net" config: unexpected end of JSON input'),
        (b"null", 'read cached network "net" config has wrong kind: '),
        (b"[]", 'failed to unmarshal cached network "net" config: the record is of type array, '
         "not object"),
        (v1(kind="cniCacheV2"), 'read cached network "net" config has wrong kind: cniCacheV2'),
        (json.dumps(ADDRESS_040).encode(), 'read cached network "net" config has wrong kind: '),
        (v1(kind=5), 'failed to unmarshal cached network "net" config: Expected `str`, got `int` '
         "- at `$.kind`"),
        (v1(capabilityArgs=[]), 'failed to unmarshal cached network "net" config: Expected '
         "`object`, got `array` - at `$.capabilityArgs`"),
        (v1(cniArgs={}), 'failed to unmarshal cached network "net" config: Expected `array`, got '
         "`object` - at `$.cniArgs`"),
        (v1(cniArgs=["A"]), 'failed to unmarshal cached network "net" config: Expected `array`, '
         "got `str` - at `$.cniArgs[0]`"),
        (v1(result=[]), 'failed to unmarshal cached network "net" config: result is of type '
         "array, not object"),
        (v1(result="{}"), 'failed to unmarshal cached network "net" config: result is of type '
         "string, not object"),
    ],
    ids=[
        "garbage", "empty", "null", "array", "kind", "legacy", "kind-type", "caps", "args", "pairs",
        "result", "result-text",
    ],
)  # fmt: skip
async def test_item_181_damaged_configurations(record: bytes, words: str) -> None:
    assert await Kept(record).no_config() == words


@pytest.mark.anyio
async def test_item_182_what_is_restored_and_what_stays_the_callers() -> None:
    caller = RuntimeConf(
        "c1", "/mine", "eth0", args=[("K", "V")], capability_args={"x": 1}, cache_dir="/elsewhere"
    )
    config, rt = await Kept(v1()).config(caller)
    assert config == b"{}"
    # The record's args replace the caller's only if it has any; its capability args always do.
    assert rt == RuntimeConf(
        "c1", "/mine", "eth0", args=[("K", "V")], capability_args={}, cache_dir="/elsewhere"
    )
    record = v1(cniArgs=[["A", "1"]], capabilityArgs={"y": 2.5}, netns="/theirs")
    _, rt = await Kept(record).config(caller)
    assert rt == RuntimeConf(
        "c1",
        "/mine",
        "eth0",
        args=(("A", "1"),),
        capability_args={"y": 2.5},
        cache_dir="/elsewhere",
    )


@pytest.mark.anyio
async def test_item_182_no_args_are_some_args_too() -> None:
    # libcni never writes this, but another program may.
    caller = RuntimeConf("c1", "", "eth0", args=[("K", "V")])
    _, rt = await Kept(v1(cniArgs=[])).config(caller)
    assert rt.args == ()
    _, rt = await Kept(v1(cniArgs=None)).config(caller)
    assert rt.args == (("K", "V"),)


@pytest.mark.anyio
async def test_item_183_netns_is_restored_where_the_caller_has_none() -> None:
    _, rt = await Kept(v1(netns="/theirs")).config()
    assert rt.netns == "/theirs"


@pytest.mark.anyio
async def test_item_184_pairs_of_the_wrong_length_are_padded_or_cut() -> None:
    record = v1(CNIARGS=[["A"], ["B", "1", "2"], [], None, [None, "x"]])
    _, rt = await Kept(record).config()
    assert rt.args == (("A", ""), ("B", "1"), ("", ""), ("", ""), ("", "x"))


@pytest.mark.anyio
async def test_item_185_values_are_json() -> None:
    values = {"n": 12345678901234567890, "f": 1.5, "l": [None, True, {"s": "\u00e9"}]}
    _, rt = await Kept(v1(capabilityArgs=values)).config()
    assert rt.capability_args == values


@pytest.mark.anyio
@pytest.mark.parametrize("more", ["", ', "future": 1'], ids=["fast", "patiently"])
async def test_of_repeated_keys_the_last_one_counts(more: str) -> None:
    first = v1(result={**ADDRESS, "dns": {"domain": "a"}}, capabilityArgs={"a": 1})[:-1].decode()
    kept = Kept(f'{first}{more}, "result": {{}}, "capabilityArgs": {{"b": 2}}}}'.encode())
    assert await kept.result() == {"cniVersion": "1.0.0"}
    _, rt = await kept.config()
    assert rt.capability_args == {"b": 2}


@pytest.mark.anyio
async def test_item_165_a_record_of_another_attachment() -> None:
    """The names of the other attachment make the same file name."""
    fake = runtime()
    theirs = {"networkName": "net-c1", "containerId": "c2", "ifName": "x"}
    mine = RuntimeConf("c1-c2", ifname="x")
    fake.cache.records[AttachmentKey("net", "c1-c2", "x")] = v1(result=ADDRESS, **theirs)
    words = "cache record net-c1-c2-x is of another attachment: network"
    with pytest.raises(ForeignRecordError, match=rf"^{words}"):
        await fake.cni.get_network_list_cached_result(network("a"), mine)
    with pytest.raises(ForeignRecordError, match=rf"^{words}"):
        await fake.cni.get_network_cached_config(single("a"), mine)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "theirs", [{"networkName": "n"}, {"containerId": "c"}, {"ifName": "e"}, {"IFNAME": "e"}]
)
async def test_a_record_that_nobody_has_written_under_this_name(theirs: dict[str, Any]) -> None:
    """The record counts as damaged: no DEL of another attachment could ever free this name."""
    kept = Kept(v1(result=ADDRESS, **theirs))
    words = "cache record net-c1-eth0 says of itself: network"
    with pytest.raises(CorruptRecordError, match=rf"^{words}"):
        await kept.cni.get_network_list_cached_result(kept.net, BARE)
    with pytest.raises(CorruptRecordError, match=words):
        await kept.cni.get_network_cached_config(kept.one, BARE)


@pytest.mark.anyio
async def test_item_165_a_record_that_does_not_say_whose_it_is_is_ours() -> None:
    kept = Kept(b'{"kind":"cniCacheV1","result":{"cniVersion":"1.0.0"}}')
    assert await kept.result() == {"cniVersion": "1.0.0"}
    config, _ = await kept.config()
    assert config == b""


@given(st.integers(0, 2**32))
def test_a_record_with_a_flipped_or_lost_part_is_read_or_refused(seed: int) -> None:
    dice = random.Random(seed)
    record = bytearray(FULL_RECORD)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(record))
        record[start : start + dice.choice([0, 1, 1, 40])] = dice.choice(
            [b"", b"\xff", b"0", b'"', b"{", b"null", b"1e400", b"\\ud800"]
        )
    with suppress(CacheError):
        assert read_result(bytes(record), KEY, "0.4.0").version == "0.4.0"
    with suppress(CacheError):
        decode_record(bytes(record)).attachment()


# -- attachments


@pytest.mark.anyio
async def test_item_186_the_fields_of_an_attachment() -> None:
    fake = runtime()
    fake.cache.records[KEY] = FULL_RECORD
    assert await fake.cni.get_cached_attachments() == [
        NetworkAttachment(
            container_id="c1",
            network="net",
            ifname="eth0",
            config=LIST,
            netns="/run/netns/blue",
            cni_args=(("B", "2"), ("A", "1"), ("E", "")),
            capability_args=dict(FULL.capability_args),
        )
    ]


@pytest.mark.anyio
async def test_item_187_no_cache_and_one_that_fails() -> None:
    fake = runtime()
    assert await fake.cni.get_cached_attachments() == []
    fake.cache.fail_on.add("attachments")
    with pytest.raises(CacheError, match=r"^attachments: input/output error$"):
        await fake.cni.get_cached_attachments("c1")


async def listed(records: dict[tuple[str, str, str], bytes], container_id: str = "") -> list[str]:
    cache = MemoryCache()
    cache.records = {AttachmentKey(*key): record for key, record in records.items()}
    cni = CNIConfig([], exec=FakeExec(), cache=cache)
    found = await cni.get_cached_attachments(container_id)
    return [f"{one.network} {one.container_id} {one.ifname}" for one in found]


def named(*key: str) -> tuple[tuple[str, str, str], bytes]:
    network, container_id, ifname = key
    record = v1(networkName=network, containerId=container_id, ifName=ifname)
    return (network, container_id, ifname), record


@pytest.mark.anyio
async def test_items_188_and_189_order_and_filter() -> None:
    records = dict(
        [named("z", "a", "e"), named("b", "a", "e"), named("b", "a", "d"), named("b", "b", "e")]
    )
    assert await listed(records) == ["b a d", "b a e", "b b e", "z a e"]
    assert await listed(records, "a") == ["b a d", "b a e", "z a e"]
    assert await listed(records, "x") == []
    assert await listed(records, "../..") == []


@pytest.mark.anyio
async def test_item_189_both_the_name_and_the_content_count() -> None:
    _, record = named("net", "c", "e")
    assert await listed({("net", "c", "e"): record}, "c") == ["net c e"]
    for place in [("", "c", "e"), ("net", "c", ""), ("net", "d", "e")]:
        assert await listed({place: record}, "c") == []
    assert await listed({("a-c", "b", "e"): v1(containerId="b")}, "c") == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("record", "level"),
    [
        (b"", logging.WARNING),
        (b"garbage", logging.WARNING),
        (v1(config="?"), logging.WARNING),
        (v1(kind="cniCacheV2"), logging.INFO),
        (json.dumps(ADDRESS).encode(), logging.INFO),
        (v1(ifName=""), logging.INFO),
        (v1(networkName=""), logging.INFO),
    ],
    ids=["empty", "garbage", "field", "kind", "legacy", "no-ifname", "no-network"],
)
async def test_item_190_what_is_no_record_is_left_out_and_logged(
    record: bytes, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    good_key, good = named("net", "c2", "eth0")
    with caplog.at_level(logging.INFO):
        assert await listed({("net", "c1", "eth0"): record, good_key: good}) == ["net c2 eth0"]
    [entry] = caplog.records
    assert entry.levelno == level
    assert entry.getMessage().startswith("cache record net-c1-eth0 is left out: ")


@pytest.mark.anyio
async def test_item_191_a_record_without_a_container_is_listed_without_a_filter() -> None:
    assert await listed({("net", "c1", "eth0"): v1(containerId="")}) == ["net  eth0"]
    assert await listed({("net", "c1", "eth0"): v1(containerId="")}, "c1") == []


@pytest.mark.anyio
async def test_item_192_two_files_can_hold_the_same_attachment() -> None:
    records = {("net", "c1", "eth0"): v1(), ("net", "c1", "eth1"): v1()}
    assert await listed(records) == ["net c1 eth0"] * 2


@pytest.mark.anyio
async def test_item_193_another_cache_can_be_listed(tmp_path: Path) -> None:
    cni = CNIConfig(["/bin"], exec=FakeExec(), cache_dir=None)
    rt = RuntimeConf("c1", "", "eth0", cache_dir=str(tmp_path))
    await cni.add_network_list(network("a"), rt)
    for place in (tmp_path, str(tmp_path)):
        found = await cni.get_cached_attachments("c1", cache_dir=place)
        assert [one.container_id for one in found] == ["c1"]
    assert await cni.get_cached_attachments(cache_dir=tmp_path / "none") == []

"""The types of a plugin's configuration.

See item 14 of docs/maintainers/conformance.md.
"""

import pytest

import cni_async.types
from cni_async.errors import ConfigError
from cni_async.types import DNS, IPAM, GCAttachment, NetConf, v100


def test_empty() -> None:  # 14
    assert NetConf().to_json() == '{"ipam":{},"dns":{}}'
    assert NetConf().to_json(2) == '{\n  "ipam": {},\n  "dns": {}\n}'


def test_full() -> None:  # 14; as Go's build wrote it, except for the name and the type
    conf = NetConf(
        cni_version="0.4.0",
        name="net",
        type="bridge",
        capabilities={"b": True, "a": False},
        ipam=IPAM("host-local"),
        dns=DNS(search=["a"]),
        raw_prev_result={"z": 1, "a": {"y": 2, "b": 3}},
        prev_result=v100.Result(cni_version="1.0.0"),
        valid_attachments=(GCAttachment("c", "eth0"),),
    )
    assert conf.to_json() == (
        '{"cniVersion":"0.4.0","name":"net","type":"bridge","capabilities":{"a":false,"b":true},'
        '"ipam":{"type":"host-local"},"dns":{"search":["a"]},'
        '"prevResult":{"a":{"b":3,"y":2},"z":1},'
        '"cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}'
    )


def test_empty_values_are_left_out() -> None:
    conf = NetConf(raw_prev_result={}, valid_attachments=(), capabilities={})
    assert conf.to_json() == '{"ipam":{},"dns":{}}'


def test_not_json() -> None:
    with pytest.raises(ConfigError, match=r"^cannot write network configuration: "):
        NetConf(raw_prev_result={"a": object()}).to_json()
    with pytest.raises(ConfigError, match=r"^cannot write network configuration: "):
        NetConf(name="\ud800").to_json()


def test_attachments_are_hashable() -> None:
    assert {GCAttachment("a", "b"), GCAttachment("a", "b")} == {GCAttachment("a", "b")}


def test_configurations_share_nothing() -> None:
    NetConf().capabilities["a"] = True
    NetConf().dns.search.append("x")
    assert NetConf() == NetConf(capabilities={}, dns=DNS())


@pytest.mark.parametrize(
    ("dns", "empty"),
    [
        (DNS(), True),
        (DNS(["a"]), False),
        (DNS(domain="a"), False),
        (DNS(search=["a"]), False),
        (DNS(options=["a"]), False),
    ],
)
def test_empty_dns(dns: DNS, empty: bool) -> None:
    assert dns.is_empty() is empty


def test_exports() -> None:
    names = cni_async.types.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(cni_async.types, name) for name in names)

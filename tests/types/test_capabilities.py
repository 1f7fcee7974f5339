"""The well-known capability arguments (CNI CONVENTIONS)."""

from ipaddress import ip_address, ip_interface
from typing import Any

import msgspec
import pytest

from cni_async import capabilities
from cni_async.capabilities import Bandwidth, DNSConfig, IPRange, PortMapping, capability_args

# The examples of the conventions document.
EXAMPLES: list[tuple[dict[str, Any], str]] = [
    (
        {
            "port_mappings": [
                PortMapping(host_port=8080, container_port=80, protocol="tcp"),
                PortMapping(8000, 8001, "udp"),
            ]
        },
        '{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},'
        '{"hostPort":8000,"containerPort":8001,"protocol":"udp"}]}',
    ),
    (
        {"port_mappings": (PortMapping(0, 80, "tcp", "127.0.0.1"),)},
        '{"portMappings":[{"hostPort":0,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}]}',
    ),
    (
        {"ip_ranges": [[IPRange("10.1.2.0/24", "10.1.2.3", "10.1.2.99", "10.1.2.254")]]},
        '{"ipRanges":[[{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.3","rangeEnd":"10.1.2.99",'
        '"gateway":"10.1.2.254"}]]}',
    ),
    ({"ip_ranges": [[IPRange("10.1.2.0/24")]]}, '{"ipRanges":[[{"subnet":"10.1.2.0/24"}]]}'),
    (
        {
            "bandwidth": Bandwidth(
                ingress_rate=2048, ingress_burst=1600, egress_rate=4096, egress_burst=1600
            )
        },
        '{"bandwidth":{"ingressRate":2048,"ingressBurst":1600,"egressRate":4096,'
        '"egressBurst":1600}}',
    ),
    (
        {"bandwidth": Bandwidth(ingress_rate=1, ingress_burst=2)},
        '{"bandwidth":{"ingressRate":1,"ingressBurst":2,"egressRate":0,"egressBurst":0}}',
    ),
    (
        {"dns": DNSConfig(servers=["8.8.8.8"], searches=["a", "b"])},
        '{"dns":{"servers":["8.8.8.8"],"searches":["a","b"]}}',
    ),
    ({"dns": DNSConfig(options=("ndots:1",))}, '{"dns":{"options":["ndots:1"]}}'),
    (
        {"ips": ["192.168.0.1", ip_interface("10.10.0.1/24"), ip_address("3ffe:ffff:0:01ff::2")]},
        '{"ips":["192.168.0.1","10.10.0.1/24","3ffe:ffff:0:1ff::2"]}',
    ),
    ({"mac": "c2:11:22:33:44:55"}, '{"mac":"c2:11:22:33:44:55"}'),
    (
        {"infiniband_guid": "c2:11:22:33:44:55:66:77"},
        '{"infinibandGUID":"c2:11:22:33:44:55:66:77"}',
    ),
    ({"device_id": "0000:04:00.5"}, '{"deviceID":"0000:04:00.5"}'),
    ({"aliases": ["my-container", "primary-db"]}, '{"aliases":["my-container","primary-db"]}'),
    ({"cgroup_path": "/kubelet.slice"}, '{"cgroupPath":"/kubelet.slice"}'),
    ({}, "{}"),
    ({"ips": [], "mac": ""}, '{"ips":[],"mac":""}'),
]


@pytest.mark.parametrize(("arguments", "text"), EXAMPLES)
def test_json(arguments: dict[str, Any], text: str) -> None:
    assert msgspec.json.encode(capability_args(**arguments)).decode() == text


@pytest.mark.parametrize(
    ("struct", "value"),
    [
        (PortMapping, PortMapping(1, 2, "sctp", "::1")),
        (Bandwidth, Bandwidth(1, 2, 3, 4)),
        (IPRange, IPRange("a", "b", "c", "d")),
        (DNSConfig, DNSConfig(["a"], ["b"], ["c"])),
    ],
)
def test_round_trip(struct: type[msgspec.Struct], value: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=struct) == value


def test_exports() -> None:
    assert sorted(capabilities.__all__) == capabilities.__all__
    assert all(hasattr(capabilities, name) for name in capabilities.__all__)

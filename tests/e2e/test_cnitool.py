"""Go's cnitool and cni-async on one node: what one adds, the other checks, deletes and collects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cni_async.cli.container import container_id
from tests.support.netns import Namespace, links, namespace
from tests.support.wait import eventually_blocking

pytestmark = pytest.mark.e2e

BRIDGE = "cnitool0"
CNITOOL, CNI_ASYNC = "cnitool", "cni-async"
# cnitool knows one cache only. That of the machine is neither read nor written, nor even made.
OTHER_STATE = """
if [ -d /var/lib/cni ]; then mount --bind "$1/cni" /var/lib/cni; else mount --bind "$1" /var/lib; fi
shift
exec "$@"
"""

PORT = {"hostPort": 8087, "containerPort": 80, "protocol": "tcp"}
ENVIRONMENT = {
    "CNI_ARGS": "IgnoreUnknown=1;IP=10.87.0.77",
    "CAP_ARGS": json.dumps({"portMappings": [PORT]}),
}

both_ways = pytest.mark.parametrize(
    ("one", "other"),
    [(CNITOOL, CNI_ASYNC), (CNI_ASYNC, CNITOOL)],
    ids=["cnitool-adds", "cni-async-adds"],
)


class Node:
    """A machine with one network, on which both tools use the same cache."""

    def __init__(self, folder: Path, plugins: Path) -> None:
        self.networks = folder / "net.d"
        self.networks.mkdir()
        self.addresses = folder / "addresses"
        self._state = folder / "state"
        (self._state / "cni").mkdir(parents=True)
        self._plugins = plugins
        self._tools = {
            CNITOOL: [str(plugins / "cnitool")],
            CNI_ASYNC: [sys.executable, "-m", "cni_async.cli"],
        }

    def write_network(self, version: str) -> None:
        """Write the network's configuration."""
        ipam = {
            "type": "host-local",
            "dataDir": str(self.addresses),
            "ranges": [[{"subnet": "10.87.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        document = {"cniVersion": version, "name": "net", "plugins": [bridge, portmap]}
        (self.networks / "net.conflist").write_text(json.dumps(document))

    def run(
        self,
        tool: str,
        verb: str,
        *args: object,
        environ: Mapping[str, str] | None = None,
        code: int = 0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool, which has to end with that code."""
        command = [*self._tools[tool], verb, "net", *map(str, args)]
        steering = {"CAP_ARGS", "CNI_ARGS", "CNI_IFNAME"}
        inherited = {key: value for key, value in os.environ.items() if key not in steering}
        paths = {"CNI_PATH": str(self._plugins), "NETCONFPATH": str(self.networks)}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-ec", OTHER_STATE, "sh", str(self._state), *command],
            env={**inherited, **paths, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, f"{tool} {verb}: {done.stdout}\n{done.stderr}"
        return done

    def add(
        self, tool: str, netns: Namespace, environ: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Add an attachment; return its result, and see that it is what the namespace has."""
        printed = self.run(tool, "add", netns, environ=environ).stdout
        result: dict[str, Any] = json.loads(printed)
        assert printed == json.dumps(result, indent=4)
        ifname = (environ or {}).get("CNI_IFNAME", "eth0")
        assert result["ips"][0]["address"] in map(str, netns.interfaces()[ifname].addresses)
        assert f"net-{name_of(netns)}-{ifname}" in self.records()
        return result

    def records(self) -> list[str]:
        """Return the names of the records in the cache."""
        return sorted(file.name for file in (self._state / "cni" / "results").glob("*-*"))

    def record(self) -> dict[str, Any]:
        """Return the only record in the cache."""
        [file] = (self._state / "cni" / "results").glob("*-*")
        record: dict[str, Any] = json.loads(file.read_text())
        return record

    def reserved(self) -> list[str]:
        """Return the addresses that are taken."""
        return [file.name for file in (self.addresses / "net").glob("*.*.*.*")]

    def assert_nothing_left(self) -> None:
        """See that all attachments are gone, and their ends on the host with them."""
        assert (self.records(), self.reserved()) == ([], [])
        # The kernel takes its time to drop a namespace's links.
        eventually_blocking(
            lambda: [link for link in links() if link.startswith("veth")], lambda veths: not veths
        )
        rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
        assert "cnitool-" not in rules.stdout


@pytest.fixture
def node(plugin_dir: Path, tmp_path: Path) -> Iterator[Node]:
    before = links()
    node = Node(tmp_path, plugin_dir)
    node.write_network("1.1.0")
    yield node
    try:
        node.assert_nothing_left()
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
    assert links() == before


def name_of(netns: Namespace) -> str:
    return container_id(str(netns))


@both_ways
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_one_adds_and_the_other_checks_and_deletes(
    node: Node, one: str, other: str, version: str
) -> None:
    node.write_network(version)
    with namespace() as netns:
        assert node.add(one, netns)["cniVersion"] == version
        assert node.run(other, "check", netns).stdout == ""
        assert node.run(other, "del", netns).stdout == ""
        assert netns.links() == {"lo"}
        node.assert_nothing_left()
        # Each finds that there is nothing to do, too.
        for tool in (one, other):
            node.run(tool, "del", netns)


@both_ways
def test_the_other_finds_out_that_the_interface_is_gone(node: Node, one: str, other: str) -> None:
    with namespace() as netns:
        node.add(one, netns)
        netns.run("ip", "link", "delete", "eth0")
        errors = {tool: node.run(tool, "check", netns, code=1).stderr for tool in (one, other)}
        assert "eth0 not found" in errors[CNI_ASYNC]
        assert errors[CNITOOL] == errors[CNI_ASYNC]
        node.run(other, "del", netns)


@both_ways
def test_the_other_deletes_after_the_namespace_is_gone(node: Node, one: str, other: str) -> None:
    with namespace() as netns:
        node.add(one, netns)
    node.run(other, "del", netns)


@both_ways
def test_the_other_takes_the_same_environment(node: Node, one: str, other: str) -> None:
    environ = {**ENVIRONMENT, "CNI_IFNAME": "net1"}
    with namespace() as netns:
        result = node.add(one, netns, environ)
        assert result["ips"][0]["address"] == "10.87.0.77/24"
        node.run(other, "check", netns, environ=environ)
        node.run(other, "del", netns, environ=environ)
        assert netns.links() == {"lo"}


def test_records_are_alike(node: Node) -> None:
    records: list[dict[str, Any]] = []
    with namespace() as netns:
        for tool in (CNITOOL, CNI_ASYNC):
            result = node.add(tool, netns, ENVIRONMENT)
            record = node.record()
            assert record.pop("result") == result
            records.append(record)
            node.run(tool, "del", netns, environ=ENVIRONMENT)
    assert list(records[0].items()) == list(records[1].items())


def test_cni_async_collects_what_cnitool_added(node: Node) -> None:
    with namespace() as stale, namespace() as valid:
        node.add(CNITOOL, stale)
        kept = node.add(CNITOOL, valid)["ips"][0]["address"]
        node.run(CNI_ASYNC, "gc", "--keep", f"{name_of(valid)}/eth0")
        assert stale.links() == {"lo"}
        assert node.records() == [f"net-{name_of(valid)}-eth0"]
        assert node.reserved() == [kept.removesuffix("/24")]
        node.run(CNITOOL, "check", valid)
        node.run(CNI_ASYNC, "gc", "--all")
        assert valid.links() == {"lo"}


def test_cnitool_collects_what_cni_async_added(node: Node) -> None:
    with namespace() as first, namespace() as second:
        node.add(CNI_ASYNC, first)
        node.add(CNI_ASYNC, second)
        node.run(CNITOOL, "gc", first)
        assert (first.links(), second.links()) == ({"lo"}, {"lo"})


def test_status_needs_no_namespace_but_takes_one(node: Node) -> None:
    with namespace() as netns:
        node.add(CNI_ASYNC, netns)
        for args in ([], [netns]):
            assert node.run(CNI_ASYNC, "status", *args).stdout == ""
        node.run(CNITOOL, "status", netns)
        node.run(CNITOOL, "del", netns)

"""A node with containerd, for a script that runs inside namespaces of its own."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from platform import machine
from typing import Any, Final

import anyio

from cni_async import (
    CNIConfig,
    GCArgs,
    GCAttachment,
    NetworkAttachment,
    RuntimeConf,
    load_conf_list,
)

CANNOT: Final = 77
"""The exit code that says that containers cannot run here."""
IMAGE: Final = "cni-async.test/pause:1"
HOST_PORT: Final = 8088
CONTAINERD: Final = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
stream_server_port = "0"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/net.d"
"""


class CannotError(Exception):
    """Containers cannot run here; says why."""


class Node:
    """A node on which containerd runs, with a network of its own and one of ours."""

    def __init__(self, cgroup: str, folder: Path, plugins: Path, programs: Path) -> None:
        self._cgroup = cgroup
        self._folder = folder
        self._plugins = plugins
        self._client = [str(programs / "cri"), f"{folder}/socket"]
        self._pause = programs / "pause"
        # Where containerd's libcni has its records, and nothing can make it have them elsewhere.
        self.cni = CNIConfig([plugins], timeout=30)
        self._pods = 0

    def write_files(self) -> None:
        """Write the configuration files of containerd and the library."""
        bridge = {"type": "bridge", "bridge": "containerd0", "isGateway": True}
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        self._write_network("net", "net.d", bridge | self._ipam("10.88.9.0/24"), portmap)
        # Not where containerd looks for its own.
        self._write_network("side", "side.d", {"type": "ptp"} | self._ipam("10.88.10.0/24"))
        values = {"folder": self._folder, "plugins": self._plugins, "image": IMAGE}
        (self._folder / "config.toml").write_text(CONTAINERD.format_map(values))
        (self._folder / "image.tar").write_bytes(oci_image(self._pause.read_bytes()))

    def _ipam(self, subnet: str) -> dict[str, Any]:
        ranges = [[{"subnet": subnet}]]
        data = str(self._folder / "addresses")
        return {"ipam": {"type": "host-local", "dataDir": data, "ranges": ranges}}

    def _write_network(self, name: str, directory: str, *plugins: dict[str, Any]) -> None:
        (self._folder / directory).mkdir()
        document = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
        (self._folder / directory / f"{name}.conflist").write_text(json.dumps(document))

    async def networks(self) -> tuple[Any, Any]:
        """Load containerd's network and ours."""
        return (
            await load_conf_list(self._folder / "net.d", "net"),
            await load_conf_list(self._folder / "side.d", "side"),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run containerd during a block.

        Raises:
            CannotError: it cannot run containers.
        """
        with (
            open(self._folder / "log", "wb") as log,
            subprocess.Popen(
                ["containerd", "--config", f"{self._folder}/config.toml"], stdout=log, stderr=log
            ) as process,
        ):
            try:
                self._wait_until_ready(process)
                yield
            finally:
                process.terminate()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        def ready() -> bool:
            if process.poll() is not None:
                raise CannotError(f"containerd exited with status {process.returncode}")
            try:
                status = self.ask("status")["status"]["conditions"]
            except subprocess.CalledProcessError:
                return False
            return all(each.get("status") for each in status)

        wait_until(ready, "containerd is not ready")
        archive = f"{self._folder}/image.tar"
        command = ["ctr", "--address", f"{self._folder}/socket", "--namespace", "k8s.io"]
        done = subprocess.run(
            [*command, "images", "import", archive], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotError(f"ctr cannot import an image: {done.stderr.strip()}")
        wait_until(lambda: "image" in self.ask("image", IMAGE), "the image does not appear")
        try:
            # A sandbox on the host's network, so no plugin has a part in this.
            pod = self.run_pod(network=2)
        except subprocess.CalledProcessError as error:
            raise CannotError(error.stderr.strip()) from error
        pod.end()

    def ask(self, *words: str) -> dict[str, Any]:
        """Ask containerd, as kubelet does."""
        done = subprocess.run(
            [*self._client, *words], capture_output=True, text=True, check=True, timeout=60
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def run_pod(self, *, host_port: int = 0, network: int = 0) -> Pod:
        """Run the sandbox of a pod."""
        self._pods += 1
        name = f"pod{self._pods}"
        mappings = [{"host_port": host_port, "container_port": 80}] if host_port else []
        config = {
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "port_mappings": mappings,
            "linux": {
                "cgroup_parent": f"/{self._cgroup}",
                "security_context": {"namespace_options": {"network": network}},
            },
        }
        return Pod(self, self.ask("run", json.dumps(config))["pod_sandbox_id"])

    def records(self) -> set[str]:
        """Return the networks and containers in the cache."""
        files = Path("/var/lib/cni/results").glob("*-*")
        records = [json.loads(file.read_bytes()) for file in files]
        return {f"{each['networkName']} {each['containerId']}" for each in records}

    def addresses(self, network: str = "net") -> set[str]:
        """Return the addresses that a network has given away."""
        return {file.name for file in (self._folder / "addresses" / network).glob("10.*")}

    def forwards(self) -> bool:
        """Return whether a rule forwards the host's port."""
        rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
        return f"--dport {HOST_PORT} " in rules.stdout


@dataclass(frozen=True)
class Pod:
    """A pod's sandbox."""

    node: Node
    id: str

    @property
    def netns(self) -> str:
        """The path of its network namespace."""
        info = self.node.ask("inspect", self.id)["info"]["info"]
        namespaces = json.loads(info)["runtimeSpec"]["linux"]["namespaces"]
        [path] = [each["path"] for each in namespaces if each["type"] == "network"]
        return str(path)

    @property
    def state(self) -> int:
        """0 if it runs, as containerd says."""
        return int(self.node.ask("inspect", self.id)["status"].get("state", 0))

    def interfaces(self) -> dict[str, str]:
        """Return the IPv4 addresses inside, by interface."""
        command = ["nsenter", f"--net={self.netns}", "ip", "-json", "-4", "address"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        # Some versions of ip leave an empty object for each other interface.
        found = [each for each in json.loads(done.stdout) if each]
        return {each["ifname"]: each["addr_info"][0]["local"] for each in found}

    async def attachment(self, network: str = "net") -> NetworkAttachment:
        """Return its attachment to a network, from the cache."""
        known = await self.node.cni.get_cached_attachments(self.id)
        [ours] = [each for each in known if each.network == network]
        return ours

    async def runtime_conf(self) -> RuntimeConf:
        """Return the runtime configuration with which containerd attached it."""
        ours = await self.attachment()
        return RuntimeConf(
            ours.container_id,
            self.netns,
            ours.ifname,
            args=ours.cni_args,
            capability_args=ours.capability_args,
        )

    def end(self) -> None:
        """Have containerd stop and remove it."""
        self.node.ask("stop", self.id)
        self.node.ask("remove", self.id)


async def beside(node: Node) -> None:
    """List and check what containerd attached, and attach its container to one more network."""
    net, side = await node.networks()
    pod = node.run_pod(host_port=HOST_PORT)
    address = pod.interfaces()["eth0"]
    ours = await pod.attachment()
    assert ours.completed
    assert (ours.network, ours.ifname) == ("net", "eth0")
    assert dict(ours.cni_args)["K8S_POD_NAME"] == "pod2"
    await node.cni.check_network_list(net, await pod.runtime_conf())
    assert await node.cni.recover(delete=True) == []

    second = RuntimeConf(pod.id, pod.netns, "net1")
    result = await node.cni.add_network_list(side, second)
    there = pod.interfaces()
    assert there.keys() == {"lo", "eth0", "net1"}
    assert f"{there['net1']}/24" in result.to_json()
    await node.cni.check_network_list(side, second)
    await node.cni.check_network_list(net, await pod.runtime_conf())
    await node.cni.del_network_list(side, second)
    assert pod.interfaces() == {"lo": "127.0.0.1", "eth0": address}
    assert node.addresses("side") == set()

    # containerd takes the namespace away, and what was attached in it is ours to delete.
    await node.cni.add_network_list(side, second)
    assert pod.state == 0
    pod.end()
    assert node.records() == {f"side {pod.id}"}
    assert node.addresses() == set()
    await node.cni.del_attachment(await pod.attachment("side"))
    assert node.addresses("side") == set()


async def deleting(node: Node) -> None:
    """Delete what containerd attached; it goes on."""
    net, _ = await node.networks()
    one, two = node.run_pod(host_port=HOST_PORT), node.run_pod()
    addresses = {pod.interfaces()["eth0"] for pod in (one, two)}
    assert node.addresses() == addresses
    assert node.forwards()
    await node.cni.del_network_list(net, await one.runtime_conf())
    await node.cni.del_attachment(await two.attachment())
    for pod in (one, two):
        assert pod.interfaces().keys() == {"lo"}
        assert pod.state == 0
    assert node.addresses() == set()
    assert not node.forwards()
    three = node.run_pod(host_port=HOST_PORT)
    assert three.interfaces().keys() == {"lo", "eth0"}
    for pod in (one, two, three):
        pod.end()


async def collecting(node: Node) -> None:
    """Collect what containerd attached, but for one; it goes on."""
    net, _ = await node.networks()
    stale, valid = node.run_pod(host_port=HOST_PORT), node.run_pod()
    address = valid.interfaces()["eth0"]
    await node.cni.gc_network_list(net, GCArgs([GCAttachment(valid.id, "eth0")]))
    assert node.addresses() == {address}
    assert not node.forwards()
    assert stale.interfaces().keys() == {"lo"}
    await node.cni.check_network_list(net, await valid.runtime_conf())
    assert {f"net {stale.id}", f"net {valid.id}"} & node.records() == {f"net {valid.id}"}
    for pod in (stale, valid):
        assert pod.state == 0
        pod.end()
    more = node.run_pod(host_port=HOST_PORT)
    assert more.interfaces().keys() == {"lo", "eth0"}
    more.end()


SCENARIOS: Final[dict[str, Callable[[Node], Awaitable[None]]]] = {
    "beside": beside,
    "deleting": deleting,
    "collecting": collecting,
}


def main() -> None:
    """Play a scenario; nothing may be left of it."""
    scenario, backend, cgroup, *places = sys.argv[1:]
    node = Node(cgroup, *map(Path, places))
    node.write_files()
    try:
        with node.running():
            anyio.run(partial(SCENARIOS[scenario], node), backend=backend)
            assert node.ask("list") == {}
            assert node.records() == set()
            assert node.addresses() == set()
    except CannotError as error:
        print(error)
        sys.exit(CANNOT)


def wait_until(happened: Callable[[], bool], words: str, *, timeout: float = 30) -> None:
    """Wait for something that containerd does.

    Raises:
        CannotError: it does not happen.
    """
    deadline = time.monotonic() + timeout
    while not happened():
        if time.monotonic() > deadline:
            raise CannotError(f"{words} after {timeout:g} s")
        time.sleep(0.05)


def oci_image(program: bytes) -> bytes:
    """Return an image that has one program and runs it, as a tar archive."""
    layer = _tar({"pause": program})
    blobs = {"layer.v1.tar": layer}
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine(), machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs["config.v1+json"] = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("config.v1+json", blobs),
        "layers": [_descriptor("layer.v1.tar", blobs)],
    }
    blobs["manifest.v1+json"] = json.dumps(manifest).encode()
    named = {"annotations": {"io.containerd.image.name": IMAGE}}
    index = {"schemaVersion": 2, "manifests": [_descriptor("manifest.v1+json", blobs) | named]}
    return _tar(
        {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **{f"blobs/{_digest(blob).replace(':', '/')}": blob for blob in blobs.values()},
        }
    )


def _descriptor(kind: str, blobs: dict[str, bytes]) -> dict[str, Any]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": _digest(blobs[kind]),
        "size": len(blobs[kind]),
    }


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


if __name__ == "__main__":
    main()

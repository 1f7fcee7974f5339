"""The input of both programs: configurations, a result, and records in a cache."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

RESULT: Final = (Path(__file__).parent / "go" / "plugin" / "result.json").read_text().strip()

# All of these are the same executable, which does nothing.
PLUGINS: Final = ("bridge", "portmap", "tuning", "bandwidth", "firewall", "sbr")

_BRIDGE: Final[dict[str, Any]] = {
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": True,
    "ipMasq": True,
    "hairpinMode": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    },
    "dns": {"nameservers": ["10.88.0.1"]},
}
_PORTMAP: Final[dict[str, Any]] = {
    "type": "portmap",
    "capabilities": {"portMappings": True},
    "snat": True,
}
_TUNING: Final[dict[str, Any]] = {
    "type": "tuning",
    "sysctl": {"net.core.somaxconn": "500"},
    "mtu": 1450,
}
_OTHERS: Final = [{"type": "bandwidth"}, {"type": "firewall"}, {"type": "sbr"}]


def _network(name: str, *plugins: dict[str, Any]) -> str:
    return json.dumps({"cniVersion": "1.1.0", "name": name, "plugins": plugins}, indent=2)


CHAIN: Final = _network("bench", _BRIDGE, _PORTMAP, _TUNING)
SINGLE: Final = _network("bench", _BRIDGE)
SIX: Final = _network("bench", _BRIDGE, _PORTMAP, _TUNING, *_OTHERS)


def real(data: Path) -> str:
    """Return a list of reference plugins; host-local keeps its files in the directory `data`."""
    ipam = {"type": "host-local", "dataDir": str(data), "ranges": [[{"subnet": "10.89.0.0/16"}]]}
    bridge = {"type": "bridge", "bridge": "cni-bench0", "isGateway": True, "ipam": ipam}
    return _network("bench-real", bridge, {**_PORTMAP, "snat": False})


def fill(cache: Path, records: int) -> None:
    """Write the records that ADDs of the chain leave for so many containers."""
    results = cache / "results"
    results.mkdir(parents=True, mode=0o700)
    config = base64.b64encode(CHAIN.encode()).decode()
    result = json.loads(RESULT)
    for number in range(records):
        container_id = f"container-{number:06d}"
        port = {"hostPort": 20000 + number % 10000, "containerPort": 80, "protocol": "tcp"}
        record = {
            "kind": "cniCacheV1",
            "containerId": container_id,
            "config": config,
            "ifName": "eth0",
            "networkName": "bench",
            "netns": f"/var/run/netns/{container_id}",
            "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAME", container_id]],
            "capabilityArgs": {"portMappings": [port]},
            "result": result,
        }
        (results / f"bench-{container_id}-eth0").write_text(
            json.dumps(record, separators=(",", ":"))
        )

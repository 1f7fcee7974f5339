"""The demo without real plugins, and the plugin that it falls back to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fallback_plugin
from cni_async import (
    CNIConfig,
    GCArgs,
    GCAttachment,
    NetworkConfigList,
    PluginError,
    RuntimeConf,
    conf_list_from_bytes,
)
from cni_async.types import v100

ROOT = Path(__file__).parents[2]


def test_demo_says_plainly_that_it_pretends(tmp_path: Path) -> None:
    # The demo runs in a copy without Go, so it does not find plugins built for this checkout.
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environ = {key: value for key, value in os.environ.items() if key != "CNI_PATH"}
    program = "import reference_plugins; reference_plugins.USUAL = (); import demo; demo.main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environ, "PATH": "/nowhere", "PYTHONPATH": f"{tmp_path}/examples:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Not the real thing" in done.stdout
    assert "NO INTERFACE IS MADE" in done.stdout
    assert done.stdout.count("taken back") == len(["asyncio", "trio"])


@pytest.fixture(params=fallback_plugin.VERSIONS)
def network(tmp_path: Path, request: pytest.FixtureRequest) -> NetworkConfigList:
    """Provide a network of the fallback plugin, with room for two containers."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    script = plugins / "pretend"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{fallback_plugin.__file__}"\n')
    script.chmod(0o755)
    plugin = {
        "type": "pretend",
        "subnet": "10.88.0.0/30",
        "dataDir": str(tmp_path / "addresses"),
    }
    document = {"cniVersion": request.param, "name": "demo", "plugins": [plugin]}
    return conf_list_from_bytes(json.dumps(document).encode())


@pytest.mark.anyio
async def test_pretending_plugin(network: NetworkConfigList, tmp_path: Path) -> None:
    cni = CNIConfig([str(tmp_path / "plugins")], cache_dir=tmp_path / "cache")
    one, other = (RuntimeConf(name, "/proc/self/ns/net", "eth0") for name in ("one", "other"))
    assert await cni.validate_network_list(network) == []
    await cni.get_status_network_list(network)

    result = v100.get_result(await cni.add_network_list(network, one))
    assert [str(ip.address) for ip in result.ips] == ["10.88.0.2/30"]
    await cni.check_network_list(network, one)

    with pytest.raises(PluginError, match="no address left") as caught:
        await cni.add_network_list(network, other)
    assert caught.value.code == fallback_plugin.NO_ADDRESS
    await cni.del_network_list(network, other)

    await cni.gc_network_list(network, GCArgs([GCAttachment("one", "eth0")]))
    await cni.check_network_list(network, one)
    await cni.gc_network_list(network, GCArgs())
    assert await cni.get_cached_attachments() == []
    with pytest.raises(PluginError, match="does not have"):
        await cni.check_network_list(network, one)

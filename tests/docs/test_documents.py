"""README and docs say what is true."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cni_async
from cni_async import AttachmentKey, RuntimeConf, create_result
from cni_async.cache.record import encode_record, new_record
from tests.support.go_names import GO_NAMES
from tests.support.recorder import Answer, Recorder

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def resolve(name: str) -> Any:
    """Import what a (dotted) name below cni_async stands for."""
    found: Any = cni_async
    for part in name.split("."):
        if not hasattr(found, part) and inspect.ismodule(found):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return found


def readme_table() -> list[tuple[str, str]]:
    """Return README's Go-to-Python table."""
    table = README.split("| libcni (Go) | cni_async |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(.+?)` \| (.+) \|$", table, re.MULTILINE)


def test_readme_names_everything_of_libcni() -> None:
    rows = readme_table()
    assert [go for go, _ in rows] == [go for go, _ in GO_NAMES]
    for (_, shown), (_, names) in zip(rows, GO_NAMES, strict=True):
        assert re.findall(r"`(?:await )?([\w.]+)", shown) == list(names)


@pytest.mark.parametrize(("go", "names"), GO_NAMES, ids=[go for go, _ in GO_NAMES])
def test_name_exists_and_readme_tells_which_to_await(go: str, names: tuple[str, ...]) -> None:
    shown = dict(readme_table())[go]
    for name in names:
        awaited = inspect.iscoroutinefunction(resolve(name))
        assert awaited == (f"`await {name}" in shown)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_readme_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


BLOCKS = dict(
    zip(
        ["ten lines", "sandboxes", "namespaces", "errors"],
        re.findall(r"```python\n(.*?)```", README, re.DOTALL),
        strict=True,
    )
)


@pytest.mark.parametrize("name", BLOCKS)
def test_readme_python_is_python(name: str) -> None:
    block = BLOCKS[name]
    ast.parse(block if "import" in block else f"async def f():\n{re.sub('^', ' ', block, flags=8)}")


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("ten lines", ["bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL"]),
        (
            "sandboxes",
            # The remains of an ADD that was cut short, and of a whole one, are deleted first.
            [
                *("portmap DEL begun", "bridge DEL begun"),
                *("portmap DEL whole", "bridge DEL whole", "bridge GC", "portmap GC"),
                *("bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL"),
            ],
        ),
    ],
)
def test_readme_programs_run(recorder: Recorder, tmp_path: Path, name: str, calls: Any) -> None:
    """With the network that README shows; only where things are differs."""
    result = {"cniVersion": "1.1.0", "ips": [{"address": "10.90.0.2/24"}]}
    for plugin in ("bridge", "portmap"):
        recorder.plugin(plugin, {"ADD": Answer(stdout=result)})
    [network] = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    (tmp_path / "net.d").mkdir()
    (tmp_path / "net.d" / "10-mynet.conflist").write_text(network)
    # The programs of sandboxes that live outlive this one, which starts anew.
    (tmp_path / "netns").touch()
    namespaces = {"begun": "", "whole": tmp_path / "gone", "lives": tmp_path / "netns", "old": ""}
    for container, netns in namespaces.items() if name == "sandboxes" else ():
        key = AttachmentKey("mynet", container, "eth0")
        end = None if container == "begun" else create_result("1.1.0", json.dumps(result).encode())
        rt = RuntimeConf(container, str(netns), "eth0")
        record = encode_record(new_record(key, network.encode(), rt), end)
        (tmp_path / "cache" / "results").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / "results" / key.file_name).write_bytes(record)
    program = BLOCKS[name]
    for shown, here in {
        '["/opt/cni/bin"]': f"[{str(recorder.folder)!r}], cache_dir={str(tmp_path / 'cache')!r}",
        '"/etc/cni/net.d"': repr(str(tmp_path / "net.d")),
        '"/run/sandboxes.lock"': repr(str(tmp_path / "lock")),
    }.items():
        assert name != "sandboxes" or shown in program
        program = program.replace(shown, here)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "10.90.0.2/24" in done.stdout
    called = [
        f"{call.plugin} {call.command} {call.environ.get('CNI_CONTAINERID', '')}"
        for call in recorder.calls()
    ]
    own = re.compile(r" (container-1|sandbox-1)?$")
    assert [own.sub("", each) for each in called] == calls
    kept = {"mynet-lives-eth0", "mynet-old-eth0"} if name == "sandboxes" else set()
    assert {path.name for path in (tmp_path / "cache" / "results").glob("*-*")} == kept
    for call in recorder.calls("GC"):
        valid = {each["containerID"] for each in call.config["cni.dev/valid-attachments"]}
        assert valid == {"lives", "old"}

"""libcni lists and deletes the attachment of an ADD that did not finish."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from cni_async import CNIConfig, RuntimeConf
from cni_async.testing import FakeCall, FakeExec
from tests.support.chains import network
from tests.support.recorder import Recorder

from .oracle import Oracle

NET = network({"type": "a", "capabilities": {"p": True}}, "b")
RT = RuntimeConf("c1", "/run/netns/blue", "eth0", args=[("K", "v")], capability_args={"p": 1})


class Killed(BaseException):
    """Stands for SIGKILL: nothing is rolled back."""


def begin(cache: Path) -> None:
    """Leave the cache as a process leaves it that is killed during an ADD."""

    def kill(call: FakeCall) -> NoReturn:
        raise Killed

    async def add() -> None:
        exec = FakeExec({("b", "ADD"): kill, ("a", "DEL"): kill, ("b", "DEL"): kill})
        await CNIConfig(["/bin"], exec=exec, cache_dir=cache, rollback=True).add_network_list(
            NET, RT
        )

    with suppress(Killed, BaseExceptionGroup):
        anyio.run(add)
    assert [path.name for path in (cache / "results").glob("*-*")] == ["net-c1-eth0"]


@pytest.fixture
def asked(oracle: Oracle, recorder: Recorder, tmp_path: Path) -> dict[str, Any]:
    recorder.plugin("a")
    recorder.plugin("b")
    cache = tmp_path / "cache"
    begin(cache)
    return {"path": recorder.path, "cacheDir": str(cache), "data": NET.raw}


def test_libcni_lists_it(oracle: Oracle, asked: dict[str, Any]) -> None:
    [attachment] = oracle.ask("attachments", **asked, text="").result
    assert (attachment["ContainerID"], attachment["Network"]) == ("c1", "net")
    assert (attachment["IfName"], attachment["NetNS"]) == ("eth0", "/run/netns/blue")
    assert attachment["Config"] == NET.raw
    assert attachment["CniArgs"] == [["K", "v"]]
    assert attachment["CapabilityArgs"] == {"p": 1}


def test_libcnis_gc_deletes_it(
    oracle: Oracle, asked: dict[str, Any], recorder: Recorder, tmp_path: Path
) -> None:
    assert oracle.ask("gc", **asked, valid=[]).error is None
    assert recorder.order() == ["b DEL", "a DEL", "a GC", "b GC"]
    call = recorder.calls()[1]
    assert call.environ["CNI_ARGS"] == "K=v"
    assert call.config["runtimeConfig"] == {"p": 1}
    assert call.config["prevResult"] == {"cniVersion": "1.1.0"}
    assert not list((tmp_path / "cache/results").glob("*-*"))


@pytest.mark.parametrize("command", ["CHECK", "DEL"])
def test_libcni_hands_plugins_an_empty_result(
    oracle: Oracle, asked: dict[str, Any], recorder: Recorder, tmp_path: Path, command: str
) -> None:
    runtime = {"containerID": "c1", "netns": "/run/netns/blue", "ifname": "eth0"}
    assert oracle.ask(command.lower(), **asked, runtime=runtime).error is None
    assert [call.command for call in recorder.calls()] == [command] * 2
    theirs = [json.loads(call.stdin or b"")["prevResult"] for call in recorder.calls()]
    assert theirs == [{"cniVersion": "1.1.0"}] * 2
    recorder.forget()
    begin(tmp_path / "cache")

    async def ours() -> None:
        cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache")
        call = cni.check_network_list if command == "CHECK" else cni.del_network_list
        await call(NET, RT)

    anyio.run(ours)
    assert [call.config["prevResult"] for call in recorder.calls()] == theirs

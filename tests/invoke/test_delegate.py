"""A plugin that calls another plugin.

The tests cover section W of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cni_async.errors import PluginError, PluginNotFoundError, ResultError
from cni_async.invoke import (
    DefaultExec,
    delegate_add,
    delegate_check,
    delegate_del,
    delegate_gc,
    delegate_status,
)
from cni_async.testing import FakeExec
from tests.support.recorder import Answer, Recorder

pytestmark = pytest.mark.anyio

starts_plugins = pytest.mark.usefixtures("spawn")

Delegate = Callable[..., Awaitable[Any]]
DELEGATES: dict[str, Delegate] = {
    "ADD": delegate_add,
    "CHECK": delegate_check,
    "DEL": delegate_del,
    "GC": delegate_gc,
    "STATUS": delegate_status,
}
every_command = pytest.mark.parametrize("command", DELEGATES)
# The layout shows whether the configuration was parsed and rewritten on the way.
NETCONF = b' {"cniVersion":"1.0.0",\n"name":"n", "type":"bridge","ipam": {"type":"host-local"}}\n'


@pytest.fixture
def inherited(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment of a plugin that was called with ADD."""
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "cid",
        "CNI_NETNS": "/ns",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=b",
        "CNI_PATH": os.pathsep.join(["/no/such", *recorder.path]),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


@starts_plugins
@every_command
async def test_item_243_what_the_other_gets(
    recorder: Recorder, inherited: dict[str, str], command: str
) -> None:
    """The delegate, found in CNI_PATH, gets our input, and our environment with its own command."""
    recorder.plugin("host-local")
    before = dict(os.environ)
    result = await DELEGATES[command]("host-local", NETCONF)
    assert (result.version if command == "ADD" else result) == (
        "1.0.0" if command == "ADD" else None
    )
    (call,) = recorder.calls()
    assert call.plugin == "host-local"
    assert call.cni_environ == {**inherited, "CNI_COMMAND": command}
    assert call.stdin == NETCONF
    # 244: a command of ours that does not match is neither an error nor changed.
    assert dict(os.environ) == before


@starts_plugins
@every_command
async def test_item_244_without_a_command_of_our_own(
    recorder: Recorder,
    inherited: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.delenv("CNI_COMMAND")
    recorder.plugin("host-local")
    await DELEGATES[command]("host-local", NETCONF, DefaultExec())
    assert recorder.order() == [f"host-local {command}"]
    assert "CNI_COMMAND" not in os.environ


@every_command
@pytest.mark.parametrize("path", [None, ""])
async def test_item_245_no_path(
    monkeypatch: pytest.MonkeyPatch, command: str, path: str | None
) -> None:
    monkeypatch.delenv("CNI_PATH", raising=False)
    if path is not None:
        monkeypatch.setenv("CNI_PATH", path)
    with pytest.raises(PluginNotFoundError) as caught:
        await DELEGATES[command]("host-local", NETCONF)
    assert str(caught.value) == "no paths provided"


@every_command
async def test_item_245_not_found(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("CNI_PATH", os.pathsep.join(["/no/x", "/no/y"]))
    with pytest.raises(PluginNotFoundError) as caught:
        await DELEGATES[command]("host-local", NETCONF)
    assert str(caught.value) == 'failed to find plugin "host-local" in path [/no/x /no/y]'


@starts_plugins
@every_command
async def test_item_246_the_default_exec(
    recorder: Recorder, inherited: dict[str, str], command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    recorder.plugin("host-local", {command: Answer(stderr="warn\n")})
    await DELEGATES[command]("host-local", NETCONF)
    assert capfd.readouterr().err == "warn\n"
    await DELEGATES[command]("host-local", NETCONF, DefaultExec())
    assert capfd.readouterr().err == ""


@starts_plugins
@every_command
async def test_failure(recorder: Recorder, inherited: dict[str, str], command: str) -> None:
    answer = Answer(stdout={"code": 11, "msg": "later"}, exit_code=1)
    recorder.plugin("host-local", {command: answer})
    with pytest.raises(PluginError, match=r"^later$") as caught:
        await DELEGATES[command]("host-local", NETCONF)
    error = caught.value
    assert (error.plugin, error.command, error.retryable) == ("host-local", command, True)


@starts_plugins
async def test_item_247_no_del_of_its_own(recorder: Recorder, inherited: dict[str, str]) -> None:
    """After a failed ADD the caller decides about DEL, as with libcni."""
    recorder.plugin("host-local", {"ADD": Answer(exit_code=1)})
    with pytest.raises(PluginError):
        await delegate_add("host-local", NETCONF)
    assert recorder.order() == ["host-local ADD"]


@starts_plugins
async def test_malformed_result(recorder: Recorder, inherited: dict[str, str]) -> None:
    recorder.plugin("host-local", {"ADD": Answer(stdout="garbage")})
    with pytest.raises(ResultError, match="failed to unmarshal raw result"):
        await delegate_add("host-local", NETCONF)


@every_command
async def test_another_exec(inherited: dict[str, str], command: str) -> None:
    """The given `Exec` also finds the plugin."""
    exec = FakeExec()
    await DELEGATES[command]("host-local", NETCONF, exec)
    (call,) = exec.calls
    assert (call.plugin, call.command) == ("host-local", command)
    assert call.config["ipam"] == {"type": "host-local"}
    with pytest.raises(PluginNotFoundError):
        await DELEGATES[command]("host-local", NETCONF, FakeExec(missing={"host-local"}))

"""One call of a plugin.

The tests cover sections M and V of docs/maintainers/conformance.md;
their names or ids contain the numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import pytest

from cni_async import version
from cni_async.errors import (
    CNIError,
    PluginError,
    PluginNotFoundError,
    PluginTimeoutError,
    ResultError,
    VersionError,
)
from cni_async.invoke import (
    Args,
    DefaultExec,
    exec_plugin_with_result,
    exec_plugin_without_result,
    get_version_info,
)
from cni_async.invoke.caller import PluginCaller
from cni_async.testing import FakeCall, FakeExec
from tests.support.recorder import Answer, Recorder

pytestmark = pytest.mark.anyio

ARGS = Args(command="ADD", container_id="cid", netns="/ns", ifname="eth0", path=("/bin",))


async def result_of(stdout: bytes, config: bytes = b'{"cniVersion": "0.4.0"}') -> Any:
    exec = FakeExec({("bridge", "ADD"): stdout})
    return await exec_plugin_with_result("/bin/bridge", config, ARGS, exec)


# VERSION


async def versions_of(stdout: bytes) -> version.PluginInfo:
    exec = FakeExec({("bridge", "VERSION"): stdout})
    return await get_version_info("/bin/bridge", exec)


async def test_items_146_and_147_request(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is exactly libcni's, whatever our own environment contains."""
    for name in ("CNI_CONTAINERID", "CNI_ARGS", "CNI_COMMAND", "CNI_PATH"):
        monkeypatch.setenv(name, "inherited")
    path = recorder.plugin("bridge")
    info = await get_version_info(str(path))
    assert info.supported_versions == (
        "0.1.0",
        "0.2.0",
        "0.3.0",
        "0.3.1",
        "0.4.0",
        "1.0.0",
        "1.1.0",
    )
    assert info.cni_version == "1.1.0"
    (call,) = recorder.calls()
    assert call.stdin == b'{"cniVersion":"1.1.0"}'
    assert call.cni_environ == {
        "CNI_COMMAND": "VERSION",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "dummy",
        "CNI_ARGS": "",
        "CNI_IFNAME": "dummy",
        "CNI_PATH": "dummy",
    }


async def test_item_148_older_than_the_command(recorder: Recorder) -> None:
    answer = Answer(stdout={"code": 4, "msg": "unknown CNI_COMMAND: VERSION"}, exit_code=1)
    path = recorder.plugin("old", {"VERSION": answer})
    assert await get_version_info(str(path), DefaultExec()) == version.plugin_supports("0.1.0")


@pytest.mark.parametrize(
    "error",
    [
        {"code": 4, "msg": "unknown CNI_COMMAND: VERSION", "details": "x"},
        {"code": 4, "msg": "unknown CNI_COMMAND: version"},
        {"code": 4, "msg": "unknown CNI_COMMAND: VERSION\n"},
    ],
)
async def test_item_149_older_but_not_in_these_words(
    recorder: Recorder, error: dict[str, Any]
) -> None:
    path = recorder.plugin("old", {"VERSION": Answer(stdout=error, exit_code=1)})
    with pytest.raises(PluginError, match="unknown CNI_COMMAND") as caught:
        await get_version_info(str(path), DefaultExec())
    assert (caught.value.code, caught.value.plugin, caught.value.command) == (4, "old", "VERSION")


@pytest.mark.parametrize(
    "stdout",
    [
        b"{}",
        b"null",
        b'{"cniVersion": ""}',
        b'{"cniVersion": null}',
        b'{"supportedVersions": ["1.0.0"]}',
    ],
)
async def test_item_150_no_version(stdout: bytes) -> None:
    with pytest.raises(VersionError) as caught:
        await versions_of(stdout)
    assert str(caught.value) == "decoding version info: missing field cniVersion"


@pytest.mark.parametrize("list_", ["", ', "supportedVersions": []', ', "supportedVersions": null'])
@pytest.mark.parametrize("version", ["0.2.0", "0.1.0", "1.0.0", "word"])
async def test_item_151_no_list(version: str, list_: str) -> None:
    stdout = f'{{"cniVersion": "{version}"{list_}}}'.encode()
    if version == "0.2.0":
        assert (await versions_of(stdout)).supported_versions == ("0.1.0", "0.2.0")
        return
    with pytest.raises(VersionError) as caught:
        await versions_of(stdout)
    assert str(caught.value) == "decoding version info: missing field supportedVersions"


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (b"", "unexpected end of JSON input"),
        (b"no", "invalid character"),
        (b'{"cniVersion": "1.0.0"', "unexpected end of JSON input"),
        (b'{"cniVersion": "1.0.0"} x', "invalid character 'x' after top-level value"),
        (b"[]", "the answer is of type array, not object"),
        (b'"1.0.0"', "the answer is of type string, not object"),
        (b'{"cniVersion": 1}', "cniVersion is of type number, not string"),
        (
            b'{"cniVersion": "1.0.0", "supportedVersions": "1.0.0"}',
            "supportedVersions is of type string, not array",
        ),
        (
            b'{"cniVersion": "1.0.0", "supportedVersions": {}}',
            "supportedVersions is of type object, not array",
        ),
        (
            b'{"cniVersion": "1.0.0", "supportedVersions": [1]}',
            "a member of supportedVersions is of type number, not string",
        ),
    ],
)
async def test_item_152_malformed(stdout: bytes, reason: str) -> None:
    with pytest.raises(VersionError) as caught:
        await versions_of(stdout)
    assert str(caught.value).startswith(f"decoding version info: {reason}")


async def test_item_153_versions_are_opaque() -> None:
    words = ["0.-42.0", "arbitrary words", "", "1.0.0", "0.1.0", "1.0.0"]
    stdout = json.dumps({"cniVersion": "0.-42.0", "supportedVersions": words}).encode()
    info = await versions_of(stdout)
    assert info == version.PluginInfo(tuple(words), "0.-42.0")


# Results


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b"5", b'{"cniVersion": 5}'])
async def test_item_234_malformed_configuration(config: bytes) -> None:
    """The error comes after the plugin has run: only the plugin reads the configuration before."""
    calls: list[FakeCall] = []

    class Exec(FakeExec):
        async def exec_plugin(
            self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
        ) -> bytes:
            calls.append(FakeCall("", "", {}, {}))
            return b"{}"

    with pytest.raises(VersionError) as caught:
        await exec_plugin_with_result("/bin/bridge", config, ARGS, Exec())
    assert str(caught.value).startswith("decoding version from network config: ")
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("config", "version"),
    [
        (b"{}", "0.1.0"),
        (b"null", "0.1.0"),
        (b'{"cniVersion": ""}', "0.1.0"),
        (b'{"cniVersion": null}', "0.1.0"),
        (b'{"cniVersion": "0.3.1"}', "0.3.1"),
        (b'{"CNIVERSION": "1.0.0"}', "1.0.0"),
    ],
)
@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(b"{}", id="236-missing"),
        pytest.param(b'{"cniVersion": ""}', id="236-empty"),
        pytest.param(b"null", id="237"),
        pytest.param(b'{"cniVersion": 5}', id="238-number"),
        pytest.param(b'{"cniVersion": null}', id="238-null"),
    ],
)
async def test_item_234_and_236_the_configuration_says_the_version(
    config: bytes, version: str, stdout: bytes, tmp_path: Any
) -> None:
    exec = DefaultExec()
    path = tmp_path / "bridge"
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{stdout.decode()}'\n")
    path.chmod(0o755)
    result = await exec_plugin_with_result(str(path), config, ARGS, exec)
    assert result.version == version


async def test_item_236_the_result_says_the_version() -> None:
    result = await result_of(b'{"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]}')
    assert result.version == "1.0.0"
    assert result.interfaces[0].name == "eth0"


async def test_item_238_only_that_spelling() -> None:
    """Only the exact key states the version; otherwise the configuration's version applies."""
    with pytest.raises(ResultError):
        await result_of(b'{"cniVersion": "7.0.0", "CNIVersion": "0.4.0"}')
    result = await result_of(b'{"CNIVersion": "0.4.0"}', b'{"cniVersion": "0.3.1"}')
    assert result.version == "0.3.1"


async def test_item_239_numbers_are_normalised_where_the_version_is_missing() -> None:
    ips = b'"ips": [{"address": "10.0.0.2/24", "interface": 0.0}]'
    result = await result_of(b"{%s}" % ips, b'{"cniVersion": "1.0.0"}')
    assert result.ips[0].interface == 0
    with pytest.raises(ResultError):
        await result_of(b'{"cniVersion": "1.0.0", %s}' % ips, b'{"cniVersion": "1.0.0"}')


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (b"", "unexpected end of JSON input"),
        (b" \n", "unexpected end of JSON input"),
        (b"[]", "the result is of type array, not object"),
        (b"5", "the result is of type number, not object"),
        (b'"x"', "the result is of type string, not object"),
        (b"bogus", "invalid character 'b' looking for beginning of value"),
        pytest.param(b"{} {}", "invalid character '{' after top-level value", id="241-object"),
        pytest.param(b"{}x", "invalid character 'x' after top-level value", id="241-garbage"),
    ],
)
async def test_item_235_no_object(stdout: bytes, reason: str) -> None:
    with pytest.raises(ResultError) as caught:
        await result_of(stdout)
    assert str(caught.value) == f"failed to unmarshal raw result: {reason}"


@pytest.mark.parametrize("space", [b"\n", b" \t\r\n"])
async def test_item_241_space_after_the_object(space: bytes) -> None:
    assert (await result_of(b"{}" + space)).version == "0.4.0"


@pytest.mark.parametrize(
    ("stdout", "config"),
    [
        (b'{"cniVersion": "7.0.0"}', b'{"cniVersion": "1.0.0"}'),
        (b"{}", b'{"cniVersion": "7.0.0"}'),
    ],
)
async def test_item_240_unknown_version(stdout: bytes, config: bytes) -> None:
    with pytest.raises(ResultError) as caught:
        await result_of(stdout, config)
    assert str(caught.value) == 'unsupported CNI result version "7.0.0"'


@pytest.mark.parametrize("stdout", ["", "garbage", "null", '{"cniVersion": "7.0.0"}', b"\xff"])
async def test_item_242_output_does_not_matter(recorder: Recorder, stdout: str | bytes) -> None:
    path = recorder.plugin("bridge", {"DEL": Answer(stdout=stdout)})
    await exec_plugin_without_result(str(path), b"{}", Args(command="DEL"), DefaultExec())
    assert recorder.order() == ["bridge DEL"]


async def test_no_environment_is_ours(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """invoke.ArgsFromEnv: the plugin passes its own environment on."""
    monkeypatch.setenv("CNI_COMMAND", "ADD")
    monkeypatch.setenv("CNI_CONTAINERID", "inherited")
    path = recorder.plugin("bridge")
    config = b'{"cniVersion": "1.0.0"}'
    assert (await exec_plugin_with_result(str(path), config, None)).version == "1.0.0"
    await exec_plugin_without_result(str(path), config, None)
    assert [call.environ["CNI_CONTAINERID"] for call in recorder.calls()] == ["inherited"] * 2
    assert [call.stdin for call in recorder.calls()] == [config] * 2


async def test_item_246_the_default_exec_forwards_stderr(
    recorder: Recorder, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = Answer(stderr="warn\n")
    path = str(recorder.plugin("bridge", dict.fromkeys(("ADD", "DEL", "VERSION"), answer)))
    await exec_plugin_with_result(path, b"{}", ARGS)
    await exec_plugin_without_result(path, b"{}", Args(command="DEL"))
    await get_version_info(path)
    assert capfd.readouterr().err == "warn\n" * 3


# The caller that chains use


async def test_caller(recorder: Recorder) -> None:
    recorder.plugin("bridge")
    caller = PluginCaller(recorder.path, DefaultExec(), timeout=20)
    plugin = await caller.find("bridge")
    assert plugin.executable == str(recorder.folder / "bridge")
    config = b'{"cniVersion": "1.0.0"}'
    assert (await plugin.add(config, ARGS.as_env(), "")).version == "1.0.0"
    await plugin.run(config, Args(command="DEL").as_env())
    assert (await caller.version("bridge")).cni_version == "1.1.0"
    assert recorder.order() == ["bridge ADD", "bridge DEL", "bridge VERSION"]


async def test_caller_does_not_find() -> None:
    caller = PluginCaller(["/no"], DefaultExec(), timeout=None)
    for call in (caller.find, caller.version):
        with pytest.raises(PluginNotFoundError, match="failed to find plugin"):
            await call("bridge")


async def test_caller_tells_who_failed() -> None:
    """The caller adds plugin and command to an error of a foreign `Exec` that lacks them."""
    exec = FakeExec(
        {
            ("bridge", "ADD"): PluginError("no"),
            ("bridge", "DEL"): PluginError("no", plugin="p", command="c"),
            ("bridge", "VERSION"): CNIError("no"),
        }
    )
    caller = PluginCaller(["/bin"], exec, timeout=None)
    with pytest.raises(PluginError) as caught:
        await (await caller.find("bridge")).add(b"{}", ARGS.as_env(), "")
    assert (caught.value.plugin, caught.value.command) == ("bridge", "ADD")
    with pytest.raises(PluginError) as caught:
        await (await caller.find("bridge")).run(b"{}", Args(command="DEL").as_env())
    assert (caught.value.plugin, caught.value.command) == ("p", "c")
    with pytest.raises(CNIError, match=r"^no$"):
        await caller.version("bridge")


@pytest.mark.parametrize("command", ["ADD", "DEL", "VERSION"])
async def test_caller_s_deadline(command: str) -> None:
    """The deadline also holds for an `Exec` without deadlines."""

    async def hang(call: FakeCall) -> bytes:
        await anyio.sleep(60)
        return b""

    caller = PluginCaller(["/bin"], FakeExec({("bridge", command): hang}), timeout=0.05)
    plugin = await caller.find("bridge")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "ADD": lambda: plugin.add(b"{}", ARGS.as_env(), ""),
        "DEL": lambda: plugin.run(b"{}", Args(command="DEL").as_env()),
        "VERSION": lambda: caller.version("bridge"),
    }
    with anyio.fail_after(20), pytest.raises(PluginTimeoutError) as caught:
        await calls[command]()
    assert str(caught.value) == ("netplugin failed with no error message: timed out after 0.05 s")
    assert (caught.value.plugin, caught.value.command) == ("bridge", command)
    assert caught.value.retryable
    assert isinstance(caught.value, TimeoutError)


async def test_somebody_else_s_deadline() -> None:
    """A TimeoutError of the `Exec` is raised as it is, not as our deadline."""

    async def fail(call: FakeCall) -> bytes:
        raise TimeoutError("theirs")

    caller = PluginCaller(["/bin"], FakeExec({("bridge", "ADD"): fail}), timeout=20)
    with pytest.raises(TimeoutError, match="theirs"):
        await (await caller.find("bridge")).add(b"{}", ARGS.as_env(), "")


async def test_environment_of_a_call(recorder: Recorder) -> None:
    path = recorder.plugin("bridge")
    await exec_plugin_with_result(str(path), b"{}", ARGS, DefaultExec())
    (call,) = recorder.calls()
    assert (
        call.cni_environ.items()
        >= {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "cid",
            "CNI_NETNS": "/ns",
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "",
            "CNI_PATH": "/bin",
        }.items()
    )
    assert call.environ["PATH"] == os.environ["PATH"]

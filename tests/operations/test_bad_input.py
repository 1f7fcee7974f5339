"""Plugins that are missing or misbehave, as real executables: a clear error, and nothing lost.

Bad configurations, identifiers and caches are covered by the tests of those parts.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from cni_async import (
    CNIConfig,
    CNIError,
    GCArgs,
    GCError,
    OutputLimitError,
    PluginError,
    PluginNotFoundError,
    ResultError,
    ValidationError,
    VersionError,
)
from cni_async.testing import FakeExec
from tests.support.chains import RT, address, as_dict, network, single
from tests.support.recorder import Answer, Recorder

pytestmark = pytest.mark.anyio

# Parsing an answer does not depend on the event loop that received it.
any_loop = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

NET = network("good", "bad")
NO_MESSAGE = "netplugin failed with no error message: "


class Case:
    """A network of a good plugin and a bad one."""

    def __init__(self, recorder: Recorder, cache: Path) -> None:
        self.recorder = recorder
        self.cache = cache
        self.cni = CNIConfig(recorder.path, cache_dir=cache)
        self.bad = recorder.plugin("bad")
        recorder.plugin("good", {"ADD": Answer(stdout=address(1))})

    def when(self, *commands: str, **answer: Any) -> None:
        """Make the bad plugin answer these commands with this answer."""
        self.recorder.plugin("bad", dict.fromkeys(commands, Answer(**answer)))

    async def failing_add(self, **answer: Any) -> CNIError:
        """Check that a second ADD fails with a bad answer and keeps the first one's record."""
        fake = CNIConfig(
            ["/bin"], cache_dir=self.cache, exec=FakeExec({("bad", "ADD"): address(1)})
        )
        await fake.add_network_list(NET, RT)
        self.when("ADD", **answer)
        with pytest.raises(CNIError) as caught:
            await self.cni.add_network_list(NET, RT)
        assert self.recorder.order() == ["good ADD", "bad ADD"]
        assert as_dict(await self.cni.get_network_list_cached_result(NET, RT)) == address(1)
        return caught.value


@pytest.fixture
def case(recorder: Recorder, tmp_path: Path) -> Case:
    return Case(recorder, tmp_path / "cache")


async def failing(call: Any) -> str:
    with pytest.raises(CNIError) as caught:
        await call
    return str(caught.value)


async def everywhere(case: Case, error: str, found: bool) -> None:
    """Call, with every command, a plugin that cannot even be started."""
    cni, recorder = case.cni, case.recorder
    assert await failing(cni.add_network_list(NET, RT)) == (
        f'plugin type="bad" failed (add): {error}'
    )
    assert recorder.order() == ["good ADD"]
    recorder.forget()
    assert await failing(cni.check_network_list(NET, RT)) == error
    assert recorder.order() == ["good CHECK"]
    recorder.forget()
    assert await failing(cni.del_network_list(NET, RT)) == (
        f'plugin type="bad" failed (delete): {error}'
    )
    assert recorder.order() == []
    assert await failing(cni.get_status_network_list(NET)) == error
    recorder.forget()
    assert await failing(cni.gc_network_list(NET, GCArgs())) == f"failed to GC plugin bad: {error}"
    assert recorder.order() == ["good GC"]
    assert await failing(cni.validate_network_list(NET)) == f"[{error}]"
    assert await failing(cni.get_version_info("bad")) == error
    assert await failing(cni.add_network(single("bad"), RT)) == error
    assert await cni.get_cached_attachments() == []
    with pytest.raises(CNIError) as caught:
        await cni.validate_network(single("bad"))
    assert isinstance(caught.value, PluginError if found else PluginNotFoundError)
    assert caught.value.plugin == "bad"


async def test_items_124_and_205_a_plugin_that_is_missing(case: Case) -> None:
    case.bad.unlink()
    folder = case.recorder.folder
    await everywhere(case, f'failed to find plugin "bad" in path [{folder}]', found=False)


async def test_item_204_a_plugin_that_is_a_directory(case: Case) -> None:
    case.bad.unlink()
    case.bad.mkdir()
    folder = case.recorder.folder
    await everywhere(case, f'failed to find plugin "bad" in path [{folder}]', found=False)


async def test_item_206_a_plugin_without_execute_bit(case: Case) -> None:
    case.bad.chmod(0o644)
    error = f"{NO_MESSAGE}fork/exec {case.bad}: permission denied"
    await everywhere(case, error, found=True)


async def test_item_215_a_plugin_that_is_no_program(case: Case) -> None:
    case.bad.write_bytes(b"\x00\x01\x02")
    error = f"{NO_MESSAGE}fork/exec {case.bad}: exec format error"
    await everywhere(case, error, found=True)


async def test_a_missing_plugin_keeps_the_record_until_it_is_back(case: Case) -> None:
    await case.cni.add_network_list(NET, RT)
    hidden = case.bad.rename(case.bad.with_name("hidden"))
    with pytest.raises(PluginNotFoundError):
        await case.cni.del_network_list(NET, RT)
    with pytest.raises(GCError):
        await case.cni.gc_network_list(NET, GCArgs())
    assert len(await case.cni.get_cached_attachments("c1")) == 1
    hidden.rename(case.bad)
    await case.cni.del_network_list(NET, RT)
    assert await case.cni.get_cached_attachments("c1") == []
    assert case.recorder.calls("DEL")[-1].config["prevResult"] == address(1)


@pytest.mark.parametrize("version", ["1.0", "1.2.0", "v1.0.0", "1.0.0-rc1", "a"])
async def test_item_98_an_unknown_version(case: Case, version: str) -> None:
    net = network("good", version=version)
    words = f'plugin type="good" failed (add): unsupported CNI result version "{version}"'
    assert await failing(case.cni.add_network_list(net, RT)) == words
    with pytest.raises(ValidationError):
        await case.cni.validate_network_list(net)
    assert case.recorder.order() == ["good VERSION"]


@any_loop
@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        pytest.param(b"", "unexpected end of JSON input", id="nothing"),
        pytest.param(b"\n \n", "unexpected end of JSON input", id="blank"),
        pytest.param(
            b"garbage", "invalid character 'g' looking for beginning of value", id="garbage"
        ),
        pytest.param(b"\xff\xfe\x00", None, id="bytes"),
        pytest.param(b'{"cniVersion":"1.1.0"', "unexpected end of JSON input", id="truncated"),
        pytest.param(b"{}{}", "invalid character '{' after top-level value", id="two"),
        pytest.param(b"[]", "the result is of type array, not object", id="array"),
        pytest.param(b"[" * 100_000, None, id="deep"),
    ],
)
async def test_items_235_and_241_an_answer_that_is_no_object(
    case: Case, stdout: bytes, reason: str | None
) -> None:
    error = await case.failing_add(stdout=stdout)
    words = 'plugin type="bad" failed (add): failed to unmarshal raw result: '
    assert isinstance(error, ResultError)
    assert str(error).startswith(words)
    assert reason is None or str(error) == words + reason


@any_loop
@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        pytest.param(
            {"cniVersion": "7.0.0"}, 'unsupported CNI result version "7.0.0"', id="240-version"
        ),
        pytest.param(
            {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1"}]},
            "invalid CIDR address: 10.0.0.1",
            id="261-address",
        ),
    ],
)
async def test_an_answer_that_is_no_result(case: Case, stdout: object, reason: str) -> None:
    error = await case.failing_add(stdout=stdout)
    assert isinstance(error, ResultError)
    assert str(error).startswith('plugin type="bad" failed (add): ')
    assert reason in str(error)


@any_loop
@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(b"null", id="237-null"),
        pytest.param(b"{}", id="236-empty"),
        # Item 220: libcni only looks at the exit status.
        pytest.param({"cniVersion": "1.1.0", "code": 7, "msg": "no"}, id="220-error-object"),
    ],
)
async def test_items_220_and_237_what_is_an_empty_result_all_the_same(
    case: Case, stdout: object
) -> None:
    case.when("ADD", stdout=stdout)
    result = await case.cni.add_network_list(NET, RT)
    assert as_dict(result) == {"cniVersion": "1.1.0"}
    await case.cni.check_network_list(NET, RT)
    assert case.recorder.calls("CHECK")[0].config["prevResult"] == {"cniVersion": "1.1.0"}


@any_loop
@pytest.mark.parametrize("stdout", [b"garbage", b"null", {"code": 7, "msg": "no"}])
async def test_items_220_and_242_what_others_than_add_print_does_not_matter(
    case: Case, stdout: object
) -> None:
    case.when("CHECK", "DEL", "GC", "STATUS", stdout=stdout)
    await case.cni.add_network_list(NET, RT)
    await case.cni.check_network_list(NET, RT)
    await case.cni.get_status_network_list(NET)
    await case.cni.gc_network_list(NET, GCArgs())
    await case.cni.del_network_list(NET, RT)
    assert await case.cni.get_cached_attachments() == []


@any_loop
@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (b"", "unexpected end of JSON input"),
        (b"garbage", "invalid character 'g' looking for beginning of value"),
        (b"null", "missing field cniVersion"),
        ({"code": 7, "msg": "no"}, "missing field cniVersion"),
        ({"cniVersion": "1.0.0"}, "missing field supportedVersions"),
    ],
    ids=["nothing", "garbage", "null", "error-object", "no-versions"],
)
async def test_items_150_to_152_a_bad_answer_to_version(
    case: Case, stdout: object, reason: str
) -> None:
    case.when("VERSION", stdout=stdout)
    with pytest.raises(VersionError) as caught:
        await case.cni.get_version_info("bad")
    assert str(caught.value) == f"decoding version info: {reason}"
    assert await failing(case.cni.validate_network_list(NET)) == f"[{caught.value}]"


@any_loop
async def test_a_huge_answer(case: Case) -> None:
    error = await case.failing_add(stdout=b" " * (17 * 1024 * 1024))
    assert isinstance(error, OutputLimitError)
    assert "it printed more than 16777216 bytes" in str(error)
    assert (error.plugin, error.command) == ("bad", "ADD")


@any_loop
async def test_a_big_answer_that_is_still_allowed(case: Case) -> None:
    routes = [{"dst": f"10.{a}.{b}.0/24"} for a in range(20) for b in range(200)]
    answer = {"cniVersion": "1.1.0", "routes": routes}
    case.when("ADD", stdout=answer)
    assert as_dict(await case.cni.add_network_list(NET, RT)) == answer
    await case.cni.check_network_list(NET, RT)
    assert case.recorder.calls("CHECK")[0].config["prevResult"] == answer


@any_loop
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed"), (signal.SIGTERM, "terminated")]
)
async def test_item_212_a_plugin_killed_by_a_signal(
    case: Case, number: signal.Signals, words: str
) -> None:
    error = await case.failing_add(signal=int(number))
    assert isinstance(error, PluginError)
    assert str(error) == f'plugin type="bad" failed (add): {NO_MESSAGE}signal: {words}'
    assert (error.signal, error.exit_code, error.code) == (number, None, 0)
    case.recorder.forget()
    # A half-done ADD can be undone.
    await case.cni.del_network_list(NET, RT)
    assert case.recorder.order() == ["bad DEL", "good DEL"]


@any_loop
@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        pytest.param(
            {"stdout": {"code": 7, "msg": "no", "details": "way"}}, "no; way", 7, id="210-object"
        ),
        pytest.param({"stdout": b""}, f"{NO_MESSAGE}exit status 3", 0, id="212-nothing"),
        pytest.param(
            {"stdout": b"", "stderr": 'a "b"'}, 'netplugin failed: "a \\"b\\""', 0, id="213-stderr"
        ),
        pytest.param(
            {"stdout": b"oops"},
            'netplugin failed but error parsing its diagnostic message "oops": '
            "invalid character 'o' looking for beginning of value",
            0,
            id="214-garbage",
        ),
        pytest.param({"stdout": b"null"}, f"{NO_MESSAGE}exit status 3", 0, id="216-null"),
    ],
)
async def test_a_plugin_that_fails(
    case: Case, answer: dict[str, Any], words: str, code: int
) -> None:
    error = await case.failing_add(exit_code=3, **answer)
    assert isinstance(error, PluginError)
    assert str(error) == f'plugin type="bad" failed (add): {words}'
    assert (error.code, error.exit_code, error.signal) == (code, 3, None)
    assert (error.plugin, error.command) == ("bad", "ADD")
    assert error.stderr == answer.get("stderr", "")

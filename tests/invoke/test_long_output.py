"""Megabytes of a plugin's output: how long reading takes, and how much an error repeats."""

from __future__ import annotations

import codecs
import json
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import given, strategies as st

from cni_async.errors import IncompatibleVersionError, PluginError, ResultError, VersionError
from cni_async.go import json as go_json
from cni_async.go.quote import LONGEST, quote, shorten
from cni_async.invoke import (
    DefaultExec,
    RawExec,
    answer as answer_module,
    exec_plugin_with_result,
    failure as failure_module,
    get_version_info,
)
from cni_async.invoke.environ import Args
from tests.support.scripts import Scripts
from tests.support.wait import processor_seconds

MIB = 1024 * 1024
REQUEST = b'{"cniVersion": "1.0.0", "name": "mynet", "type": "bridge"}'
# The most that an error's text has: the shortened output and the words around it.
MOST = LONGEST * 6 + 1000


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def printing(scripts: Scripts, stdout: bytes, code: int = 0, stderr: bytes = b"") -> str:
    (scripts.folder / "stdout").write_bytes(stdout)
    (scripts.folder / "stderr").write_bytes(stderr)
    folder = scripts.folder
    return scripts.sh(f"cat '{folder}/stdout'; cat '{folder}/stderr' >&2; exit {code}", "bridge")


def as_go(data: bytes) -> str:
    """Decode byte by byte, as Go does."""
    text = ""
    while data:
        for size in range(1, 5):
            try:
                char = data[:size].decode()
            except UnicodeDecodeError:
                continue
            if len(char) == 1:
                break
        else:
            char, size = "\ufffd", 1
        text += char
        data = data[size:]
    return text


@given(
    st.lists(
        st.sampled_from(
            [
                b"a",
                b"?",
                b"b",
                b"\x01",
                b"\xff",
                b"\xe2",
                b"\x82",
                b"\xac",
                b"\xf0\x9f",
                b"\x98\x80",
                b"\xee\x80\x80",
            ]
        )
    ).map(b"".join)
    | st.binary()
)
def test_what_is_no_utf_8(data: bytes) -> None:
    assert go_json._decode(data) == as_go(data)
    # Add all characters that the decoder uses as temporary marks.
    data += go_json._MARKS.encode()
    assert go_json._decode(data) == as_go(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff" * (MIB // 8), id="one-kind"),
        pytest.param(b"\xffa" * (MIB // 16), id="alternating"),
        pytest.param(b"\xe2\x82" * (MIB // 16), id="cut-off"),
        pytest.param(random.Random(1).randbytes(MIB // 8), id="random"),
        pytest.param(b"?\x01\xff" * (MIB // 24), id="in-the-way"),
    ],
)
def test_decoding_takes_no_time_for_each_byte(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is faster than with an error handler that is called for each invalid byte."""

    def refuse() -> None:
        with pytest.raises(go_json.JSONError):
            go_json.loads(data)

    fast = processor_seconds(refuse)
    codecs.register_error("cni-async-tests", lambda error: ("\ufffd", cast("Any", error).start + 1))
    monkeypatch.setattr(go_json, "_decode", lambda data: data.decode("utf-8", "cni-async-tests"))
    assert 1.2 * fast < processor_seconds(refuse)


@pytest.mark.parametrize("char", ["x", "é", "\n", "\udcff", '"'])
def test_long_quotes(char: str) -> None:
    assert quote(char * LONGEST) == f'"{quote(char)[1:-1] * LONGEST}"'
    longer = char * (LONGEST + 1)
    assert quote(longer) == f"{quote(char * LONGEST)}... ({LONGEST + 1} characters)"
    assert quote(b"\xff" * (LONGEST + 1)).endswith(f"... ({LONGEST + 1} bytes)")
    assert shorten(char * LONGEST) == char * LONGEST
    assert shorten(longer) == f"{char * LONGEST}... ({LONGEST + 1} characters)"


LONG = "x" * 4 * MIB


@pytest.mark.anyio
@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(LONG.encode(), id="garbage"),
        pytest.param(b"\xff" * 4 * MIB, id="no-utf-8"),
        pytest.param(json.dumps({"cniVersion": LONG}).encode(), id="version"),
        pytest.param(
            json.dumps({"cniVersion": "1.0.0", "ips": [{"address": LONG}]}).encode(), id="address"
        ),
        pytest.param(
            json.dumps({"cniVersion": "1.0.0", "interfaces": [{LONG: 1}], "ips": LONG}).encode(),
            id="type",
        ),
        pytest.param(b'{"cniVersion": "1.0.0", "x": 1%be9}' % (b"0" * 4 * MIB), id="number"),
    ],
)
async def test_an_answer_that_is_no_result(scripts: Scripts, stdout: bytes) -> None:
    """The error is shorter than the answer, whatever the mistake is."""
    path = printing(scripts, stdout)
    with pytest.raises(ResultError) as caught:
        await exec_plugin_with_result(path, REQUEST, Args(command="ADD"), DefaultExec())
    assert 0 < len(str(caught.value)) <= MOST
    assert len(caught.value.stdout) <= LONGEST


@pytest.mark.anyio
@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(LONG.encode(), id="garbage"),
        pytest.param(
            json.dumps({"cniVersion": "1.0.0", "supportedVersions": LONG}).encode(), id="type"
        ),
    ],
)
async def test_an_answer_to_version(scripts: Scripts, stdout: bytes) -> None:
    path = printing(scripts, stdout)
    with pytest.raises(VersionError) as caught:
        await get_version_info(path, DefaultExec())
    assert len(str(caught.value)) <= MOST


def test_errors_about_versions() -> None:
    assert len(str(VersionError(LONG))) <= MOST
    assert len(str(IncompatibleVersionError("1.0.0", ["9" * 10] * (MIB // 16)))) <= MOST


@pytest.mark.anyio
async def test_a_failure_with_much_stderr(scripts: Scripts) -> None:
    path = printing(scripts, b"", 1, b"\xff" * 4 * MIB)
    with pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(path, b"", None)
    assert len(str(caught.value)) <= MOST
    assert str(caught.value).endswith(f"... ({4 * MIB} bytes)")


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "is_long"), [(100, False), (MIB, True)])
async def test_what_is_long_is_read_in_a_thread(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, size: int, is_long: bool
) -> None:
    """An error object or a result is read in a thread if it is long."""
    threads: list[threading.Thread] = []
    real: Any = go_json._load_slowly

    def load(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread())
        return real(*args, **kwargs)

    monkeypatch.setattr(go_json, "_load_slowly", load)
    document = {"code": 11, "msg": "x" * size, "cniVersion": "1.0.0"}
    with pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(printing(scripts, json.dumps(document).encode(), 1), b"", None)
    assert caught.value.code == 11
    path = printing(scripts, json.dumps(document).encode() + b"\xff")
    with pytest.raises(ResultError):
        await exec_plugin_with_result(path, REQUEST, Args(command="ADD"), DefaultExec())
    assert len(threads) >= 2
    assert all((thread is not threading.current_thread()) == is_long for thread in threads)


@pytest.mark.anyio
async def test_no_thread_to_read_in(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*args: Any, **kwargs: Any) -> None:
        raise OSError("no thread")

    monkeypatch.setattr(answer_module, "in_thread", no_thread)
    document = json.dumps({"code": 11, "msg": "x" * MIB}).encode()
    with anyio.fail_after(30), pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(printing(scripts, document, 1), b"", None)
    assert caught.value.code == 11


# An error object among other output


UNPARSABLE = "netplugin failed but error parsing its diagnostic message "
OBJECT = '{"code": 11, "msg": "busy", "details": "wait"}'


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("stdout", "code"),
    [
        pytest.param(f"starting\n{OBJECT}", 11, id="log"),
        pytest.param(f"{{starting}} {{}} {{'a': 1}}\n{OBJECT}\n", 11, id="log-with-braces"),
        pytest.param(f'{{"cniVersion": "1.0.0", "ips": []}}{OBJECT}', 11, id="result"),
        pytest.param(f"{OBJECT}\nbye\n", 11, id="before-a-log"),
        pytest.param(f'{OBJECT}\n{{"level": "info", "msg": "bye"}}\n', 11, id="before-a-json-log"),
        pytest.param(f'{{"code": 7, "msg": "a"}}\n{OBJECT}', 11, id="the-last-one"),
        pytest.param(f"{json.dumps(json.loads(OBJECT), indent=4)} x", 11, id="over-lines"),
        pytest.param("log\n" * 100000 + OBJECT, 11, id="after-much"),
        pytest.param(f'log\n{{"error": {OBJECT}}}', 0, id="within-another"),
        pytest.param('log\n{"code": "x"}', 0, id="odd-code"),
        pytest.param('log\n{"msg": "m"}', 0, id="no-code"),
        pytest.param(f"log\n{OBJECT[:-1]}", 0, id="cut-off"),
        pytest.param("log " + '{"a":' * 20000, 0, id="deep"),
        pytest.param("log " + '{"' * 30000, 0, id="no-objects"),
    ],
)
async def test_an_error_object_among_other_output(scripts: Scripts, stdout: str, code: int) -> None:
    """The text is libcni's, but the code and `retryable` are known."""
    with anyio.fail_after(30), pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(printing(scripts, stdout.encode(), 3), b"", None)
    error = caught.value
    assert str(error).startswith(f"{UNPARSABLE}{quote(stdout.encode())}: ")
    assert (error.code, error.retryable, error.details, error.exit_code) == (
        code,
        code == 11,
        "",
        3,
    )
    notes = getattr(error, "__notes__", [])
    if code:
        assert notes == [f"the plugin's error object: {OBJECT}"]


def test_looking_for_it_takes_no_time() -> None:
    def look() -> None:
        assert failure_module._last_error_object(b'{"":' * 10**6) is None

    assert processor_seconds(look) < 3


# An answer that is not a result


@pytest.mark.anyio
async def test_what_is_told_of_it(scripts: Scripts) -> None:
    path = printing(scripts, b"garb\xffage", 0, b"why\xff\n")
    with pytest.raises(ResultError) as caught:
        await exec_plugin_with_result(path, REQUEST, Args(command="ADD"), DefaultExec())
    error = caught.value
    assert str(error).startswith("failed to unmarshal raw result: invalid character 'g'")
    assert (error.plugin, error.command, error.exit_code) == ("bridge", "ADD", 0)
    assert (error.stdout, error.stderr) == ("garb\ufffdage", "why\ufffd\n")


@pytest.mark.anyio
async def test_an_exec_that_tells_no_stderr(scripts: Scripts) -> None:
    class Own(DefaultExec):
        async def exec_plugin(
            self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
        ) -> bytes:
            return b"garbage"

    with pytest.raises(ResultError) as caught:
        await exec_plugin_with_result("/bin/bridge", REQUEST, Args(command="ADD"), Own())
    error = caught.value
    assert (error.plugin, error.command, error.exit_code) == ("bridge", "ADD", 0)
    assert (error.stdout, error.stderr) == ("garbage", "")


def test_a_result_of_no_plugin() -> None:
    error = ResultError("wrong")
    assert (error.plugin, error.command, error.exit_code) == ("", "", None)
    assert (error.stdout, error.stderr) == ("", "")

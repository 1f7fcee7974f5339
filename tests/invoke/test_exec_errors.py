"""From the failure of a plugin to the error.

The tests cover section T of docs/maintainers/conformance.md;
their names or ids contain the numbers.

All tests use real processes. A comment says where a text differs from libcni's.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from cni_async.errors import ErrorCode, OutputLimitError, PluginError, PluginTimeoutError
from cni_async.go.quote import quote
from cni_async.invoke import RawExec
from cni_async.invoke.failure import start_error
from tests.support.recorder import Answer, Recorder
from tests.support.scripts import Scripts, skip_on

pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

NO_MESSAGE = "netplugin failed with no error message: "
UNPARSABLE = "netplugin failed but error parsing its diagnostic message "


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


async def failure(path: str, environ: Mapping[str, str] | None = None) -> PluginError:
    """Run a plugin that fails; return the error."""
    with anyio.fail_after(20), pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(path, b"{}", environ)
    # 221: every failure is a types.Error without a more specific type.
    assert type(caught.value) is PluginError
    return caught.value


def printing(
    scripts: Scripts, stdout: str | bytes, stderr: str | bytes = b"", code: int = 1
) -> str:
    """Return a plugin that prints the given output and exits."""
    for name, output in (("stdout", stdout), ("stderr", stderr)):
        data = output.encode() if isinstance(output, str) else output
        (scripts.folder / name).write_bytes(data)
    folder = scripts.folder
    return scripts.sh(f"cat '{folder}/stdout'; cat '{folder}/stderr' >&2; exit {code}")


# The error object


@pytest.mark.parametrize(
    ("stdout", "text", "code", "msg", "details"),
    [
        pytest.param(
            '{"cniVersion": "1.0.0", "code": 7, "msg": "bad", "details": "worse"}',
            "bad; worse",
            7,
            "bad",
            "worse",
            id="210-211-whole",
        ),
        pytest.param('{"code": 100, "msg": "bad"}', "bad", 100, "bad", "", id="211-no-details"),
        pytest.param('{"msg": "", "details": "d"}', "; d", 0, "", "d", id="211-only-details"),
        pytest.param('{"msg": "bad"}\n \t\r\n', "bad", 0, "bad", "", id="210-trailing-space"),
        pytest.param('{"msg": "é\\u0000\\n"}', "é\0\n", 0, "é\0\n", "", id="211-unquoted"),
        pytest.param(
            '{"CODE": 7, "Msg": "bad", "DETAILS": "d"}', "bad; d", 7, "bad", "d", id="219-case"
        ),
        pytest.param('{"msg": "a", "MSG": "b"}', "b", 0, "b", "", id="219-last-wins"),
        pytest.param('{"msg": "bad", "code": null}', "bad", 0, "bad", "", id="219-code-null"),
        pytest.param('{"msg": "bad", "details": null}', "bad", 0, "bad", "", id="219-details-null"),
        pytest.param('{"msg": "bad", "cniVersion": 5}', "bad", 0, "bad", "", id="219-cniVersion"),
        pytest.param('{"msg": "bad", "more": [{}]}', "bad", 0, "bad", "", id="219-unknown-key"),
        pytest.param('{"msg": "bad", "code": 4294967296}', "bad", 2**32, "bad", "", id="210-uint"),
        # libcni loses the message because of the code. We keep it, and the code if it is usable.
        pytest.param('{"msg": "bad", "code": -1}', "bad", 0, "bad", "", id="218-negative"),
        pytest.param(
            f'{{"msg": "bad", "code": {2**64 - 1}}}',
            "bad",
            2**64 - 1,
            "bad",
            "",
            id="210-last-uint",
        ),
        pytest.param('{"msg": "bad", "code": 1e20}', "bad", 0, "bad", "", id="218-no-uint"),
        pytest.param(f'{{"msg": "bad", "code": {2**64}}}', "bad", 0, "bad", "", id="218-beyond"),
        pytest.param('{"msg": "bad", "code": "7"}', "bad", 7, "bad", "", id="218-string"),
        pytest.param('{"msg": "bad", "code": "x"}', "bad", 0, "bad", "", id="218-word"),
        pytest.param('{"msg": "bad", "code": 7.0}', "bad", 7, "bad", "", id="218-float"),
        pytest.param('{"msg": "bad", "code": 7.5}', "bad", 0, "bad", "", id="218-fraction"),
        pytest.param('{"msg": "bad", "code": true}', "bad", 0, "bad", "", id="218-boolean"),
        pytest.param('{"msg": "bad", "code": [7]}', "bad", 0, "bad", "", id="218-array"),
    ],
)
async def test_error_object(
    scripts: Scripts, stdout: str, text: str, code: int, msg: str, details: str
) -> None:
    error = await failure(printing(scripts, stdout, "not this", 4))
    assert str(error) == text
    assert (error.code, error.msg, error.details) == (code, msg, details)
    assert (error.exit_code, error.signal, error.stderr) == (4, None, "not this")


@pytest.mark.parametrize("code", [0, 1, 7, 11, 50, 51, 99, 100, 999])
async def test_retryable(scripts: Scripts, code: int) -> None:
    error = await failure(printing(scripts, f'{{"code": {code}, "msg": "m"}}'))
    assert error.code == code
    assert error.retryable is (code in {11, 50, 51})
    if code == 11:
        assert error.code is ErrorCode.TRY_AGAIN_LATER


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        ("nonsense", "invalid character "),
        ("Error: boom\n", "invalid character 'E' looking for beginning of value"),
        ("\n", "unexpected end of JSON input"),
        ('{"msg": "ba', "unexpected end of JSON input"),
        ('{"msg": "bad"} {}', "invalid character '{' after top-level value"),
        ('{"msg": "bad"}x', "invalid character 'x' after top-level value"),
        (b"\xff\x00", "invalid character "),
        ("[]", "it is of type array, not object"),
        ('"bad"', "it is of type string, not object"),
        ("5", "it is of type number, not object"),
        ('{"msg": 5}', "msg is of type number, not string"),
        ('{"msg": "m", "details": {}}', "details is of type object, not string"),
    ],
)
async def test_item_214_unparsable(scripts: Scripts, stdout: str | bytes, reason: str) -> None:
    """The reason is in our decoder's words; libcni's names Go types."""
    error = await failure(printing(scripts, stdout, "kept", 2))
    assert str(error).startswith(f"{UNPARSABLE}{quote(stdout)}: {reason}")
    assert (error.code, error.details, error.exit_code, error.stderr) == (0, "", 2, "kept")
    assert not error.retryable


async def test_item_214_long_and_unparsable(scripts: Scripts) -> None:
    """The quote in the error is cut off; libcni quotes all of the output."""
    error = await failure(printing(scripts, b"x" * 10**7))
    quoted = f'"{"x" * 65536}"... (10000000 bytes)'
    assert str(error) == (
        f"{UNPARSABLE}{quoted}: invalid character 'x' looking for beginning of value"
    )


# Failures without an error object


@pytest.mark.parametrize("stdout", ["", "null", "{}", '{"msg": ""}', '{"msg": null, "x": 1}'])
@pytest.mark.parametrize(
    ("stderr", "text"),
    [
        pytest.param("", f"{NO_MESSAGE}exit status 3", id="212"),
        pytest.param("panic: oh", 'netplugin failed: "panic: oh"', id="213"),
        pytest.param(
            'a "quoted"\n\tline\\ \u00e9\u2028',
            'netplugin failed: "a \\"quoted\\"\\n\\tline\\\\ \u00e9\\u2028"',
            id="213-quoted",
        ),
        pytest.param(b"\x00\x7f\xff", r'netplugin failed: "\x00\x7f\xff"', id="213-bytes"),
    ],
)
async def test_item_216_no_words_on_stdout(
    scripts: Scripts, stdout: str, stderr: str | bytes, text: str
) -> None:
    """Items 212 and 213, and an empty object on stdout, for which libcni's text is empty."""
    error = await failure(printing(scripts, stdout, stderr, 3))
    assert str(error) == text
    assert error.msg == text
    assert error.args == (text,)
    assert (error.code, error.details, error.exit_code, error.signal) == (0, "", 3, None)


async def test_item_216_a_code_without_words(scripts: Scripts) -> None:
    """The code is kept, as in libcni."""
    error = await failure(printing(scripts, '{"code": 11}', "", 3))
    assert str(error) == f"{NO_MESSAGE}exit status 3"
    assert error.code is ErrorCode.TRY_AGAIN_LATER
    assert error.retryable


async def test_item_212_signal(recorder: Recorder) -> None:
    path = recorder.plugin("bridge", {"ADD": Answer(signal=int(signal.SIGKILL))})
    error = await failure(str(path), {**os.environ, "CNI_COMMAND": "ADD"})
    assert str(error) == f"{NO_MESSAGE}signal: killed"
    assert (error.exit_code, error.signal, error.code) == (None, 9, 0)


async def test_item_217_stderr_of_a_failure_is_kept(recorder: Recorder) -> None:
    """The error keeps stderr although there is an error object; libcni loses stderr."""
    answer = Answer(stdout={"code": 7, "msg": "no"}, stderr="why\n", exit_code=1)
    path = recorder.plugin("bridge", {"ADD": answer})
    error = await failure(str(path), {**os.environ, "CNI_COMMAND": "ADD"})
    assert (str(error), error.stderr) == ("no", "why\n")


async def test_item_220_error_object_of_a_success(scripts: Scripts) -> None:
    path = printing(scripts, '{"code": 7, "msg": "no"}', "", 0)
    assert await RawExec().exec_plugin(path, b"", None) == b'{"code": 7, "msg": "no"}'


# Plugins that cannot be started


def missing(scripts: Scripts) -> str:
    return str(scripts.folder / "missing")


def not_executable(scripts: Scripts) -> str:
    path = scripts.sh("echo ran")
    os.chmod(path, 0o644)
    return path


def directory(scripts: Scripts) -> str:
    path = scripts.folder / "directory"
    path.mkdir()
    return str(path)


def bad_interpreter(scripts: Scripts) -> str:
    path = Path(scripts.sh("exit"))
    path.write_text("#!/no/such/interpreter\n")
    return str(path)


def garbage(scripts: Scripts) -> str:
    path = Path(scripts.sh("exit"))
    path.write_bytes(b"echo this is no program\n")
    return str(path)


def foreign(scripts: Scripts) -> str:
    """Make an executable for a processor that does not exist."""
    path = Path(scripts.sh("exit"))
    with open(os.path.realpath(sys.executable), "rb") as file:
        header = bytearray(file.read(4096))
    header[18:20] = b"\xff\xff"
    path.write_bytes(header)
    return str(path)


def empty(scripts: Scripts) -> str:
    path = Path(scripts.sh("exit"))
    path.write_bytes(b"")
    return str(path)


def below_a_file(scripts: Scripts) -> str:
    return scripts.sh("exit") + "/plugin"


def circle(scripts: Scripts) -> str:
    path = scripts.folder / "circle"
    path.symlink_to(path)
    return str(path)


def long_name(scripts: Scripts) -> str:
    return str(scripts.folder / ("x" * 300))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (missing, "no such file or directory"),
        (bad_interpreter, "no such file or directory"),
        (not_executable, "permission denied"),
        (directory, "permission denied"),
        (garbage, "exec format error"),
        (foreign, "exec format error"),
        (empty, "exec format error"),
        (below_a_file, "not a directory"),
        (circle, "too many levels of symbolic links"),
        (long_name, "file name too long"),
    ],
)
async def test_item_215_cannot_start(scripts: Scripts, make: Any, reason: str) -> None:
    if make is foreign:
        skip_on("uvloop", "uvloop has /bin/sh try programs of other machines", "anyio")
    path = make(scripts)
    error = await failure(path, {"CNI_COMMAND": "CHECK"})
    assert str(error) == f"{NO_MESSAGE}fork/exec {path}: {reason}"
    assert isinstance(error.__cause__, OSError)
    assert (error.plugin, error.command) == (os.path.basename(path), "CHECK")
    assert (error.code, error.exit_code, error.signal, error.stderr) == (0, None, None, "")
    assert not error.retryable


@pytest.mark.parametrize("environ", [{"CNI_ARGS": "A=b\0C=d"}, {"CNI\0_ARGS": "A=b"}])
async def test_item_215_nul_in_the_environment(scripts: Scripts, environ: dict[str, str]) -> None:
    """The variable is not cut off at the NUL: nothing runs."""
    path = scripts.sh(f"env > {scripts.folder}/log")
    error = await failure(path, environ)
    assert str(error) == f"{NO_MESSAGE}exec: environment variable contains NUL"
    assert not error.retryable
    assert not (scripts.folder / "log").exists()


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"A=B": "c"}, "illegal environment variable name"),
        ({"A": "\ud800"}, "'utf-8' codec can't encode character"),
    ],
)
async def test_impossible_environment(scripts: Scripts, environ: dict[str, str], text: str) -> None:
    """A Go program could not have such an environment in the first place."""
    error = await failure(scripts.sh("exit"), environ)
    assert str(error).startswith(f"{NO_MESSAGE}exec: {text}")


async def test_nul_in_the_path(scripts: Scripts) -> None:
    """The path is not cut off at the NUL: nothing runs."""
    path = scripts.sh(f"touch {scripts.folder}/log")
    error = await failure(f"{path}\0x")
    assert str(error) == f"{NO_MESSAGE}exec: embedded null byte"
    assert not (scripts.folder / "log").exists()


async def test_too_much_environment(scripts: Scripts) -> None:
    path = scripts.sh("exit")
    error = await failure(path, {"A": "x" * 10**7})
    assert str(error) == f"{NO_MESSAGE}fork/exec {path}: argument list too long"


@pytest.mark.parametrize(
    ("number", "text", "retryable"),
    [
        (errno.EAGAIN, "resource temporarily unavailable", True),
        (errno.ENOMEM, "cannot allocate memory", True),
        (errno.EMFILE, "too many open files", True),
        (errno.ENFILE, "too many open files in system", True),
        (errno.ETXTBSY, "text file busy", True),
        (errno.EIO, "input/output error", False),
        (errno.EPERM, "operation not permitted", False),
        (errno.EREMOTEIO, "remote I/O error", False),
        (errno.ENOCSI, "no CSI structure available", False),
    ],
)
def test_item_215_in_go_s_words(number: int, text: str, retryable: bool) -> None:
    error = start_error("/p", OSError(number, "whatever"))
    assert str(error) == f"{NO_MESSAGE}fork/exec /p: {text}"
    assert error.retryable is retryable


def test_no_errno() -> None:
    assert str(start_error("/p", OSError("odd"))) == f"{NO_MESSAGE}exec: odd"


# Attributes


@pytest.mark.parametrize("environ", [{"CNI_COMMAND": "GC"}, {}])
async def test_plugin_and_command(scripts: Scripts, environ: dict[str, str]) -> None:
    error = await failure(scripts.sh("exit 1", "host-local"), environ)
    assert error.plugin == "host-local"
    assert error.command == environ.get("CNI_COMMAND", "")


async def test_command_of_our_own_environment(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNI_COMMAND", "STATUS")
    assert (await failure(scripts.sh("exit 1"))).command == "STATUS"


async def test_item_221_our_own_endings_are_plugin_errors(scripts: Scripts) -> None:
    with pytest.raises(PluginError) as caught:
        await RawExec(timeout=0.1).exec_plugin(scripts.sh("exec sleep 60"), b"", None)
    assert type(caught.value) is PluginTimeoutError
    with pytest.raises(PluginError) as caught:
        await RawExec(max_output=1).exec_plugin(scripts.sh("echo {}"), b"", None)
    assert type(caught.value) is OutputLimitError


@pytest.mark.parametrize("bounds", [{"timeout": 0}, {"timeout": float("nan")}, {"grace": -1}])
def test_senseless_bounds(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bounds))):
        RawExec(timeout=bounds.get("timeout"), grace=bounds.get("grace", 1))

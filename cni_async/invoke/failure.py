"""Turn the end of a process into the error that libcni would report (invoke.RawExec)."""

import errno
import json
import os
import re
import signal
from typing import Any, Final

from cni_async.errors import PluginError
from cni_async.go import json as go_json
from cni_async.go.quote import quote, shorten

from .process import UntrackedError
from .unstartable import explain

_UNPARSABLE: Final = "netplugin failed but error parsing its diagnostic message "
_UINT: Final = range(2**64)
# The last bytes of other output that are searched for an error object, and how many failures to
# read one end the search.
_SEARCHED_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 100
_OBJECT: Final = re.compile(r'\{\s*"')
_FIELDS: Final = {"code": "code", "msg": "msg", "details": "details"}
_FIRST_REAL_TIME: Final = 32
# The lack of a resource that may be available again in a moment.
_TRANSIENT: Final = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY}
)
# Only execve fails with these, so there is no process. Not EMFILE, EAGAIN or ENOMEM: asyncio needs
# a descriptor, or a thread, when the process already exists.
_REFUSED: Final = frozenset(
    {
        errno.E2BIG,
        errno.EACCES,
        errno.EISDIR,
        errno.ELIBBAD,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.ETXTBSY,
    }
)


def describe_status(returncode: int) -> str:
    """Return how a process ended, in Go's words: ``exit status 3``, ``signal: killed``.

    Args:
        returncode: the exit code, or the negated signal number.
    """
    if returncode >= 0:
        return f"exit status {returncode}"
    number = -returncode
    # Go has no names for real-time signals.
    name = signal.strsignal(number) if number < _FIRST_REAL_TIME else None
    return f"signal: {_as_go_has_it(name) if name else f'signal {number}'}"


def start_error(path: str, error: OSError | ValueError) -> PluginError:
    """Return the error of a plugin that could not be started; a note explains a known cause."""
    note = ""
    if isinstance(error, OSError) and error.errno is not None:
        reason = f"fork/exec {path}: {_as_go_has_it(os.strerror(error.errno))}"
        retryable = error.errno in _TRANSIENT
        note = "; ".join(getattr(error, "__notes__", ())) or explain(path, error.errno)
    else:
        # subprocess refuses what no environment can hold, mostly a NUL.
        nul = "embedded null" in str(error) and "\0" not in path
        reason = f"exec: {'environment variable contains NUL' if nul else error}"
        retryable = False
    failure = PluginError(f"netplugin failed with no error message: {reason}", retryable=retryable)
    refused = isinstance(error, OSError) and error.errno in _REFUSED
    failure.started = isinstance(error, UntrackedError) or not refused
    if note:
        failure.add_note(f"{path}: {note}")
    return failure


def exit_error(returncode: int, stdout: bytes, stderr: bytes) -> PluginError:
    """Return a failed plugin's error, from its error object, else its stderr, else its status."""
    error = _reported(stdout) if stdout else None
    if error is None:
        error = PluginError()
    if not str(error):
        error.msg = _unreported(returncode, stderr)
        error.args = (error.msg,)
    error.exit_code = returncode if returncode >= 0 else None
    error.signal = -returncode if returncode < 0 else None
    return error


def lost_error(stdout: bytes) -> PluginError:
    """Return the error of a plugin whose exit status is unknown.

    Args:
        stdout: what the plugin printed; the error includes an error object in it.
    """
    error = PluginError(
        "netplugin failed with no error message: its exit status is lost, as SIGCHLD is ignored "
        "or something else in this process waits for its children",
        retryable=True,
    )
    reported = _reported(stdout) if stdout else None
    if reported is not None and reported.msg and not reported.msg.startswith(_UNPARSABLE):
        error.code = reported.code
        error.msg += f" (it reported: {reported})"
        error.args = (error.msg,)
    return error


def _unreported(returncode: int, stderr: bytes) -> str:
    if stderr:
        return f"netplugin failed: {quote(stderr)}"
    return f"netplugin failed with no error message: {describe_status(returncode)}"


def _reported(stdout: bytes) -> PluginError | None:
    """Return the plugin's error object; `None` if it printed `null`."""
    try:
        document = go_json.loads_pairs(stdout)
    except go_json.JSONError as error:
        # This is libcni's text; libcni reads all of stdout or nothing.
        failure = PluginError(_unparsable(stdout, str(error)))
        reported = _last_error_object(stdout)
        if reported is not None:
            failure = PluginError(failure.msg, code=_code(reported["code"]))
            failure.add_note(f"the plugin's error object: {shorten(json.dumps(reported))}")
        return failure
    if document is None:
        return None
    if not isinstance(document, go_json.Pairs):
        found = go_json.kind(document)
        return PluginError(_unparsable(stdout, f"it is of type {found}, not object"))
    fields: dict[str, Any] = {}
    fault = ""
    for name, value in go_json.fields(document, _FIELDS):
        if value is None:
            continue
        if name == "code":
            fields[name] = _code(value)
        elif isinstance(value, str):
            fields[name] = value
        else:
            fault = fault or f"{name} is of type {go_json.kind(value)}, not string"
    if fault:
        # Keep the other fields: the code still shows whether to retry.
        fields["msg"] = _unparsable(stdout, fault)
    return PluginError(**fields)


def _last_error_object(stdout: bytes) -> dict[str, Any] | None:
    """Return the last JSON object with a code among other output, such as lines of a log."""
    text = stdout[-_SEARCHED_BYTES:].decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: dict[str, Any] | None = None
    attempts = _ATTEMPTS
    place = 0
    while attempts and (start := _OBJECT.search(text, place)) is not None:
        try:
            # Read each object as a whole, so that an object within it is not taken for the error.
            document, place = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            attempts -= 1
            place = start.start() + 1
            continue
        if go_json.is_object(document) and "code" in document:
            found = document
    return found


def _code(value: object) -> int:
    """Return a code, or 0 for an invalid one: the message must not be lost over it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        code = int(value) if isinstance(value, int | str) and value is not True else 0
    except ValueError:
        return 0
    return code if code in _UINT else 0


def _unparsable(stdout: bytes, reason: str) -> str:
    return f"{_UNPARSABLE}{quote(stdout)}: {reason}"


def _as_go_has_it(text: str) -> str:
    """Return Go's spelling: "Killed" becomes "killed", "CPU time limit exceeded" stays."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text

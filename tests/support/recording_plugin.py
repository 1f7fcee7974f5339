"""A CNI plugin that follows a script and records each call; `Recorder` installs and steers it.

It is a real executable that does not import `cni_async`. A test run starts it some thousand times,
so it imports slow modules only where it needs them: with `json`, `signal` and `typing` a call would
take three times as long.
"""

import _json
import marshal
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def main() -> int:
    """Record the call, and answer it as the steering file says."""
    here, name = os.path.split(os.path.abspath(__file__))
    command = os.environ.get("CNI_COMMAND", "")
    with open(f"{here}/.{name}.steering", "rb") as file:
        answer: dict[str, Any] = marshal.load(file).get(command, {})
    fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
    log = os.open(f"{here}/.calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if answer.get("ignore_sigterm"):
        _ignore_sigterm()
    grandchild = _leave_grandchild(answer["grandchild"]) if answer.get("grandchild") else 0
    stdin = sys.stdin.buffer.read() if answer.get("read_stdin", True) else None
    call = {
        "plugin": name,
        "command": command,
        "environ": dict(os.environ),
        "stdin": stdin,
        "pid": os.getpid(),
        "process_group": os.getpgrp(),
        "session": os.getsid(0),
        # The listing had a descriptor of its own: the lowest free one, which the log has now.
        "fds": sorted(fd for fd in fds if fd != log),
        "grandchild": grandchild,
        "started": time.monotonic(),
    }
    _append(log, call)
    time.sleep(answer.get("sleep", 0))
    if answer.get("signal"):
        os.kill(os.getpid(), answer["signal"])
    _write(2, answer.get("stderr") or b"")
    stdout = answer.get("stdout")
    _write(1, _default(command, stdin or b"{}") if stdout is None else stdout)
    time.sleep(answer.get("linger", 0))
    _append(log, {"pid": os.getpid(), "ended": time.monotonic()})
    return int(answer.get("exit_code", 0))


def _default(command: str, stdin: bytes) -> bytes:
    """Return the answer of a plugin that succeeds and changes nothing."""
    if command not in ("ADD", "VERSION"):
        return b""
    config = _loads(stdin)
    version = {"cniVersion": config["cniVersion"]} if config.get("cniVersion") else {}
    if command == "VERSION":
        return _dumps({**version, "supportedVersions": VERSIONS})
    return _dumps(config.get("prevResult") or version)


# This is the core of `json`: the import of `json` itself imports a dozen more modules.


def _loads(data: bytes) -> "dict[str, Any]":
    class Usual:
        strict, object_hook, object_pairs_hook, array_hook = True, None, None, None
        parse_float, parse_int, parse_constant = float, int, float

    usual: Any = Usual()
    try:
        text = data.decode().strip()
        found, end = _json.make_scanner(usual)(text, 0)
    except (StopIteration, ValueError):
        return {}
    return found if isinstance(found, dict) and end == len(text) else {}


def _dumps(value: object) -> bytes:
    quote = _json.encode_basestring_ascii
    no_default: Any = None
    encode = _json.make_encoder({}, no_default, quote, None, ": ", ", ", False, False, True)
    return "".join(encode(value, 0)).encode()


def _ignore_sigterm() -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _leave_grandchild(seconds: float) -> int:
    """Start a process that outlives this one, holds our standard files and ignores SIGTERM."""
    ready, started = os.pipe()
    child = os.fork()
    if child == 0:
        _ignore_sigterm()
        os.write(started, b".")
        time.sleep(seconds)
        os._exit(0)
    os.read(ready, 1)  # a test that reads the record of this call relies on the child's state
    os.close(ready)
    os.close(started)
    return child


def _append(log: int, entry: "dict[str, Any]") -> None:
    """Append a line in one write, so that the lines of parallel plugins do not mix."""
    os.write(log, ascii(entry).encode() + b"\n")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


if __name__ == "__main__":
    sys.exit(main())

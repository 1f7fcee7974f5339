"""The recording plugin, for tests to install, steer and examine."""

from __future__ import annotations

import ast
import functools
import json
import marshal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .wait import PATIENCE, eventually, lines

_SOURCE = Path(__file__).with_name("recording_plugin.py")
# Plugins load compiled code, because compiling the source took a quarter of a plugin's time.
_PROGRAM = """import marshal
with open(__file__.rpartition("/")[0] + "/.code", "rb") as code:
    exec(marshal.load(code))
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The behaviour of a plugin in a call, in the order of the fields."""

    ignore_sigterm: bool = False
    grandchild: float = 0
    """Seconds that a child lives which holds stdout and stderr and ignores SIGTERM."""
    read_stdin: bool = True
    sleep: float = 0
    """Seconds to wait after the call was recorded."""
    signal: int = 0
    """A signal to send to itself."""
    stderr: str | bytes | None = None
    stdout: object = None
    """Text or bytes to print as they are, or what to print as JSON; None: a successful answer."""
    linger: float = 0
    """Seconds to wait after the answer was printed."""
    exit_code: int = 0

    def steering(self) -> dict[str, Any]:
        """Return the answer in the form that the plugin reads."""
        return asdict(self) | {"stderr": _encode(self.stderr), "stdout": _encode(self.stdout)}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call, as the plugin recorded it."""

    plugin: str
    command: str
    environ: dict[str, str]
    stdin: bytes | None
    """What it was given, or None if it did not read that."""
    pid: int
    process_group: int
    session: int
    fds: list[int]
    grandchild: int
    started: float
    ended: float | None
    """When it was about to exit, or None if it was killed or still runs."""

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the plugin received."""
        config: dict[str, Any] = json.loads(self.stdin or b"{}")
        return config

    @property
    def cni_environ(self) -> dict[str, str]:
        """The variables of the CNI protocol."""
        return {
            key: value
            for key, value in self.environ.items()
            if key.startswith("CNI_") and not key.startswith("CNI_ASYNC_")  # our tests' own
        }


def _encode(output: object) -> bytes | None:
    """Return the bytes that the plugin prints."""
    if output is None or isinstance(output, bytes):
        return output
    if not isinstance(output, str):
        output = json.dumps(output)
    return output.encode("utf-8", "surrogateescape")


class Recorder:
    """A directory of plugins that follow a script and record their calls."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "plugins"
        self.folder.mkdir()
        self._log = self.folder / ".calls"

    @property
    def path(self) -> list[str]:
        """The directories for `CNIConfig`."""
        return [str(self.folder)]

    def plugin(self, name: str, answers: Mapping[str, Answer] | None = None) -> Path:
        """Install a plugin, or replace its answers; it succeeds at every command without one."""
        steering = {command: answer.steering() for command, answer in (answers or {}).items()}
        # A rename, so that a plugin that runs at this time reads the old file or the new one.
        fresh = self.folder / f".{name}.fresh"
        fresh.write_bytes(marshal.dumps(steering))
        fresh.rename(self.folder / f".{name}.steering")
        script = self.folder / name
        if not script.exists():
            if not (code := self.folder / ".code").exists():  # a plugin may be reading it
                code.write_bytes(_code())
            script.write_text(_interpreter_lines() + _PROGRAM)
            script.chmod(0o755)
        return script

    def calls(self, command: str | None = None) -> list[Call]:
        """Return all calls so far, or those of one command, in the order of their starts."""
        entries: list[dict[str, Any]] = [ast.literal_eval(line) for line in lines(self._log)]
        ends = {entry["pid"]: entry["ended"] for entry in entries if "ended" in entry}
        calls = [
            Call(**entry, ended=ends.get(entry["pid"])) for entry in entries if "started" in entry
        ]
        calls.sort(key=lambda call: call.started)
        return [call for call in calls if command in (None, call.command)]

    def order(self) -> list[str]:
        """Return the calls in order, as in ``["bridge ADD", "tuning ADD"]``."""
        return [f"{call.plugin} {call.command}" for call in self.calls()]

    def forget(self) -> None:
        """Forget all calls so far."""
        self._log.unlink(missing_ok=True)

    async def wait_for_calls(self, count: int = 1, *, timeout: float = PATIENCE) -> list[Call]:
        """Wait until at least so many calls are recorded, and return all."""
        return await eventually(self.calls, lambda calls: len(calls) >= count, within=timeout)


@functools.cache
def _code() -> bytes:
    return marshal.dumps(compile(_SOURCE.read_text(), str(_SOURCE), "exec"))


def _interpreter_lines() -> str:
    """Return the first lines of a script that this Python runs without site-packages."""
    line = f"#!{sys.executable} -IS\n"
    if len(line) < 127 and " " not in sys.executable:
        return line
    # The kernel accepts neither long paths nor spaces. Python reads the lines after it as a string.
    return f"#!/bin/sh\n'''exec' '{sys.executable}' -IS \"$0\" \"$@\"\n' '''\n"

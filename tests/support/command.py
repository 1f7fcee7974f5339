"""The command cni-async, with recording plugins and directories of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import sys
import termios
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from cni_async.cli import commands, namespaces
from cni_async.cli.group import cli as command
from tests.support.program import PIPE, Program
from tests.support.recorder import Call, Recorder
from tests.support.wait import eventually_blocking

MODULES: Final = (commands, namespaces)  # which register their commands
NETNS: Final = "/run/netns/blue"
BLUE: Final = "cnitool-df26705e2e4ffd095eb1"  # from Go's cnitool
COMMAND: Final = [sys.executable, "-m", "cni_async.cli"]


class Printed(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Cli:
    """The command, with recording plugins, and configurations and a cache of its own."""

    def __init__(
        self,
        folder: Path,
        plugins: Recorder,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.plugins = plugins
        self.networks = folder / "net.d"
        self.networks.mkdir()
        self.cache = folder / "cache"
        self.capsys = capsys
        for name in [name for name in os.environ if name.startswith(("CAP_", "CNI_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("CNI_PATH", str(plugins.folder))
        monkeypatch.setenv("NETCONFPATH", str(self.networks))

    def network(self, *types: str, name: str = "net", version: str = "1.1.0", **keys: Any) -> None:
        """Write a network of these plugins, and install the plugins."""
        plugins = [{"type": plugin_type, "capabilities": {"mac": True}} for plugin_type in types]
        document = {"cniVersion": version, "name": name, "plugins": plugins, **keys}
        (self.networks / f"{name}.conflist").write_text(json.dumps(document))
        for plugin_type in types:
            self.plugins.plugin(plugin_type)

    def arguments(self, *args: str) -> list[str]:
        """Return the arguments, with the cache directory for verbs that have a cache."""
        cached = args[0] in {"add", "check", "del", "gc", "attachments"}
        return [*args, *(["--cache-dir", str(self.cache)] if cached else [])]

    def words(self, *args: str) -> list[str]:
        """Return the command line that starts the command as a process."""
        return [*COMMAND, *self.arguments(*args)]

    def __call__(self, *args: str, cache: bool = True) -> Printed:
        """Run the command in this process; without `cache`, do not pass the cache directory."""
        with pytest.raises(SystemExit) as exited:
            command(self.arguments(*args) if cache else [*args], prog_name="cni-async")
        code = exited.value.code
        assert isinstance(code, int)
        printed = self.capsys.readouterr()
        return Printed(code, printed.out, printed.err)

    def start(self, *args: str, **options: Any) -> Program:
        """Start the command as a process."""
        pipes = {"stdout": PIPE, "stderr": PIPE}
        words = self.arguments(*args)
        return Program(*words, module="cni_async.cli", **{**pipes, **options})

    def on_terminal(self, *args: str, everything: bool = False, **environ: str) -> Printed:
        """Run the command as a process with a terminal.

        The terminal is its stdin and stdout, and with `everything` its stderr, too.
        """
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
        env = {**os.environ, "TERM": "dumb", "COLUMNS": "100", **environ}
        stderr = its if everything else PIPE
        process = self.start(*args, stdin=its, stdout=its, stderr=stderr, env=env)
        os.close(its)
        out = b""
        try:
            while data := os.read(ours, 4096):
                out += data
        except OSError:
            pass  # Linux reports with EIO that no process has the terminal open
        os.close(ours)
        _, err = process.communicate(timeout=20)
        return Printed(process.wait(), out.decode().replace("\r\n", "\n"), err or "")

    def records(self) -> list[str]:
        """Return the names of the records in the cache."""
        folder = self.cache / "results"
        return sorted(file.name for file in folder.glob("*-*")) if folder.exists() else []

    def only_call(self) -> Call:
        """Return the only call of a plugin so far."""
        [call] = self.plugins.calls()
        return call

    def wait_for(self, plugin: str, verb: str) -> Call:
        """Wait until a plugin is called with a command, and return the last such call."""
        return eventually_blocking(
            lambda: [each for each in self.plugins.calls(verb) if each.plugin == plugin]
        )[-1]

    def started_call(self) -> Call:
        """Wait until a plugin runs, and return its call."""
        eventually_blocking(self.plugins.calls)
        return self.only_call()

"""Programs that answer questions with Go's libcni."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from tests.support import go_programs
from tests.support.require import require

from .wire import Answer, Question, to_wire

_HERE: Final = Path(__file__).parent
_MODULES: Final = {
    "oracle": {"oracle": ".", "plugin": "./plugin", "recorder": "./recorder"},
    "oracle130": {"oracle130": "."},
}


class NoOracleError(Exception):
    """The programs cannot be built here."""


def programs() -> Path:
    """Return the directory with the programs, or skip the test if they cannot be built."""
    try:
        return build()
    except NoOracleError as error:
        require(False, str(error))
        raise


def build() -> Path:
    """Build the programs that are not built yet, and return their directory.

    They are ``oracle``, ``oracle130``, ``plugin`` and ``recorder``.

    Raises:
        NoOracleError: they cannot be built here.
    """
    try:
        return go_programs.build("oracle", _HERE, _MODULES)
    except go_programs.CannotBuildError as error:
        raise NoOracleError(f"no oracle, which is libcni itself: {error}") from None


class Program:
    """A running program."""

    def __init__(self, path: Path) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
        )

    def ask(self, wire: dict[str, Any]) -> dict[str, Any]:
        """Send a question, and return its answer."""
        stdin, stdout = _pipes(self._process)
        line = b""
        try:
            stdin.write(json.dumps(wire).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            self._stderr.seek(0)
            words = self._stderr.read().decode(errors="replace")
            raise RuntimeError(f"the oracle died of {wire}:\n{words[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Close the program's stdin, and wait until it ends."""
        for pipe in _pipes(self._process):
            pipe.close()
        self._process.wait(10)
        self._stderr.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


class Oracle:
    """Asks libcni v1.2.3, and v1.3.0 about functions that only v1.3.0 has.

    Attributes:
        plugin: an executable that answers as the variable CNI_ASYNC_ANSWER says.
        recorder: an executable that records its calls, see `tests.interop.bench`.
    """

    def __init__(self, folder: Path) -> None:
        self.plugin = str(folder / "plugin")
        self.recorder = str(folder / "recorder")
        self._programs = {name: Program(folder / name) for name in ("oracle", "oracle130")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for program in self._programs.values():
            program.close()

    def ask(self, op: str, **fields: Any) -> Answer:
        """Ask libcni; the type of a field decides between bytes and text."""
        return self.answer(Question(op, fields))

    def answer(self, question: Question) -> Answer:
        """Return libcni's answer to a question."""
        newer = question.op.startswith(("network_", "load_network_"))
        program = self._programs["oracle130" if newer else "oracle"]
        answer = Answer.from_wire(program.ask(self._completed(question).to_wire()))
        if answer.error is not None and answer.error.kind == "oracle":
            raise RuntimeError(f"{answer.error.text}: {question}")
        return answer

    def _completed(self, question: Question) -> Question:
        """Add the plugin to run, and its answer, to a question that needs them."""
        if question.op not in {"exec_plugin", "exec_with_result"}:
            return question
        steering = {key: question.fields.get(key) for key in ("stdout", "stderr", "code", "signal")}
        env = {"CNI_ASYNC_ANSWER": json.dumps(to_wire(steering))}
        data = question.fields.get("data", b"")
        return Question(question.op, {"text": self.plugin, "data": data, "env": env})

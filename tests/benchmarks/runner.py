"""Run each case with Go and cni_async in turn, each time in a new process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support import go_programs

from . import machine
from .cases import ROUNDS_OF_OLDER, Case, Size
from .figures import Measured
from .scratch import LeftOutError, Scratch
from .table import COLUMNS, GO, Column, Results

ROOT: Final = Path(__file__).parents[2]
_TIMEOUT: Final = 900  # seconds for one process; only a process that hangs takes that long
_PROGRAMS: Final = {"go": {"bench": ".", "plugin": "./plugin", "heartbeat": "./heartbeat"}}


@dataclass(frozen=True)
class Side:
    """A side that runs cases: Go, or a Python with an event loop."""

    name: str
    command: Sequence[str]
    column: Column | None = None
    most_rounds: int = 1000


def programs() -> Path:
    """Build the Go programs unless they are built; return their directory.

    Raises:
        CannotBuildError: Go is missing, or the build failed.
    """
    return go_programs.build("bench", Path(__file__).parent, _PROGRAMS)


class Runner:
    """Runs cases and collects their results."""

    def __init__(
        self,
        built: Path,
        scratch: Scratch,
        pythons: Sequence[str],
        backends: Sequence[str],
        starts: Sequence[str],
    ) -> None:
        """Ask all programs for their versions.

        Args:
            built: the directory of the Go programs.
            scratch: the directory to work in.
            pythons: interpreters with the package and its dependencies; the table shows costs of
                the first one only.
            backends: the event loops.
            starts: the ways to start plugins.

        Raises:
            LeftOutError: none of the event loops is installed.
        """
        self._scratch = scratch
        self._go = Side(GO, [str(built / "bench")])
        self._sides: list[Side] = []
        facts = machine.describe(scratch.path)
        facts |= self._answer(self._go, {"case": "about"})["about"]
        self._pythons: list[str] = []
        for place, python in enumerate(pythons):
            command = [python, "-m", "tests.benchmarks.ours"]
            about = self._answer(Side("", command), {"case": "about"})["about"]
            full = about.pop("Python")
            version = full.rpartition(".")[0]
            facts[f"Python {full}"] = ", ".join(map(" ".join, about.items()))
            self._pythons.append(version)
            self._sides += [
                Side(
                    column.side(version),
                    command,
                    column,
                    ROUNDS_OF_OLDER if place else Side.most_rounds,
                )
                for column in COLUMNS
                if column.spawn in starts
                and column.backend in backends
                and (column.backend == "asyncio" or column.backend in about)
            ]
        if not self._sides:
            raise LeftOutError(f"not installed: {', '.join(backends)}")
        self._machine = facts

    def run(self, cases: Iterable[Case], size: Size, rounds: int, command: str) -> Results:
        """Run cases, and return their results.

        Args:
            cases: the cases.
            size: the size of the whole.
            rounds: how often each side runs each case, at most.
            command: the command line, for the report.

        Raises:
            RuntimeError: a program failed.
        """
        results = Results(self._machine, command, size, self._pythons)
        for case in cases:
            sides = self._who_does(case)
            number = min(rounds, case.most_rounds)
            for turn in range(number):
                _say(f"{case.name} {turn + 1}/{number}")
                try:
                    # Each round reverses the order, so that no side is always the first.
                    for side in sides if turn % 2 == 0 else reversed(sides):
                        if turn < side.most_rounds:
                            self._measure(case, side, size, results)
                except LeftOutError as error:
                    if os.environ.get("CI"):
                        raise RuntimeError(f"{case.name}: {error}; in CI it has to be") from None
                    results.left_out[case.name] = str(error)
                    break
        _say("")
        return results

    def _who_does(self, case: Case) -> list[Side]:
        go = [self._go] if case.go else []
        # One event loop, or one way to start plugins, is enough if the case does not depend on it.
        first = self._sides[0].column
        assert first is not None
        return go + [
            side
            for side in self._sides
            if side.column is not None
            and (case.backends or side.column.backend == first.backend)
            and (case.starts or side.column.spawn == first.spawn)
        ]

    def _measure(self, case: Case, side: Side, size: Size, results: Results) -> None:
        cache = self._scratch.path / "cache"
        try:
            answer = self._answer(side, self._scratch.task(case, size, cache))
        finally:
            shutil.rmtree(cache, ignore_errors=True)
        for name, measured in answer["rows"].items():
            rows = results.rows.setdefault(case.rows[name].name, {})
            into = rows.setdefault(side.name, Measured([], [], [], []))
            into.values.append(measured["value"])
            into.peaks.append(answer["peak"])
            if (cpu := measured.get("cpu")) is not None:
                into.cpu.append(cpu)
            if (reference := measured.get("reference")) is not None:
                into.references.append(reference)

    def _answer(self, side: Side, task: dict[str, Any]) -> dict[str, Any]:
        done = subprocess.run(
            side.command,
            input=json.dumps({**task, **(side.column._asdict() if side.column else {})}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{side.name}: {task['case']}: {done.stderr[-4000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)

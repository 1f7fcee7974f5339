"""The soak's command runs, prints and exits as its arguments and results require."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cni_async.invoke import process
from tests.support.require import require

from . import __main__ as command, conditions, run
from .frozen import why_no_disk
from .kills import Deaths
from .tally import Tally


def test_all_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    require(not why_no_disk(), str(why_no_disk()))
    asked: list[Sequence[str]] = []

    def soak(folder: Path, *, conditions: Sequence[str], **options: Any) -> Tally:
        asked.append(conditions)
        return Tally("asyncio", 1)

    monkeypatch.setattr(run, "soak", soak)
    for what in ("all", "reaper"):
        monkeypatch.setattr("sys.argv", ["soak", "--backend", "asyncio", "--condition", what])
        assert command.main() == 0
    assert asked == [[*conditions.CONDITIONS], ["reaper"]]


@pytest.mark.parametrize("failing", ["", "uvloop"])
def test_event_loops_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], failing: str
) -> None:
    at_once = threading.Barrier(3)

    def soak(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        wanted = {"--operations=7", "--kills=0", "--condition=reaper", "--seed=3", "--spawn=posix"}
        assert wanted < {*arguments}
        at_once.wait(20)
        backend = arguments[-1].removeprefix("--backend=")
        return subprocess.CompletedProcess(arguments, backend == failing, f"soak on {backend}\n")

    monkeypatch.setattr(subprocess, "run", soak)
    monkeypatch.setattr(
        "sys.argv",
        ["soak", "--together", "--operations=7", "--condition=reaper", "--seed=3", "--spawn=posix"],
    )
    assert command.main() == (1 if failing else 0)
    assert sorted(capfd.readouterr().out.splitlines()) == [
        f"soak on {each}" for each in sorted(run.BACKENDS)
    ]


@pytest.mark.parametrize("wrong", ["", "leak", "violation", "death"])
def test_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    backends: list[str] = []

    def soak(folder: Path, *, backend: str, seed: int, **options: Any) -> Tally:
        backends.append(backend)
        tally = Tally(backend, seed)
        tally.leaked("threads", ["one"] * (wrong == "leak" and backend == "asyncio"))
        tally.violations += ["one"] * (wrong == "violation" and backend == "trio")
        return tally

    def kill_runtimes(folder: Path, plugins: Path, *, kills: int, seed: int) -> Deaths:
        assert process._usual_spawn() == "posix"
        deaths = Deaths(seed)
        deaths.leaks["addresses"] += ["one"] * (wrong == "death")
        return deaths

    monkeypatch.setattr(run, "soak", soak)
    monkeypatch.setattr(command, "kill_runtimes", kill_runtimes)
    arguments = "soak --seed 7 --kills 2 --plugins /bin --backend asyncio --backend trio"
    arguments += " --spawn posix"
    monkeypatch.setattr("sys.argv", arguments.split())
    assert command.main() == (1 if wrong else 0)
    assert backends == ["asyncio", "trio"]
    printed = capsys.readouterr().out
    assert printed.startswith("soak on asyncio: seed 7\n")
    assert "kills: seed 7" in printed
    assert process._usual_spawn() == "anyio"

"""Helpers that wait, measure time and read the output of other processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.support import wait
from tests.support.processes import is_asleep, is_running
from tests.support.scripts import Scripts
from tests.support.wait import Stopwatch, eventually, eventually_blocking, lines, note


@pytest.mark.anyio
async def test_eventually() -> None:
    seen = iter([0, 1, 2, 3])
    assert await eventually(lambda: next(seen)) == 1
    assert await eventually(lambda: next(seen), lambda number: number > 2) == 3


@pytest.mark.anyio
async def test_never() -> None:
    """The error shows the last value, and other tasks of the event loop keep running."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0.01)
        with pytest.raises(AssertionError, match=r"not in 0\.05 s; last seen: \['a'\]"):
            await eventually(lambda: ["a"], lambda found: len(found) == 2, within=0.05)


def test_without_an_event_loop() -> None:
    seen = iter([False, True])
    assert eventually_blocking(lambda: next(seen))
    with pytest.raises(AssertionError, match="last seen: None"):
        eventually_blocking(lambda: None, within=0.01)


def test_what_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert lines(file) == []
    for content, whole in {"": [], "1": [], "12\n": ["12"], "12\n3": ["12"]}.items():
        file.write_text(content)
        assert lines(file) == whole


def test_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """A concurrent reader sees a growing number of whole lines, never fewer."""
    file = tmp_path / "a file"
    script = f"for i in $(seq 200); do {note(file, '$$ $i')}; done"
    writers = [subprocess.Popen(["sh", "-c", script]) for _ in range(5)]
    expected = {f"{writer.pid} {number}" for writer in writers for number in range(1, 201)}
    count = 0
    while any(writer.poll() is None for writer in writers):
        found = lines(file)
        assert len(found) >= count
        assert expected.issuperset(found)
        count = len(found)
    assert sorted(lines(file)) == sorted(expected)


def test_a_number_of_a_script_that_is_slow(tmp_path: Path) -> None:
    scripts = Scripts(tmp_path)
    # Write a part, and the rest after a while, as an old shell's printf may do.
    path = scripts.sh(f"printf 12 >{tmp_path}/number; sleep 0.2; echo 34 >>{tmp_path}/number")
    with subprocess.Popen([path]):
        assert scripts.number("number") == 1234


@pytest.mark.anyio
async def test_those_that_are_ready(tmp_path: Path) -> None:
    scripts = Scripts(tmp_path)
    path = scripts.sh(f"{scripts.note('pid')}; exec cat")
    processes = [subprocess.Popen([path], stdin=subprocess.PIPE) for _ in range(3)]
    try:
        assert set(await scripts.numbers("pid", 3)) == {process.pid for process in processes}
    finally:
        for process in processes:
            process.communicate()


def test_a_bound_that_is_kept_and_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stalled = 100.0, 7.0
    monkeypatch.setattr("tests.support.wait.monotonic", lambda: now)
    monkeypatch.setattr(wait, "_stalled", lambda: stalled)
    watch = Stopwatch()
    now += 2
    assert watch.seconds == 2
    assert watch.within(1.5)
    assert not watch.within(1)
    stalled += 1
    assert watch.within(1)
    # A hang is noticed, however busy the machine is.
    now += 60
    stalled += 1000
    assert not watch.within(1)


def test_a_bound_of_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tests.support.wait.monotonic", lambda: now)
    monkeypatch.setattr(wait, "_stalled", lambda: 7.0)
    watch = Stopwatch()
    now += 1.5
    watch.stop()
    now += 60
    assert watch.seconds == 1.5
    assert watch.within(1)


def test_a_kernel_that_does_not_tell_how_busy_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("tests.support.wait.monotonic", lambda: now)
    monkeypatch.setattr(wait, "_stalled", lambda: None)
    watch = Stopwatch()
    now += wait.BUSY_SLACK
    assert watch.within(1)
    now += 60
    assert not watch.within(1)


def test_signals_that_are_ignored_when_tests_are_started() -> None:
    """Signals may be ignored at the start, as under nohup or in a shell script's background."""
    code = (
        "from tests.support.processes import ignore_no_signals; ignore_no_signals();"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [
            "sh",
            "-c",
            "trap '' HUP INT QUIT TERM CHLD; exec \"$@\"",
            "sh",
            sys.executable,
            "-c",
            code,
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    [ignored] = [line for line in done.stdout.splitlines() if line.startswith("SigIgn:")]
    numbers = [number for number in range(1, 65) if int(ignored.split()[1], 16) >> number - 1 & 1]
    assert signal.SIGPIPE in numbers  # Python itself ignores it
    assert not {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM} & {*numbers}
    assert signal.SIGCHLD not in numbers


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert not is_running(process.pid)
    assert not is_asleep(process.pid)

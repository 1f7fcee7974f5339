"""The command's add when it fails, is interrupted, or cannot write what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import BLUE, NETNS, Cli
from tests.support.processes import wait_until_gone
from tests.support.recorder import Answer
from tests.support.scripts import Scripts
from tests.support.wait import eventually_blocking

on_each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])

TAKEN_BACK = ["one ADD", "two ADD", "two DEL", "one DEL"]


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """Provide the command with a network "net" of two plugins."""
    cli.network("one", "two")
    return cli


def interrupt(cli: Cli, *options: str, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Interrupt an add while its second plugin runs; return its exit code and stderr."""
    process = cli.start("add", "net", NETNS, *options)
    cli.wait_for("two", "ADD")
    process.send_signal(number)
    out, err = process.communicate(timeout=50)
    assert out == ""
    return process.wait(), err


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run, in another shell, directory and environment, a line that the command printed."""
    tool = folder / "bin" / "cni-async"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m cni_async.cli \"$@\"\n")
    tool.chmod(0o755)
    environ = {
        **{key: value for key, value in os.environ.items() if key != "NETCONFPATH"},
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "CNI_PATH": "/none",
        "CNI_IFNAME": "none",
        "CNI_ARGS": "NO=NE",
        "CAP_ARGS": '{"mac": "none"}',
    }
    return subprocess.run(
        ["bash", "-c", line],
        cwd="/",
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@on_each_backend
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_add_is_taken_back(number: signal.Signals, backend: str, cli: Cli) -> None:
    cli.plugins.plugin("two", {"ADD": Answer(sleep=60, grandchild=60)})
    options = ("--backend", backend, "--grace", "0.2")
    assert interrupt(cli, *options, number=number) == (
        128 + number,
        f"interrupted ({number.name})\n",
    )
    assert cli.plugins.order() == TAKEN_BACK
    assert {call.cni_environ["CNI_CONTAINERID"] for call in cli.plugins.calls()} == {BLUE}
    assert cli.records() == []
    [add] = [call for call in cli.plugins.calls("ADD") if call.plugin == "two"]
    assert wait_until_gone(add.pid, add.grandchild)


def test_before_the_first_plugin_there_is_nothing_to_take_back(cli: Cli) -> None:
    text = "interface name contains / or : or whitespace characters"
    assert cli("add", "net", NETNS, "--ifname", "a/b") == (
        1,
        "",
        f'plugin type="one" failed (add): {text}\n',
    )
    assert not cli.cache.exists()
    assert not cli.plugins.calls()


@on_each_backend
def test_further_signals_do_not_cut_the_taking_back_short(backend: str, cli: Cli) -> None:
    folder = cli.plugins.folder
    Scripts(folder).sh(
        """
        case $CNI_COMMAND in
        ADD) echo '{"cniVersion": "1.1.0"}' ;;
        DEL)
            : >"$0.begun"
            until [ -e "$0.may-end" ]; do sleep 0.05; done
            : >"$0.ended" ;;
        esac
        """,
        "first",
    )
    cli.network("first", "two")
    cli.plugins.plugin("two", {"ADD": Answer(sleep=60)})
    process = cli.start("add", "net", NETNS, "--backend", backend, "--cleanup-timeout", "40")
    cli.wait_for("two", "ADD")
    process.send_signal(signal.SIGINT)
    eventually_blocking((folder / "first.begun").exists)
    assert process.stderr is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
        line = process.stderr.readline()
        assert line == "still taking back what was added, for up to 44 s\n"
    assert not (folder / "first.ended").exists()
    (folder / "first.may-end").touch()
    assert process.stderr.read() == "interrupted (SIGINT)\n"
    assert process.wait(20) == 130
    process.communicate()
    assert (folder / "first.ended").exists()
    assert cli.records() == []


@on_each_backend
def test_the_line_to_run_if_it_cannot_be_taken_back(backend: str, cli: Cli, tmp_path: Path) -> None:
    cli.plugins.plugin("two", {"ADD": Answer(sleep=60)})
    cli.plugins.plugin("one", {"DEL": Answer(sleep=60, ignore_sigterm=True)})
    limits = ("--backend", backend, "--grace", "0.1", "--cleanup-timeout", "0.5")
    given = {
        "--ifname": "net1",
        "--cni-args": "A=it's $(id);B=\x1b[2J",
        "--cap-args": '{"mac": "\'02\'", "undeclared": 9007199254740993}',
        "--container-id": "mine",
    }
    code, err = interrupt(cli, *limits, *(word for option in given.items() for word in option))
    assert code == 130
    failed, first, words, line = err.splitlines()
    assert failed.startswith("rollback of mine net1 failed: ")
    assert first == "interrupted (SIGINT)"
    assert words == "net: net1 of mine is not taken back. To do that:"
    assert line.isprintable()
    [attachment] = json.loads(cli("attachments").out)
    assert attachment["completed"] is False

    cli.plugins.plugin("one")
    added, *_ = cli.plugins.calls("ADD")
    cli.plugins.forget()
    done = run_line(line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert cli.plugins.order() == ["two DEL", "one DEL"]
    assert cli.records() == []
    for call in cli.plugins.calls():
        assert call.cni_environ == {**added.cni_environ, "CNI_COMMAND": "DEL"}
        assert call.config["runtimeConfig"] == {"mac": "'02'"}


@on_each_backend
def test_a_failed_add_is_taken_back(backend: str, cli: Cli) -> None:
    error = {"code": 7, "msg": "no such bridge"}
    cli.plugins.plugin("two", {"ADD": Answer(stdout=error, exit_code=1)})
    assert cli("add", "net", NETNS, "--backend", backend) == (
        1,
        "",
        'plugin type="two" failed (add): no such bridge\n',
    )
    assert cli.plugins.order() == TAKEN_BACK
    assert cli.records() == []


def test_a_failed_add_that_cannot_be_taken_back(cli: Cli, tmp_path: Path) -> None:
    refusal = Answer(stdout={"code": 7, "msg": "no"}, exit_code=1, stderr="a word\n")
    cli.plugins.plugin("two", {"ADD": refusal})
    cli.plugins.plugin("one", {"DEL": refusal})
    code, out, err = cli("add", "net", NETNS)
    assert (code, out) == (1, "")
    *lines, line = err.splitlines()
    assert lines == [
        f'rollback of {BLUE} eth0 failed: plugin type="one" failed (delete): no',
        'plugin type="two" failed (add): no',
        "  a word",
        "  a word",
        f"net: eth0 of {BLUE} is not taken back. To do that:",
    ]
    cli.plugins.plugin("one")
    assert run_line(line, tmp_path).returncode == 0
    assert cli.records() == []


@on_each_backend
def test_an_earlier_adds_attachment_is_left_alone(backend: str, cli: Cli) -> None:
    assert cli("add", "net", NETNS).code == 0
    cli.plugins.forget()
    cli.plugins.plugin("two", {"ADD": Answer(sleep=60)})
    code, err = interrupt(cli, "--backend", backend)
    assert code == 130
    first, words, line = err.splitlines()
    assert first == "interrupted (SIGINT)"
    assert words == f"net: eth0 of {BLUE} was attached before, which is left alone. To delete it:"
    assert line.startswith(f"  cni-async del net {NETNS} ")
    assert cli.plugins.order() == ["one ADD", "two ADD"]
    assert cli.records() == [f"net-{BLUE}-eth0"]


def test_a_killed_add_is_found_and_collected(cli: Cli) -> None:
    cli.plugins.plugin("two", {"ADD": Answer(sleep=60)})
    process = cli.start("add", "net", NETNS)
    call = cli.wait_for("two", "ADD")
    process.kill()
    process.communicate(timeout=20)
    os.killpg(call.process_group, signal.SIGKILL)
    [attachment] = json.loads(cli("attachments").out)
    assert (attachment["containerId"], attachment["completed"]) == (BLUE, False)
    cli.plugins.forget()
    assert cli("gc", "net", "--all").code == 0
    assert cli.plugins.order()[:2] == ["two DEL", "one DEL"]
    assert cli.records() == []


def test_an_attachment_whose_result_cannot_be_printed(cli: Cli, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        process = cli.start("add", "net", NETNS, stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    first, words, line = err.splitlines()
    assert first == "No space left on device"
    assert words == f"net: eth0 of {BLUE} is attached. To delete it:"
    assert cli.records() == [f"net-{BLUE}-eth0"]
    assert run_line(line, tmp_path).returncode == 0
    assert cli.records() == []


def test_an_attachment_whose_result_nobody_reads(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = cli.start("add", "net", NETNS, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.splitlines()[0] == f"net: eth0 of {BLUE} is attached. To delete it:"


def test_an_interruption_after_the_add(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "isatty", interrupt)
    code, out, err = cli("add", "net", NETNS)
    assert (code, out) == (130, "")
    first, words, _ = err.splitlines()
    assert first == "interrupted (SIGINT)"
    assert words == f"net: eth0 of {BLUE} is attached. To delete it:"
    assert cli.records() == [f"net-{BLUE}-eth0"]


def test_the_other_commands_say_that_they_wait(cli: Cli) -> None:
    cli.plugins.plugin("one", {"CHECK": Answer(sleep=60, ignore_sigterm=True)})
    assert cli("add", "net", NETNS).code == 0
    process = cli.start("check", "net", NETNS, "--grace", "3")
    cli.wait_for("one", "CHECK")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode in {130, 143}  # which signal is seen first is not defined
    said, interrupted = err.splitlines()
    assert said == "still ending the plugin, for up to 3 s"
    assert interrupted.startswith("interrupted (SIG")

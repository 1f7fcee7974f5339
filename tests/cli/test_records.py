"""The command and the records in a cache: names, unfinished ADDs, records of other programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cni_async import create_result
from cni_async.cli.answer import Added
from cni_async.cli.render import show
from cni_async.cli.text import shell_word, visible, visible_json
from cni_async.go.json import loads
from tests.support.command import NETNS, Cli
from tests.support.recorder import Answer

# Sets a title, erases the display, moves back in the line, and hides the text that follows (also
# with the 8-bit control sequence introducer).
ODD = "a\x1b]0;title\x07\x1b[2J\rb\x9b31m\u202ec"
SHOWN = r"a\x1b]0;title\x07\x1b[2J\rb\x9b31m\u202ec"


def put(cli: Cli, container: str = "c", ifname: str = "eth0", **keys: Any) -> None:
    """Write a record as another program could."""
    record = {
        "kind": "cniCacheV1",
        "containerId": container,
        "config": None,
        "ifName": ifname,
        "networkName": "net",
        "result": {"cniVersion": "1.1.0"},
        **keys,
    }
    record = {key: value for key, value in record.items() if value != "left out"}
    folder = cli.cache / "results"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"net-{container}-{ifname}" if container.isalnum() else f"net-odd{len(container)}-eth0"
    (folder / name).write_text(json.dumps(record))


# Attachments that gc keeps.


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (["bleu/eth0"], "has no bleu/eth0 in CACHE; nothing is deleted.\nDid you mean blue/eth0?"),
        (["blue/eth1"], "has no blue/eth1 in CACHE; nothing is deleted.\nDid you mean blue/eth0?"),
        (["red/eth0", "zzz/net7"], "has no zzz/net7 in CACHE; nothing is deleted.\nIt has: "),
        (["green/eth0"], "has no green/eth0 in CACHE; nothing is deleted.\n"),  # of another network
    ],
)
def test_what_is_to_be_kept_has_to_be_there(keep: list[str], words: str, cli: Cli) -> None:
    cli.network("one", name="other")
    for container in ("blue", "red"):
        assert cli("add", "net", NETNS, "--container-id", container).code == 0
    assert cli("add", "other", NETNS, "--container-id", "green").code == 0
    before = cli.records()
    cli.plugins.forget()
    code, out, err = cli("gc", "net", *(word for each in keep for word in ("--keep", each)))
    assert (code, out) == (2, "")
    assert words.replace("CACHE", str(cli.cache)) in err
    assert (
        "It has: blue/eth0, red/eth0.\nTo keep what is not in the cache: --keep-unknown.\n" in err
    )
    assert not cli.plugins.calls()
    assert cli.records() == before


def test_what_the_cache_does_not_know_is_kept_where_that_is_said(cli: Cli) -> None:
    assert cli("add", "net", NETNS, "--container-id", "blue").code == 0
    cli.plugins.forget()
    assert cli("gc", "net", "--keep", "blue/eth0", "--keep-unknown", "bleu/eth0").code == 0
    [call] = cli.plugins.calls()
    assert call.config["cni.dev/valid-attachments"] == [
        {"containerID": container, "ifname": "eth0"} for container in ("blue", "bleu")
    ]
    assert cli("gc", "net", "--keep-unknown", "blue/eth0").code == 0
    assert cli.records() == ["net-blue-eth0"]


def test_an_unfinished_attachment_can_be_kept(cli: Cli) -> None:
    put(cli, "begun", result="left out")
    assert cli("gc", "net", "--keep", "begun/eth0").code == 0
    assert cli.records() == ["net-begun-eth0"]


def test_a_network_without_attachments_and_one_with_many(cli: Cli) -> None:
    cli.cache.mkdir()
    assert "It has none at all.\n" in cli("gc", "net", "--keep", "a/eth0").err
    for number in range(25):
        put(cli, f"c{number:02}")
    err = cli("gc", "net", "--keep", "other/net1").err
    assert "c18/eth0, c19/eth0 and 5 more.\n" in err
    assert "c20" not in err


# Content of the cache.


def test_unfinished_attachments_are_told_from_others(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cli, "begun", result="left out")
    put(cli, "whole")
    listed = json.loads(cli("attachments").out)
    assert {each["containerId"]: each["completed"] for each in listed} == {
        "begun": False,
        "whole": True,
    }
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = [line.split() for line in cli("attachments").out.splitlines()]
    assert lines == [
        ["network", "container", "interface", "namespace", "state"],
        ["net", "begun", "eth0", "unfinished"],
        ["net", "whole", "eth0"],
    ]


@pytest.mark.parametrize("args", [["attachments"], ["gc", "net", "--all"]])
def test_a_cache_that_is_not_there_is_not_an_empty_one(args: list[str], cli: Cli) -> None:
    assert cli(*args) == (1, "", f"{cli.cache}: No such file or directory\n")
    cli.cache.mkdir()
    assert cli(*args).code == 0


@pytest.mark.parametrize("verb", ["check", "del"])
def test_a_cache_that_is_not_there_is_told_of(verb: str, cli: Cli) -> None:
    assert cli(verb, "net", NETNS) == (0, "", f"{cli.cache}: No such file or directory\n")
    assert cli.plugins.order() == [f"one {verb.upper()}"]


def test_the_usual_cache_may_be_missing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni_async.cli.options.CACHE_DIR", str(tmp_path / "none"))
    assert cli("attachments", cache=False) == (0, "[]\n", "")
    assert cli("gc", "net", "--all", cache=False) == (0, "", "")
    assert cli("del", "net", NETNS, cache=False) == (0, "", "")


@pytest.mark.parametrize("verb", ["check", "del"])
def test_a_damaged_record_is_a_record(verb: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cli, config=7)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = cli(verb, "net", NETNS, "--container-id", "c").out
    assert "no record" not in out


# Terminal output.


def test_records_do_not_steer_the_terminal(cli: Cli) -> None:
    put(cli, ODD, netns=ODD)
    out = cli.on_terminal("attachments").out
    assert out.replace("\n", "").isprintable()
    assert out.count(r"a\x1b]0;title\x07\x1b[2J\r") == 2  # the rest is on the next line
    out = cli.on_terminal("attachments", "--json").out
    assert out.replace("\n", "").isprintable()
    [attachment] = json.loads(out)
    assert (attachment["containerId"], attachment["netns"]) == (ODD, ODD)
    printed = cli.on_terminal("gc", "net", "--keep", "x/y", everything=True)
    assert printed.code == 2
    assert SHOWN in printed.out
    assert printed.out.replace("\n", "").isprintable()


def test_the_log_does_not_steer_the_terminal(cli: Cli) -> None:
    put(cli)
    (cli.cache / "results" / f"net-{ODD}-x").write_text("")
    printed = cli.on_terminal("attachments", everything=True, COLUMNS="200")
    assert f"cache record net-{SHOWN}-x is left out" in printed.out
    assert printed.out.replace("\n", "").isprintable()


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_results_do_not_steer_the_terminal(json_too: list[str], cli: Cli) -> None:
    result = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": ODD, "mac": ODD, "sandbox": ODD, "pciID": ODD}],
        "dns": {"domain": ODD, "search": [ODD], "nameservers": [ODD], "options": [ODD]},
    }
    cli.plugins.plugin("one", {"ADD": Answer(stdout=result)})
    printed = cli.on_terminal("add", "net", NETNS, *json_too, COLUMNS="400")
    assert printed.out.replace("\n", "").isprintable()
    if json_too:
        assert json.loads(printed.out) == result
    else:
        assert printed.out.count(SHOWN) == 8


def test_plugins_do_not_steer_the_terminal(cli: Cli) -> None:
    said = Answer(stderr=f"one\ttwo\n{ODD}\n".encode() + b"\xff\n")
    cli.plugins.plugin("one", {"CHECK": said})
    cli("add", "net", NETNS)
    printed = cli.on_terminal("check", "net", NETNS, "--json", everything=True)
    # The terminal turns a tab into spaces.
    assert re.sub(" +", "\t", printed.out) == f"one\ttwo\n{SHOWN}\n\\xff\n"
    error = Answer(stdout={"code": 7, "msg": ODD, "details": f"x\n{ODD}"}, stderr=ODD, exit_code=1)
    cli.plugins.plugin("one", {"CHECK": error})
    printed = cli.on_terminal("check", "net", NETNS, everything=True)
    assert (printed.code, printed.out.count(SHOWN)) == (1, 2)
    assert printed.out.replace("\n", "").isprintable()


def test_scripts_get_what_plugins_said(cli: Cli) -> None:
    cli.plugins.plugin("one", {"STATUS": Answer(stderr=b"\x1b[1m\xff\n")})
    process = subprocess.run(
        [*cli.words("status", "net")], capture_output=True, check=False, timeout=20
    )
    assert process.stderr == b"\x1b[1m\xff\n"
    error = {"code": 7, "msg": "\x1b[1m"}
    cli.plugins.plugin("one", {"STATUS": Answer(stdout=error, exit_code=1)})
    assert cli("status", "net") == (1, "", "\x1b[1m\n")


def test_nobody_reads_stderr(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = cli.start("status", "other", stderr=writer)
    os.close(writer)
    process.communicate(timeout=20)
    assert process.returncode == 1


def test_drawn_names_stay_on_their_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = {"cniVersion": "1.1.0", "interfaces": [{"name": "a\nb", "sandbox": "/x\ty"}]}
    show(Added("net", create_result("1.1.0", json.dumps(result).encode())))
    assert capsys.readouterr().out.splitlines()[1].rstrip() == r"└── a\nb in /x\ty"


@pytest.mark.parametrize(
    ("text", "shown", "word"),
    [
        ("plain", "plain", "plain"),
        ("bücher ☃", "bücher ☃", "'bücher ☃'"),
        ("it's", "it's", "'it'\"'\"'s'"),
        ("it's\n\\", r"it's\n\ ".strip(), r"$'it\'s\x0a\\'"),
        ("\x00\x7f\x85", r"\x00\x7f\x85", r"$'\x00\x7f\xc2\x85'"),
        ("\u2028\U000e0001", r"\u2028\U000e0001", r"$'\xe2\x80\xa8\xf3\xa0\x80\x81'"),
        ("\udcff", r"\xff", r"$'\xff'"),
    ],
)
def test_spelling(text: str, shown: str, word: str) -> None:
    assert visible(text) == shown
    assert shell_word(text) == word
    if "\x00" not in text:
        echo = ["bash", "-c", f"printf %s {word}"]
        done = subprocess.run(echo, capture_output=True, check=True, timeout=20)
        assert done.stdout == os.fsencode(text)


def test_spelling_of_json() -> None:
    document = {"a": ["\x7f\x9b\u202e\U000e0001 ☃", 1]}
    text = json.dumps(document, ensure_ascii=False, indent=1)
    shown = visible_json(text)
    assert shown.replace("\n", "").isprintable()
    assert "☃" in shown
    assert loads(shown.encode()) == document

"""The command cni-async: cnitool's arguments and environment, and its own.

See items 339-346 of docs/maintainers/conformance.md.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cni_async import create_result
from cni_async.cli import main
from cni_async.cli.answer import Added
from cni_async.cli.container import absolute, container_id
from cni_async.cli.group import cli as command
from cni_async.cli.render import show
from tests.support.command import BLUE, COMMAND, NETNS, Cli
from tests.support.processes import wait_until_gone
from tests.support.recorder import Answer
from tests.support.wait import LIMITS

RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "br0", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1400, "sandbox": NETNS},
    ],
    "ips": [{"interface": 1, "address": "10.1.0.2/24", "gateway": "10.1.0.1"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
}


# The container ID.


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (NETNS, BLUE),
        ("//run//netns/./x/../blue/", BLUE),
        ("///a", "cnitool-047d8a174a529dda4e96"),
        ("/..", "cnitool-5c86f0344ed249425c8a"),
        (os.fsdecode(b"/run/\xff\xfe"), "cnitool-f80437ef7fa413cca3d5"),
    ],
)
def test_container_id_is_cnitools(path: str, expected: str) -> None:  # 341
    assert container_id(absolute(path)) == expected


@pytest.mark.parametrize("pwd", ["", ".", "/nowhere", "/"])
def test_relative_path_starts_at_the_working_directory(
    pwd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", pwd)
    assert absolute("a/../ns") == f"{Path.cwd()}/ns"
    assert absolute("") == str(Path.cwd())


def test_relative_path_follows_the_name_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    assert absolute("ns") == f"{link}/ns"


def test_no_working_directory(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli("add", "net", "relative") == (1, "", "No such file or directory\n")


# Input of plugins.


def test_defaults(cli: Cli) -> None:  # 340
    assert cli("add", "net", NETNS).code == 0
    assert cli.only_call().cni_environ == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": BLUE,
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "",
        "CNI_PATH": str(cli.plugins.folder),
    }
    assert "runtimeConfig" not in cli.only_call().config
    assert cli.records() == [f"net-{BLUE}-eth0"]


@pytest.mark.parametrize("directory", ["", None])
def test_default_directory_of_networks(
    directory: str | None, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(directory: str, name: str) -> None:
        raise FileNotFoundError(2, "not there", f"{directory}/{name}")

    monkeypatch.setattr("cni_async.cli.options.load_conf_list", look)
    if directory is None:
        monkeypatch.delenv("NETCONFPATH")
    else:
        monkeypatch.setenv("NETCONFPATH", directory)
    assert cli("status", "net") == (1, "", "/etc/cni/net.d/net: not there\n")


ENVIRONMENT = {
    "CNI_IFNAME": "net1",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web",
    "CAP_ARGS": '{"mac": "02:11:22:33:44:55", "undeclared": 1}',
}


def test_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for verb in ("add", "check", "del"):
        cli.plugins.forget()
        assert cli(verb, "net", NETNS).code == 0
        call = cli.only_call()
        assert call.cni_environ["CNI_IFNAME"] == "net1"
        assert call.cni_environ["CNI_ARGS"] == "IgnoreUnknown=1;K8S_POD_NAME=web"
        assert call.config["runtimeConfig"] == {"mac": "02:11:22:33:44:55"}


def test_options_override_the_environment(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**ENVIRONMENT, "CNI_PATH": "/none", "NETCONFPATH": "/none"}.items():
        monkeypatch.setenv(name, value)
    path = f"/none:{cli.plugins.folder}"
    options = {
        "--netconf-path": str(cli.networks),
        "--cni-path": path,
        "--ifname": "net2",
        "--cni-args": "A=B",
        "--cap-args": '{"mac": "02:00:00:00:00:09"}',
        "--container-id": "mine",
        "--timeout": "20",
        "--grace": "0",
        "--backend": "trio",
    }
    given = [word for option in options.items() for word in option]
    assert cli("add", "net", "relative", *given).code == 0
    assert cli.only_call().cni_environ == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "mine",
        "CNI_NETNS": absolute("relative"),
        "CNI_IFNAME": "net2",
        "CNI_ARGS": "A=B",
        "CNI_PATH": path,
    }
    assert cli.only_call().config["runtimeConfig"] == {"mac": "02:00:00:00:00:09"}
    assert cli.records() == ["net-mine-net2"]


def test_empty_options_override_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert cli("add", "net", NETNS, "--cni-args", "", "--cap-args", "").code == 0
    assert cli.only_call().cni_environ["CNI_ARGS"] == ""
    assert "runtimeConfig" not in cli.only_call().config


@pytest.mark.parametrize("how", ["environment", "option"])
def test_empty_interface_name_is_refused(
    how: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:  # 343
    monkeypatch.setenv("CNI_IFNAME", "" if how == "environment" else "eth1")
    option = ["--ifname", ""] if how == "option" else []
    text = 'plugin type="one" failed (add): interface name is empty\n'
    assert cli("add", "net", NETNS, *option) == (1, "", text)
    for verb in ("check", "del"):
        code, out, err = cli(verb, "net", NETNS, *option)
        assert (code, out) == (1, "")
        assert 'and interface name ("")' in err
    assert not cli.plugins.calls()


def test_plugin_without_list(cli: Cli) -> None:
    (cli.networks / "single.conf").write_text('{"name": "single", "type": "one"}')
    assert cli("add", "single", NETNS).code == 0
    assert cli.only_call().config == {"cniVersion": "", "name": "single", "type": "one"}


# Output.


def test_add_prints_the_result_as_cnitool_does(cli: Cli) -> None:  # 346
    cli.plugins.plugin("one", {"ADD": Answer(stdout=RESULT)})
    code, out, err = cli("add", "net", NETNS)
    assert (code, err) == (0, "")
    assert json.loads(out) == RESULT
    assert out == json.dumps(json.loads(out), indent=4)


def test_json_is_utf8_whatever_the_locale(cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(stdout={"dns": {"domain": "bücher.example"}})})
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = cli.words("add", "net", NETNS)
    done = subprocess.run(words, env=env, capture_output=True, timeout=20, check=False)
    assert "bücher.example" in done.stdout.decode()
    assert done.stderr == b""


def test_life_of_an_attachment(cli: Cli) -> None:
    cli.network("one", "two")
    assert cli("add", "net", NETNS).code == 0
    assert cli("check", "net", NETNS) == (0, "", "")
    assert cli("del", "net", NETNS) == (0, "", "")
    assert cli.plugins.order() == [
        f"{plugin_type} {verb}" for verb in ("ADD", "CHECK") for plugin_type in ("one", "two")
    ] + ["two DEL", "one DEL"]
    assert cli.records() == []
    assert cli("del", "net", NETNS) == (0, "", "")


@pytest.mark.parametrize("netns", [[], [NETNS]])
def test_status(netns: list[str], cli: Cli) -> None:  # 339: NETNS is allowed
    assert cli("status", "net", *netns) == (0, "", "")
    assert cli.plugins.order() == ["one STATUS"]
    cli.plugins.plugin("one", {"STATUS": Answer(stdout={"code": 50, "msg": "no"}, exit_code=1)})
    assert cli("status", "net", *netns) == (1, "", "no\n")


@pytest.mark.parametrize("netns", [[], [NETNS]])
def test_gc_of_all(netns: list[str], cli: Cli) -> None:  # 345
    for container in ("a", "b"):
        cli("add", "net", NETNS, "--container-id", container)
    cli.plugins.forget()
    assert cli("gc", "net", *netns, "--all") == (0, "", "")
    assert sorted(cli.plugins.order()) == ["one DEL", "one DEL", "one GC"]
    [call] = cli.plugins.calls("GC")
    assert "cni.dev/valid-attachments" not in call.config
    assert cli.records() == []


def test_gc_but_for_some(cli: Cli) -> None:
    for container in ("a", "b", "c"):
        cli("add", "net", NETNS, "--container-id", container)
    cli.plugins.forget()
    keep = ["--keep", "a/eth0", "--keep", "c/eth0", "--keep-unknown", "b/eth1"]
    assert cli("gc", "net", *keep).code == 0
    assert cli.plugins.order() == ["one DEL", "one GC"]
    [call] = cli.plugins.calls("GC")
    valid = [("a", "eth0"), ("c", "eth0"), ("b", "eth1")]
    assert call.config["cni.dev/valid-attachments"] == [
        {"containerID": container, "ifname": ifname} for container, ifname in valid
    ]
    assert cli.records() == ["net-a-eth0", "net-c-eth0"]


def test_plugin_version(cli: Cli) -> None:
    answer = {"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}
    cli.plugins.plugin("one", {"VERSION": Answer(stdout=answer)})
    code, out, err = cli("version", "one")
    assert (code, err) == (0, "")
    assert out == json.dumps(answer, indent=4) + "\n"


def test_validate(cli: Cli) -> None:
    cli.network("one", "two", version="")
    code, out, err = cli("validate", "net")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "name": "net",
        "cniVersion": "0.1.0",
        "plugins": ["one", "two"],
        "capabilities": ["mac"],
    }


def test_validate_tells_all_that_is_wrong(cli: Cli) -> None:
    cli.network("missing", "one")
    (cli.plugins.folder / "missing").unlink()
    old = {"cniVersion": "0.2.0", "supportedVersions": ["0.2.0"]}
    cli.plugins.plugin("one", {"VERSION": Answer(stdout=old)})
    assert cli("validate", "net") == (
        1,
        "",
        f'failed to find plugin "missing" in path [{cli.plugins.folder}]\n'
        'plugin one does not support config version "1.1.0"\n',
    )


def test_attachments(cli: Cli) -> None:
    cli.cache.mkdir()
    assert cli("attachments") == (0, "[]\n", "")
    options = ["--cni-args", "A=B", "--cap-args", '{"mac": "x"}']
    cli("add", "net", NETNS, "--container-id", "a", *options)
    cli("add", "net", "/run/netns/red", "--container-id", "b")
    code, out, err = cli("attachments")
    assert (code, err) == (0, "")
    config = json.loads((cli.networks / "net.conflist").read_text())
    assert json.loads(out) == [
        {
            "containerId": "a",
            "networkName": "net",
            "ifName": "eth0",
            "netns": NETNS,
            "cniArgs": [["A", "B"]],
            "capabilityArgs": {"mac": "x"},
            "completed": True,
            "config": config,
        },
        {
            "containerId": "b",
            "networkName": "net",
            "ifName": "eth0",
            "netns": "/run/netns/red",
            "cniArgs": [],
            "capabilityArgs": {},
            "completed": True,
            "config": config,
        },
    ]
    [only] = json.loads(cli("attachments", "b").out)
    assert only["containerId"] == "b"
    assert cli("attachments", "c").out == "[]\n"


def test_attachment_whose_configuration_is_lost(cli: Cli) -> None:
    cli("add", "net", NETNS)
    [record] = (cli.cache / "results").glob("*-*")
    record.write_text(json.dumps({**json.loads(record.read_text()), "config": "e30K/w=="}))
    [only] = json.loads(cli("attachments").out)
    assert only["config"] is None
    assert only["containerId"] == BLUE


# On a terminal.


def test_terminal_gets_a_tree(cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(stdout=RESULT)})
    code, out, err = cli.on_terminal("add", "net", NETNS)
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "net CNI 1.1.0",
        "├── br0 02:00:00:00:00:01 on the host",
        f"├── eth0 02:00:00:00:00:02 mtu 1400 in {NETNS}",
        "│   └── 10.1.0.2/24 gateway 10.1.0.1",
        "└── routes",
        "    └── 0.0.0.0/0 via 10.1.0.1",
    ]


def test_terminal_gets_colours(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli.plugins.plugin("one", {"ADD": Answer(stdout=RESULT)})
    assert "\x1b[" in cli.on_terminal("add", "net", NETNS, TERM="xterm").out


def test_terminal_gets_json_if_that_is_wanted(cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(stdout=RESULT)})
    code, out, err = cli.on_terminal("add", "net", NETNS, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == RESULT
    assert out.endswith("\n}\n")
    assert cli.on_terminal("check", "net", NETNS, "--json") == (0, "", "")


def test_terminal_gets_a_table(cli: Cli) -> None:
    cli.cache.mkdir()
    assert cli.on_terminal("attachments").out == "no attachments\n"
    container = "0123456789abcdef" * 4
    cli("add", "net", "/run/netns/" + "x" * 50, "--container-id", container)
    code, out, err = cli.on_terminal("attachments")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["network", "container", "interface", "namespace"]
    # Nothing of it is cut off, whatever the width.
    assert "".join(row[: header.index("interface")] for row in rows).replace(" ", "") == (
        f"net{container}"
    )
    assert "".join(row[header.index("namespace") :] for row in rows).replace(" ", "") == (
        "/run/netns/" + "x" * 50
    )


@pytest.mark.parametrize(
    ("args", "keys", "text"),
    [
        (
            ["check", "net", NETNS],
            {},
            f"net: there is no record of {BLUE} eth0 in CACHE; its plugins find no fault",
        ),
        (
            ["check", "net", NETNS],
            {"disableCheck": True},
            "net: not checked, its configuration disables that",
        ),
        (
            ["del", "net", NETNS],
            {},
            f"net: there is no record of {BLUE} eth0 in CACHE; its plugins were called anyway",
        ),
        (["gc", "net", "--all"], {}, "net: everything is collected"),
        (["gc", "net", "--keep-unknown", "a/b"], {}, "net: all but a/b is collected"),
        (
            ["gc", "net", "--all"],
            {"disableGC": True},
            "net: nothing is collected, its configuration disables that",
        ),
        (["status", "net"], {}, "net: ready"),
        (["status", "net"], {"version": "1.0.0"}, "net: not asked, CNI 1.0.0 has no STATUS"),
        (["status", "net"], {"version": "x"}, "net: not asked, CNI x has no STATUS"),
        (["validate", "net"], {}, "net: CNI 1.1.0, plugins one, capabilities mac"),
        (["validate", "net"], {"plugins": [{"type": "one"}]}, "net: CNI 1.1.0, plugins one"),
        (["version", "one"], {}, "one: CNI 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"),
    ],
)
def test_terminal_gets_a_sentence(
    args: list[str],
    keys: Mapping[str, Any],
    text: str,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cli.network("one", **keys)
    cli.cache.mkdir()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli(*args) == (0, f"{text}\n".replace("CACHE", str(cli.cache)), "")


def test_terminal_gets_a_sentence_about_an_attachment(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("add", "net", NETNS)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert cli("check", "net", NETNS) == (0, "net: eth0 is as it was added\n", "")
    assert cli("del", "net", NETNS) == (0, "net: eth0 is deleted\n", "")


def drawn(result: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(Added("net", create_result(result["cniVersion"], json.dumps(result).encode())))
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_all_of_a_result_is_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "[bold]:bug:", "pciID": "0000:00:1f.6"},
            {"name": "vhost0", "socketPath": "/run/vhost.sock", "sandbox": "/vm"},
        ],
        "ips": [
            {"address": "10.1.0.2/24", "interface": 1},
            {"address": "fd00::2/64", "gateway": "fd00::1", "interface": 1},
            {"address": "10.9.0.2/24", "interface": 7},
            {"address": "10.9.0.3/24", "interface": -1},
        ],
        "routes": [
            {"dst": "10.2.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 5},
            {"dst": "::/0", "gw": "fd00::1", "table": 0, "scope": 253},
        ],
        "dns": {
            "nameservers": ["10.1.0.1", "fd00::1"],
            "domain": "example.org",
            "search": ["a.example", "b.example"],
            "options": ["ndots:2"],
        },
    }
    assert drawn(result, capsys) == [
        "net CNI 1.1.0",
        "├── [bold]:bug: on the host pci 0000:00:1f.6",
        "├── vhost0 in /vm socket /run/vhost.sock",
        "│   ├── 10.1.0.2/24",
        "│   └── fd00::2/64 gateway fd00::1",
        "├── 10.9.0.2/24",
        "├── 10.9.0.3/24",
        "├── routes",
        "│   ├── 10.2.0.0/16 mtu 1300 advmss 1200 priority 5",
        "│   └── ::/0 via fd00::1 table 0 scope 253",
        "└── dns",
        "    ├── nameservers 10.1.0.1 fd00::1",
        "    ├── domain example.org",
        "    ├── search a.example b.example",
        "    └── options ndots:2",
    ]


def test_results_of_old_versions_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    ip4 = {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]}
    dns = {"nameservers": ["10.1.0.1"]}
    assert drawn({"cniVersion": "0.2.0", "ip4": ip4, "dns": dns}, capsys) == [
        "net CNI 0.2.0",
        "├── 10.1.0.2/24 gateway 10.1.0.1",
        "├── routes",
        "│   └── 0.0.0.0/0",
        "└── dns",
        "    └── nameservers 10.1.0.1",
    ]
    assert drawn({"cniVersion": "0.4.0"}, capsys) == ["net CNI 0.4.0"]


# Errors.


def test_error_of_a_plugin(cli: Cli) -> None:  # 346
    cli.network("fine", "one")
    cli.plugins.plugin("fine", {"ADD": Answer(stderr="a word\n")})
    error = {"code": 7, "msg": "no such bridge", "details": "br7"}
    answer = Answer(stdout=error, stderr=b"looked\nthere \xff", exit_code=1)
    cli.plugins.plugin("one", {"ADD": answer})
    assert cli("add", "net", NETNS) == (
        1,
        "",
        'plugin type="one" failed (add): no such bridge; br7\n  a word\n  looked\n  there \ufffd\n',
    )


def test_stderr_of_plugins_that_succeed_is_passed_on(cli: Cli) -> None:
    cli.plugins.plugin("one", {"CHECK": Answer(stderr="careful\n")})
    cli("add", "net", NETNS)
    assert cli("check", "net", NETNS) == (0, "", "careful\n")


def test_errors_of_configurations(cli: Cli) -> None:
    text = f'no net configuration with name "other" in {cli.networks}\n'
    assert cli("add", "other", NETNS) == (1, "", text)
    empty = cli.networks / "empty"
    text = f"no net configurations found in {empty}\n"
    assert cli("status", "net", "--netconf-path", str(empty)) == (1, "", text)


def test_error_of_the_cache(cli: Cli) -> None:
    cli.cache.touch()
    code, out, err = cli("add", "net", NETNS)
    assert (code, out) == (1, "")
    assert err.startswith('failed to set network "net" cached result: ')
    assert err.count("\n") == 1
    assert not cli.plugins.calls()


def test_no_plugin_path(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNI_PATH")
    hint = "no plugin directories: set CNI_PATH or --cni-path\n"
    assert cli("version", "one") == (1, "", f"no paths provided\n{hint}")
    for args in (["validate", "net"], ["add", "net", NETNS], ["gc", "net", "--all"]):
        cli.cache.mkdir(exist_ok=True)
        code, _, err = cli(*args)
        assert (code, "no paths provided" in err, err.endswith(hint)) == (1, True, True)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_timeout(backend: str, cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(sleep=60, ignore_sigterm=True)})
    for limit in LIMITS:
        limits = ["--timeout", str(limit), "--grace", "0.1"]
        code, out, err = cli("add", "net", NETNS, "--backend", backend, *limits)
        assert (code, out) == (1, "")
        if cli.plugins.calls("ADD"):
            break
    else:
        pytest.fail("the machine is too busy for every limit")
    assert f"timed out after {limit:g} s (signal: killed)" in err
    assert cli.plugins.order()[-2:] == ["one ADD", "one DEL"]
    assert wait_until_gone(cli.plugins.calls("ADD")[-1].pid)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "Missing command."),
        (["foo"], "No such command 'foo'."),  # 344
        (["ADD", "net", NETNS], "No such command 'ADD'."),
        (["add"], "Missing argument 'NET'."),  # 339
        (["add", "net"], "Missing argument 'NETNS'."),
        (["check", "net"], "Missing argument 'NETNS'."),
        (["del", "net"], "Missing argument 'NETNS'."),
        (["version"], "Missing argument 'TYPE'."),
        (["status", "net", NETNS, "more"], "Got unexpected extra argument (more)"),
        (["status", "net", "--ifname", "eth0"], "No such option"),
        (
            ["gc", "net"],
            "gc wants either --keep CONTAINER_ID/INTERFACE or --all",
        ),
        (
            ["gc", "net", "--all", "--keep", "a/b"],
            "gc wants either --keep CONTAINER_ID/INTERFACE or --all",
        ),
        (["gc", "net", "--keep", "a"], "interface name is empty"),
        (["gc", "net", "--keep", "/eth0"], "missing containerID"),
        (["gc", "net", "--keep", "a/b/c"], "interface name contains / or :"),
        (["add", "net", NETNS, "--cni-args", "A"], 'invalid CNI_ARGS pair "A"'),
        (
            ["add", "net", NETNS, "--cap-args", "{"],
            "invalid CAP_ARGS: unexpected end of JSON input",
        ),
        (["add", "net", NETNS, "--cap-args", "[]"], "invalid CAP_ARGS: of type array, not object"),
        (["status", "net", "--timeout", "0"], "nothing is done in 0 seconds"),
        (["status", "net", "--timeout", "nan"], "nan is not a time in seconds"),
        (["status", "net", "--timeout", "soon"], "soon is not a time in seconds"),
        (["status", "net", "--grace", "-1"], "-1 is not a time in seconds"),
        (["status", "net", "--grace", "inf"], "inf is not a time in seconds"),
        (["status", "net", "--backend", "curio"], "'curio' is not one of"),
    ],
)
def test_misuse(args: list[str], text: str, cli: Cli) -> None:
    with pytest.raises(SystemExit) as exited:
        command(args, prog_name="cni-async")
    out, err = cli.capsys.readouterr()
    assert (exited.value.code, out) == (2, "")
    assert err.startswith("Usage: cni-async ")
    assert text in err
    assert not cli.plugins.calls()


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("CNI_ARGS", "A=", 'invalid CNI_ARGS pair "A="'),  # 342
        ("CNI_ARGS", "=B", 'invalid CNI_ARGS pair "=B"'),
        ("CNI_ARGS", "A=B=C", 'invalid CNI_ARGS pair "A=B=C"'),
        ("CNI_ARGS", "A=B;", 'invalid CNI_ARGS pair ""'),
        ("CAP_ARGS", "mac", "invalid CAP_ARGS: invalid character 'm' looking for"),
        ("CAP_ARGS", '"mac"', "invalid CAP_ARGS: of type string, not object"),
    ],
)
def test_misuse_of_the_environment(
    variable: str, value: str, text: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    code, out, err = cli("add", "net", NETNS)
    assert (code, out) == (2, "")
    assert text in err
    assert not cli.plugins.calls()


def test_capability_args_may_be_null(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAP_ARGS", "null")
    assert cli("add", "net", NETNS).code == 0


def test_backend_that_is_not_installed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trio", None)
    code, out, err = cli("status", "net", "--backend", "trio")
    assert (code, out) == (2, "")
    assert "pip install 'cni-async[trio]'" in err


# As a process.


def test_exit_codes_and_streams(cli: Cli) -> None:
    expected = {("status", "net"): 0, ("status", "other"): 1, ("foo",): 2}
    for args, code in expected.items():
        process = cli.start(*args)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, bool(err)) == (code, "", code != 0)
        assert "Traceback" not in err


@pytest.mark.parametrize("missing", [["click"], ["rich"], ["click", "rich"]])
def test_without_the_extra(
    missing: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as exited:
        main()
    needs = " and ".join(missing)
    assert exited.value.code == 2
    assert capsys.readouterr() == (
        "",
        f"cni-async needs {needs}: pip install 'cni-async[cli]'\n",
    )


def test_main(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "status", "net"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0


def test_the_library_needs_no_extra() -> None:
    code = "import sys, cni_async, cni_async.cli; print({'click', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_scripts_do_not_wait_for_rich(cli: Cli) -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print('rich' in sys.modules));"
        "from cni_async.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "version", "one"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("}\nFalse\n")


def test_nobody_reads_the_answer(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = cli.start("validate", "net", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "")


def test_no_room_for_the_answer(cli: Cli) -> None:
    with open("/dev/full", "w") as full:
        process = cli.start("validate", "net", stdout=full)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "No space left on device\n")


def test_stdout_is_closed(cli: Cli) -> None:
    script = 'exec "$@" >&-'
    command = ["sh", "-c", script, "sh", *COMMAND, *cli.arguments("add", "net", NETNS)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert cli.records() == [f"net-{BLUE}-eth0"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_plugin_first(number: signal.Signals, backend: str, cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(sleep=60, grandchild=60, stderr="never")})
    process = cli.start("add", "net", NETNS, "--backend", backend, "--grace", "0.2")
    call = cli.started_call()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (
        128 + number,
        "",
        f"interrupted ({number.name})\n",
    )
    assert wait_until_gone(call.pid, call.grandchild)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_impatience_does_not_spare_the_plugin(backend: str, cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(sleep=60, ignore_sigterm=True)})
    process = cli.start("add", "net", NETNS, "--backend", backend, "--grace", "1")
    call = cli.started_call()
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.endswith("interrupted (SIGINT)\n")
    assert wait_until_gone(call.pid)


def test_what_we_are_to_ignore_is_ignored(cli: Cli) -> None:
    cli.plugins.plugin("one", {"ADD": Answer(sleep=1)})
    command = ["nohup", *COMMAND, *cli.arguments("add", "net", NETNS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        cli.started_call()
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    assert cli.records() == [f"net-{BLUE}-eth0"]


def test_interrupt_while_the_answer_is_printed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "isatty", interrupt)
    assert cli("status", "net") == (130, "", "interrupted (SIGINT)\n")


def test_help(cli: Cli) -> None:
    for args in (["--help"], ["add", "-h"], ["--version"]):
        with pytest.raises(SystemExit) as exited:
            command(args, prog_name="cni-async")
        out, err = cli.capsys.readouterr()
        assert (exited.value.code, err) == (0, "")
        assert out.startswith(("Usage: cni-async ", "cni-async "))


def test_a_hint(cli: Cli) -> None:
    cli.network("a", name="mynet")
    text = f'no net configuration with name "mynett" in {cli.networks}\n'
    hint = "did you mean network 'mynet'?\n"
    assert cli("add", "mynett", NETNS) == (1, "", text + hint)

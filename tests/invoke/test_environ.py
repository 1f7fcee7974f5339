"""The environment of a plugin.

The tests cover section R of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from cni_async.errors import ArgsError
from cni_async.invoke import Args, DelegateArgs, RawExec
from cni_async.invoke.environ import join_args, validate_args
from tests.support.recorder import Recorder

VARIABLES = {
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_NETNS",
    "CNI_IFNAME",
    "CNI_ARGS",
    "CNI_PATH",
}
ARGS = Args(
    command="ADD",
    container_id="cid",
    netns="/run/netns/x",
    ifname="eth0",
    args=[("IgnoreUnknown", "1"), ("K8S_POD_NAME", "pöd")],
    path=["/opt/cni/bin", "/usr/lib/cni"],
)
EXPECTED = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "cid",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=pöd",
    "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
}


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Put all variables into our own environment."""
    for name in VARIABLES:
        monkeypatch.setenv(name, f"inherited {name}")
    monkeypatch.setenv("INHERITED", "a=b;c=d")
    return ours()


def ours(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment without the variable that pytest changes all the time."""
    return {name: value for name, value in environ.items() if name != "PYTEST_CURRENT_TEST"}


def test_item_194_all_six_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    environ = Args(command="VERSION").as_env()
    assert {name: environ[name] for name in VARIABLES} == {
        **dict.fromkeys(VARIABLES, ""),
        "CNI_COMMAND": "VERSION",
    }
    assert {name: ARGS.as_env()[name] for name in VARIABLES} == EXPECTED


def test_item_195_the_rest_is_inherited(inherited: dict[str, str]) -> None:
    assert ours(ARGS.as_env()) == {**inherited, **EXPECTED}
    assert ours() == inherited


@pytest.mark.anyio
async def test_item_194_and_195_as_the_plugin_sees_it(
    recorder: Recorder, inherited: dict[str, str]
) -> None:
    """The plugin sees each variable once, including empty ones."""
    dump = recorder.folder / "dump"
    path = recorder.folder / "bridge"
    path.write_text(f"#!/bin/sh\ncat /proc/$$/environ > {dump}\nexit\n")
    path.chmod(0o755)
    args = Args(command="DEL", path=["/bin"])
    await RawExec().exec_plugin(str(path), b"", args.as_env())
    entries = dump.read_text().split("\0")[:-1]
    names = [entry.partition("=")[0] for entry in entries]
    assert len(names) == len(set(names))
    environ = dict(entry.split("=", 1) for entry in entries)
    assert ours(environ) == {
        **inherited,
        **dict.fromkeys(VARIABLES, ""),
        "CNI_COMMAND": "DEL",
        "CNI_PATH": "/bin",
    }


@pytest.mark.anyio
async def test_undecodable_environment(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not text are passed on unchanged."""
    monkeypatch.setenv("INHERITED", os.fsdecode(b"\xff\xfe"))
    path = recorder.plugin("bridge")
    await RawExec().exec_plugin(str(path), b"{}", ARGS.as_env())
    (call,) = recorder.calls()
    assert os.fsencode(call.environ["INHERITED"]) == b"\xff\xfe"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], ""),
        ([("A", "b")], "A=b"),
        ([("Z", "1"), ("A", "2"), ("Z", "3")], "Z=1;A=2;Z=3"),
        ([("A", "")], "A="),
        ([("", "")], "="),
        ((("A", "b c"), ("D", "é")), "A=b c;D=é"),
    ],
)
def test_item_196_pairs(args: list[tuple[str, str]], text: str) -> None:
    assert join_args(args) == text
    assert Args(command="ADD", args=args).as_env()["CNI_ARGS"] == text


def test_item_196_ready_made_text_goes_first() -> None:
    args = Args(command="ADD", args=[("A", "b")], args_text="C=d;E=f")
    assert args.as_env()["CNI_ARGS"] == "C=d;E=f"


@pytest.mark.parametrize(
    ("pair", "culprit"),
    [
        (("a", "b;c=d"), "b;c=d"),
        (("a;b", "c"), "a;b"),
        (("a=b", "c"), "a=b"),
        (("a", ";"), ";"),
    ],
)
def test_item_197_no_pair_becomes_another(pair: tuple[str, str], culprit: str) -> None:
    with pytest.raises(ArgsError) as caught:
        validate_args([("fine", "too"), pair])
    what = "; or =" if culprit == pair[0] else ";"
    assert str(caught.value) == (
        f'CNI_ARGS cannot carry "{culprit}" (of the pair "{"=".join(pair)}"): it contains {what}'
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "pair", [("a", "b"), ("", ""), ("a", "b c:/,é\n"), ("é", "{}"), ("a", "b=c=")]
)
def test_item_197_what_can_be_carried(pair: tuple[str, str]) -> None:
    validate_args([pair, pair])


@pytest.mark.parametrize(
    ("path", "text"),
    [([], ""), (["/a"], "/a"), (("/a", "", "b c"), f"/a{os.pathsep}{os.pathsep}b c")],
)
def test_item_198_path(path: list[str], text: str) -> None:
    assert Args(command="ADD", path=path).as_env()["CNI_PATH"] == text


def test_item_200_delegate_args(inherited: dict[str, str]) -> None:
    assert ours(DelegateArgs("DEL").as_env()) == {**inherited, "CNI_COMMAND": "DEL"}
    assert ours() == inherited


def test_item_200_delegate_args_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNI_COMMAND", raising=False)
    assert DelegateArgs("ADD").as_env() == {**os.environ, "CNI_COMMAND": "ADD"}


@pytest.mark.anyio
async def test_item_201_no_environment_is_ours(
    recorder: Recorder, inherited: dict[str, str], tmp_path: Path
) -> None:
    path = recorder.plugin("bridge")
    await RawExec().exec_plugin(str(path), b"{}", None)
    (call,) = recorder.calls()
    assert call.cni_environ == {
        name: value for name, value in inherited.items() if name.startswith("CNI_")
    }

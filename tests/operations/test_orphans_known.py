"""Plugins of a dead runtime that `recover` recognizes, and processes that only look like them."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import anyio
import pytest

from cni_async import CNIConfig, MemoryCache, NetworkAttachment
from cni_async._async.threads import in_thread
from cni_async.operations import orphans
from tests.support.chains import network
from tests.support.processes import is_running
from tests.support.require import require
from tests.support.scripts import Scripts

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("spawn")]

ME: Final = f"known{os.getpid()}"
NETNS: Final = f"/run/netns/{ME}"
ANOTHER_USER: Final = 54321
SHELL: Final = os.path.realpath("/bin/sh")
LONG: Final = 30.0

Start = Callable[..., "subprocess.Popen[bytes]"]
POPEN: Final = cast("Start", subprocess.Popen)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Provide a plugin directory that every user may read."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Return a function that starts a program as plugins are started."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(
        *words: str | Path, leads: bool = True, cni_path: str | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": os.defpath,
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": ME,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": NETNS,
            "CNI_PATH": str(folder) if cni_path is None else cni_path,
        }
        pipe = subprocess.PIPE
        process = POPEN(
            [*map(str, words)],
            env=options.pop("env", environ),
            stdin=pipe,
            stdout=pipe,
            start_new_session=leads,
            **options,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


def says_that_it_runs(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"


def shell(path: Path, *, mode: int = 0o755) -> Path:
    """Make a program, a copy of the shell, that runs the lines it reads from stdin."""
    shutil.copyfile(SHELL, path)
    path.chmod(mode)
    return path


def tell(process: subprocess.Popen[bytes], line: bytes = b"echo") -> None:
    """Send a line to a shell that reads from stdin."""
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    process.stdin.flush()


def added(plugin: str = "a", netns: str = NETNS) -> NetworkAttachment:
    return NetworkAttachment(ME, "net", "eth0", config=network(plugin).raw, netns=netns)


async def is_seen(monkeypatch: pytest.MonkeyPatch, *path: Path, plugin: str = "a") -> bool:
    """Return whether `recover` would wait for an ADD of that plugin."""
    seen = threading.Event()
    report = orphans._still_runs

    def reported(*args: Any) -> Any:
        seen.set()
        return report(*args)

    async def to_its_end(look: Callable[[], Any], *, limiter: anyio.CapacityLimiter) -> Any:
        # A look that is abandoned in its thread would report to the next call of `is_seen`.
        with anyio.CancelScope(shield=True):
            return await in_thread(look, limiter=limiter)

    monkeypatch.setattr(orphans, "_still_runs", reported)
    monkeypatch.setattr(orphans, "in_thread", to_its_end)
    attachment = added(plugin)
    places = [str(each) for each in path]

    async def wait() -> None:
        with anyio.fail_after(LONG):
            await orphans.wait_for_orphans([attachment], places, within=2 * LONG)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        while not seen.is_set():
            await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    return seen.is_set()


# -- processes of others


async def test_another_users(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the right environment, name and file. `recover` does not even read its memory."""
    require(os.geteuid() == 0, "needs root")
    script = Scripts(folder).sh("echo; read line", "a")
    process = start(script, user=ANOTHER_USER, group=ANOTHER_USER)
    says_that_it_runs(process)
    read: list[int] = []
    strings = orphans._strings

    def spy(pid: int, name: str) -> list[bytes]:
        read.append(pid)
        return strings(pid, name)

    monkeypatch.setattr(orphans, "_strings", spy)
    assert not await is_seen(monkeypatch, folder)
    # Its memory may be in a file system of its own, where a read can take forever.
    assert process.pid not in read
    assert is_running(process.pid)


async def test_a_set_user_id_program_that_another_user_runs(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(os.geteuid() == 0, "needs root")
    # A shell drops set-user-ID rights unless it is started with -p.
    program = shell(folder / "a", mode=0o4755)
    process = start(program, "-p", user=ANOTHER_USER, group=ANOTHER_USER)
    tell(process, b"id -u; echo")
    assert process.stdout is not None
    require(process.stdout.readline() == b"0\n", "needs a file system with set-user-ID programs")
    says_that_it_runs(process)
    assert not await is_seen(monkeypatch, folder)


async def test_one_of_another_pid_namespace(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's processes also belong to root, and are visible from outside."""
    require(os.geteuid() == 0, "needs root")
    require(shutil.which("unshare") and shutil.which("setsid"), "needs util-linux")
    script = Scripts(folder).sh("echo; read line", "a")
    process = start("unshare", "--pid", "--fork", "--kill-child", "setsid", script, leads=False)
    says_that_it_runs(process)
    assert not await is_seen(monkeypatch, folder)


# -- processes of ours that are not plugins


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(lambda a: {"words": ["sleep", "60"]}, id="environment"),
        pytest.param(
            lambda a: {"words": [a, "60"], "executable": shutil.which("sleep")}, id="name"
        ),
        pytest.param(lambda a: {"words": ["tail", "-f", a]}, id="argument"),
        pytest.param(lambda a: {"words": ["sh", "-c", "read line", a]}, id="shell"),
        pytest.param(lambda a: {"words": [shell(a.parent / "elsewhere" / "a")]}, id="elsewhere"),
        pytest.param(lambda a: {"words": [shell(a.parent / "b")]}, id="another-plugin"),
    ],
)
async def test_no_plugin(
    folder: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Callable[[Path], dict[str, Any]],
) -> None:
    (folder / "elsewhere").mkdir()
    script = Path(Scripts(folder).sh("echo; read line", "a"))
    options = arguments(script)
    process = start(*options.pop("words"), **options)
    assert not await is_seen(monkeypatch, folder)
    assert is_running(process.pid)
    # The plugin itself would be seen.
    says_that_it_runs(start(script))
    assert await is_seen(monkeypatch, folder)


# -- plugins


SCRIPTS: Final = {
    "sh": "#!/bin/sh\n",
    "sh, an argument": "#!/bin/sh -e\n",
    "sh, spaces": "#! \t/bin/sh \n",
    "env": "#!/usr/bin/env sh\n",
    "env -S": "#!/usr/bin/env -S A=b sh -e -f\n",
}


def script(path: Path, head: str = SCRIPTS["sh"]) -> Path:
    fresh = path.with_name(".fresh")
    fresh.write_text(f"{head}echo\nread line\n")
    fresh.chmod(0o755)
    return fresh.rename(path)


@pytest.mark.parametrize("head", SCRIPTS.values(), ids=list(SCRIPTS))
async def test_a_script(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    says_that_it_runs(start(script(folder / "a", head)))
    assert await is_seen(monkeypatch, folder)


def unlinked(path: Path) -> None:
    path.unlink()


def by_a_script(path: Path) -> None:
    script(path)


def by_a_program(path: Path) -> None:
    fresh = shell(path.with_name(".fresh"))
    fresh.rename(path)


def moved_away(path: Path) -> None:
    path.rename(path.with_name("a.old"))
    shell(path)


@pytest.mark.parametrize("change", [unlinked, by_a_script, by_a_program])
async def test_a_script_that_is_replaced_meanwhile(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    plugin = script(folder / "a")
    says_that_it_runs(start(plugin))
    change(plugin)
    assert await is_seen(monkeypatch, folder)


@pytest.mark.parametrize("change", [unlinked, by_a_script, by_a_program, moved_away])
async def test_a_program_that_is_replaced_meanwhile(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    plugin = shell(folder / "a")
    process = start(plugin)
    tell(process)
    says_that_it_runs(process)
    assert await is_seen(monkeypatch, folder)
    change(plugin)
    assert await is_seen(monkeypatch, folder)


async def test_a_folder_that_is_replaced_meanwhile(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions may lie side by side, with a symlink to the current one."""
    for version in ("v1", "v2"):
        (folder / version).mkdir()
        shell(folder / version / "a")
    current = folder / "current"
    current.symlink_to("v1")
    process = start(current / "a", cni_path=str(current))
    tell(process)
    says_that_it_runs(process)
    current.unlink()
    current.symlink_to("v2")
    assert await is_seen(monkeypatch, folder / "v2")


async def test_one_program_for_all_plugins(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plugins are then symlinks to one program, which knows from its name which plugin it is."""
    shell(folder / "all")
    for name in ("a", "b"):
        (folder / name).symlink_to("all")
    process = start(folder / "b")
    tell(process)
    says_that_it_runs(process)
    assert not await is_seen(monkeypatch, folder)
    assert await is_seen(monkeypatch, folder, plugin="b")


@pytest.mark.parametrize("cni_path", ["", ".", "ours", "theirs"])
async def test_where_plugins_are(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, cni_path: str
) -> None:
    """In our directories or in its CNI_PATH; a relative path starts at its working directory."""
    plugin = script(folder / "a")
    path = {"ours": "/elsewhere", "theirs": str(folder)}.get(cni_path, cni_path)
    says_that_it_runs(start(plugin, cni_path=path, cwd=folder))
    ours = [] if cni_path in (".", "theirs") else [folder]
    assert await is_seen(monkeypatch, *ours)
    assert not await is_seen(monkeypatch, Path("/elsewhere"), plugin="b")


@pytest.mark.parametrize("name", ["a\0", "\ud800", "", "../a", "/a"])
async def test_names_that_no_plugin_has(folder: Path, start: Start, name: str) -> None:
    """A record may contain such names nevertheless."""
    process = start(script(folder / "a"))
    says_that_it_runs(process)
    assert not orphans._runs(process.pid, name, [str(folder), "\0", "\ud800", ""])
    assert orphans._runs(process.pid, "a", [str(folder), "\0", "\ud800", ""])
    assert await orphans.wait_for_orphans([added(netns=name)], within=LONG) == {}


async def test_recover_looks_in_the_directories_of_its_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[Any] = []

    async def spy(attachments: Any, path: Any, *, within: float) -> dict[Any, Any]:
        paths.append(path)
        return {}

    monkeypatch.setattr("cni_async.operations.recover.wait_for_orphans", spy)
    cni = CNIConfig([folder], cache=MemoryCache())
    assert await cni.recover(delete=True) == []
    assert paths == [(str(folder),)]


async def test_no_proc_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pid: object) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(orphans._Rights, "of", fail)
    assert not await is_seen(monkeypatch, folder)

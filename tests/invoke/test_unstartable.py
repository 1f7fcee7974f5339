"""The notes on a plugin that cannot be executed, which add to libcni's text."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni_async.errors import PluginError
from cni_async.invoke import RawExec
from tests.support.scripts import Scripts, skip_on

pytestmark = [pytest.mark.anyio, pytest.mark.libuv, pytest.mark.usefixtures("spawn")]

MISSING = "no such file or directory"
DENIED = "permission denied"
FORMAT = "exec format error"


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


async def notes(path: str, reason: str) -> list[str]:
    """Run a plugin that cannot be started; return the notes of the error."""
    with pytest.raises(PluginError) as caught:
        await RawExec().exec_plugin(path, b"", None)
    text = "netplugin failed with no error message: "
    assert str(caught.value) == f"{text}fork/exec {path}: {reason}"
    found: list[str] = getattr(caught.value, "__notes__", [])
    assert all(note.startswith(f"{path}: ") for note in found)
    return [note.removeprefix(f"{path}: ") for note in found]


def executable(scripts: Scripts, content: bytes, mode: int = 0o755) -> str:
    path = Path(scripts.sh("exit"))
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("content", "reason", "note"),
    [
        pytest.param(
            b"#!/bin/sh\r\necho done\r\n",
            MISSING,
            'its interpreter "/bin/sh\\r" is not there: '
            "the line ends in a carriage return, as on Windows",
            id="carriage-return",
        ),
        pytest.param(
            b"#! /no/such/python3 -I\n", MISSING, 'its interpreter "/no/such/python3" is not there'
        ),
        pytest.param(
            b"#!\t/bin/sh/python\targument\n",
            "not a directory",
            'its interpreter "/bin/sh/python" is not there',
        ),
        pytest.param(b"#!/no/such", MISSING, 'its interpreter "/no/such" is not there'),
        pytest.param(
            b"#!/tmp\n", DENIED, 'its interpreter "/tmp" cannot be executed: it is a directory'
        ),
        pytest.param(
            b"#!/etc/passwd\n",
            DENIED,
            'its interpreter "/etc/passwd" cannot be executed: '
            "it has no permission to be executed (mode 0644)",
        ),
        pytest.param(b"", FORMAT, "it is empty", id="empty"),
        pytest.param(
            b"echo done\n", FORMAT, "it is neither a program (ELF) nor a script that begins with #!"
        ),
        pytest.param(
            b"\xef\xbb\xbf#!/bin/sh\n",
            FORMAT,
            "it begins with a byte order mark, and not with #!",
            id="byte-order-mark",
        ),
    ],
)
async def test_scripts(scripts: Scripts, content: bytes, reason: str, note: str) -> None:
    assert await notes(executable(scripts, content), reason) == [note]


async def test_no_plugin_at_all(scripts: Scripts) -> None:
    """A missing plugin needs no note."""
    assert await notes(f"{scripts.folder}/missing", MISSING) == []


async def test_no_permission(scripts: Scripts) -> None:
    path = executable(scripts, b"#!/bin/sh\n", 0o640)
    assert await notes(path, DENIED) == ["it has no permission to be executed (mode 0640)"]


async def test_a_directory(scripts: Scripts) -> None:
    path = scripts.folder / "directory"
    path.mkdir()
    assert await notes(str(path), DENIED) == ["it is a directory"]


def program() -> bytearray:
    """Return a dynamically linked 64-bit program."""
    return bytearray(Path(os.path.realpath(sys.executable)).read_bytes())


def loader(content: bytearray) -> tuple[int, int]:
    """Return the offset and the length of the dynamic loader's path in a program."""
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for header in range(headers, headers + count * size, size):
        if struct.unpack_from("<I", content, header)[0] == 3:  # PT_INTERP
            return struct.unpack_from("<Q", content, header + 8)[0], struct.unpack_from(
                "<Q", content, header + 32
            )[0]
    pytest.fail("Python is linked statically")


async def test_another_machine(scripts: Scripts) -> None:
    skip_on("uvloop", "uvloop has /bin/sh try programs of other machines", "anyio")
    content = program()
    ours = {62: "x86_64", 183: "aarch64"}[struct.unpack_from("<H", content, 18)[0]]
    struct.pack_into("<H", content, 18, 22)
    path = executable(scripts, bytes(content[:4096]))
    assert await notes(path, FORMAT) == [f"it is a program for s390, and this is {ours}"]
    struct.pack_into("<H", content, 18, 999)
    path = executable(scripts, bytes(content[:4096]))
    assert await notes(path, FORMAT) == [
        f"it is a program for machine 999 of ELF, and this is {ours}"
    ]


async def test_no_dynamic_loader(scripts: Scripts) -> None:
    content = program()
    start, length = loader(content)
    content[start : start + 4] = b"/xyz"
    name = bytes(content[start : start + length]).rstrip(b"\0").decode()
    path = executable(scripts, bytes(content))
    assert await notes(path, MISSING) == [
        f'its dynamic loader "{name}" is not there: it was built for another system'
    ]


@pytest.mark.parametrize("length", [5, 20, 60])
async def test_half_a_program(scripts: Scripts, length: int) -> None:
    """The error is the kernel's, without a note, whatever the file contains."""
    skip_on("uvloop", "uvloop has /bin/sh try what the kernel cannot execute", "anyio")
    assert await notes(executable(scripts, bytes(program()[:length])), FORMAT) == []


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system from which nothing can be executed."""
    folder = tmp_path / "noexec"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root and mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_noexec(scripts: Scripts, noexec: Path) -> None:
    path = Scripts(noexec).sh("exit")
    assert await notes(path, DENIED) == ["its file system is mounted noexec"]
    script = executable(scripts, f"#!{path}\n".encode())
    assert await notes(script, DENIED) == [
        f'its interpreter "{path}" cannot be executed: its file system is mounted noexec'
    ]

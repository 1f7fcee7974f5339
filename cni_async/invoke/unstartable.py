"""Why the kernel refused to execute a file, where its errno is misleading.

The kernel also reports "No such file or directory" if a script's interpreter or a program's dynamic
loader is missing. Nothing here runs in a thread: the kernel has just looked at the same file.
"""

import errno
import os
import stat
import struct
from typing import Final

from cni_async.go.quote import quote

_HEAD: Final = 4096
# The kernel reads no more bytes of a script's first line (BINPRM_BUF_SIZE).
_FIRST_LINE: Final = 256
_ELF: Final = b"\x7fELF"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PT_INTERP: Final = 3
_MACHINES: Final = {
    3: "x86",
    21: "ppc64",
    22: "s390",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}


def explain(path: str, number: int) -> str:
    """Return what is wrong with a file that could not be executed; "" if that is unknown.

    Args:
        path: the file.
        number: the errno of the attempt.
    """
    try:
        status = os.stat(path)
        if number == errno.EACCES and (reason := _forbidden(path, status)):
            return reason
        if not stat.S_ISREG(status.st_mode):
            return ""
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            if number in {errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
                if head.startswith(b"#!"):
                    return _interpreter(head, number)
                loader = _loader(head, file.fileno())
                if loader and number != errno.EACCES:
                    return (
                        f"its dynamic loader {quote(loader)} is not there: "
                        "it was built for another system"
                    )
            return _not_executable(head) if number == errno.ENOEXEC else ""
    except (OSError, ValueError, IndexError, struct.error):
        return ""  # the file is gone, or truncated


def _forbidden(path: str | bytes, status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "it is a directory"
    if not status.st_mode & 0o111:
        return f"it has no permission to be executed (mode {stat.S_IMODE(status.st_mode):04o})"
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        return "its file system is mounted noexec"
    return ""


def _interpreter(head: bytes, number: int) -> str:
    line = head[2:_FIRST_LINE].partition(b"\n")[0].partition(b"\0")[0].lstrip(b" \t")
    interpreter = line.replace(b"\t", b" ").partition(b" ")[0]
    if not interpreter:
        return ""
    name = f"its interpreter {quote(interpreter)}"
    try:
        status = os.stat(interpreter)
    except OSError as error:
        if number == errno.EACCES:
            return f"{name} is not there" if error.errno == errno.ENOENT else ""
        if interpreter.endswith(b"\r"):
            return f"{name} is not there: the line ends in a carriage return, as on Windows"
        return f"{name} is not there"
    if number == errno.EACCES and (reason := _forbidden(interpreter, status)):
        return f"{name} cannot be executed: {reason}"
    return ""


def _loader(head: bytes, fd: int) -> bytes:
    """Return the dynamic loader that an ELF program names; b"" if it names none."""
    if not head.startswith(_ELF):
        return b""
    order = "<" if head[5] == 1 else ">"
    if head[4] == 2:  # of 64 bits
        (start,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        form, offset_at, length_at = f"{order}Q", 8, 32
    else:
        (start,) = struct.unpack_from(f"{order}I", head, 28)
        size, count = struct.unpack_from(f"{order}HH", head, 42)
        form, offset_at, length_at = f"{order}I", 4, 16
    for number in range(count):
        entry = os.pread(fd, size, start + number * size)
        if struct.unpack_from(f"{order}I", entry)[0] == _PT_INTERP:
            (offset,) = struct.unpack_from(form, entry, offset_at)
            (length,) = struct.unpack_from(form, entry, length_at)
            return os.pread(fd, min(length, _HEAD), offset).rstrip(b"\0")
    return b""


def _not_executable(head: bytes) -> str:
    if not head:
        return "it is empty"
    if head.startswith(_ELF):
        theirs, ours = _machine(head), _own_machine()
        if theirs and ours and theirs != ours:
            return f"it is a program for {theirs}, and this is {ours}"
        return ""
    if head.startswith(_BYTE_ORDER_MARK + b"#!"):
        return "it begins with a byte order mark, and not with #!"
    if not head.startswith(b"#!"):
        return "it is neither a program (ELF) nor a script that begins with #!"
    return ""


def _machine(head: bytes) -> str:
    number: int = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]
    return _MACHINES.get(number, f"machine {number} of ELF")


def _own_machine() -> str:
    try:
        with open("/proc/self/exe", "rb") as file:
            return _machine(file.read(64))
    except OSError:
        return ""

"""Read a task from stdin, run it once, and print its figures."""

from __future__ import annotations

import platform
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import anyio
import msgspec

from .cached import flat, list_cached
from .chains import attach, attach_real, gc, one, validate
from .meter import status
from .parsing import decode, parse, request
from .process import floor, imports, memory, stall
from .task import Rows, Task


async def about(task: Task) -> Rows:
    """Measure nothing: every answer has the versions."""
    return {}


CASES: Final[dict[str, Callable[[Task], Awaitable[Rows]]]] = {
    "about": about,
    "parse": parse,
    "request": request,
    "decode": decode,
    "one": one,
    "attach": attach,
    "real": attach_real,
    "gc": gc,
    "validate": validate,
    "list": list_cached,
    "flat": flat,
    "floor": floor,
    "stall": stall,
    "memory": memory,
    "imports": imports,
}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    found = {"Python": platform.python_version()}
    for package in ("anyio", "msgspec", "trio", "uvloop"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Run the task."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    backend: dict[str, Any] = {"backend": task.backend}
    if task.backend == "uvloop":
        backend = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    rows = anyio.run(CASES[task.case], task, **backend)
    answer = {"rows": rows, "peak": status("VmHWM"), "about": versions()}
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()

"""Serve as many programs: each is a fork of this process, which has imported what they need.

``python -m tests.programs.forking <socket> <pid>``; `tests.support.program` requests programs at
that socket, which is alone in its directory. Python needs a tenth of a second to import the
library, and as much again for trio; a test run has some hundred programs. This process does nothing
but import before it forks: it runs no event loop, starts no thread or process, handles no signal.

The command returns once the socket listens. The listening process has been reparented to init,
because tests fail if they leave a child. It ends when the process with the given ID does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import select
import socket
import sys
import types
import warnings
from contextlib import suppress
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any

IMPORTED = [
    # anyio imports these at the first event loop or the first thread.
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "anyio.to_thread",
    "uvloop",
    "cni_async.cli.commands",
    "cni_async.cli.namespaces",
    "rich.console",
    "tests.programs.interrupted",
    "tests.programs.limited",
    "tests.support.starts",
]


def serve(path: str, client: int) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request; return only in the forks, with the request and its streams."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    gone = os.pidfd_open(client)
    if os.fork():
        os._exit(0)
    gc.freeze()  # so that forks share the memory
    poll = select.poll()
    poll.register(gone, select.POLLIN)
    poll.register(listener, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == gone:
                os.unlink(path)
                os.rmdir(os.path.dirname(path))
                sys.exit()
            if fd in running:
                pid, who = running.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                with who, suppress(OSError):
                    who.send(b"%d" % os.waitpid(pid, 0)[1])
                continue
            who, _ = listener.accept()
            asked, streams, _, _ = socket.recv_fds(who, 2**20, 3)
            pid = os.fork()
            if not pid:
                for each in (listener, who, *(who for _, who in running.values())):
                    each.close()
                for fd in (gone, *running):
                    os.close(fd)
                return json.loads(asked), streams
            for fd in streams:
                os.close(fd)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, who
            poll.register(pidfd, select.POLLIN)
            with suppress(OSError):
                who.send(b"%d" % pid)


def become(asked: dict[str, Any], streams: list[int]) -> None:
    """Set up this process as Python would for the requested program, and run it."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    # Each program has its own random numbers, also for trio's order among tasks.
    random.seed()
    trio: Any = sys.modules["trio._core._run"]
    trio._r.seed()
    if asked["warnings"]:
        warnings.simplefilter(asked["warnings"])
    sys.argv = [asked["module"] or "-c", *asked["args"]]
    if asked["module"]:
        importlib.import_module(asked["module"]).main()
    else:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(asked["code"], "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    for name in IMPORTED:
        if name != "uvloop" or find_spec(name) is not None:
            importlib.import_module(name)
    become(*serve(sys.argv[1], int(sys.argv[2])))

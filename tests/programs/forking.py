"""Be many programs: a fork of this process, which has imported all that they need, is one.

``python -m tests.programs.forking <socket> <pid>``; `tests.support.program` asks for programs at
that socket, which is alone in its directory. A Python needs a tenth of a second to import the
library, and trio as much again; a test run has some hundred programs. Nothing but importing happens
before a fork: no event loop has run, no thread and no process was started, no signal is handled.

The command returns once the socket listens. The process that listens has been given to init, as
tests fail if they leave a child. It ends when the process of this ID does.
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
    # What anyio imports when there first is an event loop, a thread.
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "anyio.to_thread",
    "uvloop",
    "cni_async.cli.commands",
    "rich.console",
    "tests.programs.interrupted",
    "tests.programs.limited",
    "tests.support.starts",
]


def serve(path: str, client: int) -> tuple[dict[str, Any], list[int]]:
    """Fork what is asked for; returns in the forks only, with what each is and its streams."""
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
    """Do what a Python does that is started for this program."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    # Each program has chances of its own, trio's order among tasks too.
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

"""Fake plugins and a fake cache, for tests of a runtime.

>>> from cni_async import CNIConfig
>>> from cni_async.testing import FakeCache, FakeExec
>>> exec = FakeExec({("bridge", "ADD"): {"ips": [{"address": "10.1.2.3/24"}]}})
>>> cni = CNIConfig(["/opt/cni/bin"], exec=exec, cache=FakeCache())
"""

import inspect
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

import anyio.lowlevel
import msgspec

from . import _arguments, version
from .cache import AttachmentKey, MemoryCache, NetworkAttachment
from .errors import CacheError, CNIError, PluginNotFoundError
from .go.quote import plain_list, quote
from .version import PluginInfo

__all__ = ["FakeCache", "FakeCall", "FakeExec"]

_COMMANDS: Final = frozenset({"ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"})
_METHODS: Final = frozenset({"prepare", "store", "load", "remove", "attachments"})


class FakeCall(msgspec.Struct, frozen=True):
    """One call of a plugin that `FakeExec` answered.

    Attributes:
        plugin: the plugin's type.
        command: ADD, CHECK, DEL, GC, STATUS or VERSION.
        config: the configuration that the plugin would have read on stdin.
        environ: the environment that the plugin would have had.
    """

    plugin: str
    command: str
    config: dict[str, Any]
    environ: Mapping[str, str]


Reply = bytes | Mapping[str, Any] | Exception
Answer = Reply | Callable[[FakeCall], Reply | Awaitable[Reply | None] | None]


class FakeExec:
    """An `Exec` that runs no plugin, and records every call.

    A call without an answer of its own succeeds: ADD with the prevResult or an empty result,
    VERSION with all versions, the others without output.

    Attributes:
        calls: every call, in order.
        unasked: the plugins and commands whose answers no call has used yet.
    """

    def __init__(
        self,
        answers: Mapping[tuple[str, str], Answer] | None = None,
        *,
        missing: Collection[str] = (),
    ) -> None:
        """Set the plugins' answers.

        Args:
            answers: by plugin type and command. Each is the plugin's stdout, as bytes or as an
                object; an exception to raise; or a function or coroutine function that returns one
                of these, or `None` to succeed.
            missing: plugin types that are not found.

        Raises:
            ValueError: an answer is for an impossible plugin type or command: no call can use it.
            TypeError: `answers` is not a mapping from pairs, or `missing` is one string.
        """
        self.calls: list[FakeCall] = []
        self._answers = dict(answers or {})
        for key in self._answers:
            _check_key(key)
        self.unasked: set[tuple[str, str]] = set(self._answers)
        if isinstance(missing, str):
            _arguments.refuse(missing, "missing", "a collection of plugin types")
        self._missing = missing

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Record the call and return the plugin's answer."""
        await anyio.lowlevel.checkpoint()
        environ = dict(os.environ if environ is None else environ)
        command = environ.get("CNI_COMMAND", "")
        call = FakeCall(
            os.path.basename(plugin_path), command, msgspec.json.decode(stdin_data), environ
        )
        self.calls.append(call)
        answer = self._answers.get((call.plugin, command))
        self.unasked.discard((call.plugin, command))
        reply: Any = answer(call) if callable(answer) else answer
        if inspect.isawaitable(reply):
            reply = await reply
        if isinstance(reply, CNIError):
            raise reply.copy()  # callers set its attributes
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, bytes):
            return reply
        return _default(call) if reply is None else msgspec.json.encode(reply)

    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of a plugin in the first directory, unless the plugin is missing."""
        await anyio.lowlevel.checkpoint()
        if plugin in self._missing or not paths:
            raise PluginNotFoundError(
                f"failed to find plugin {quote(plugin)} in path {plain_list(paths)}",
                plugin=plugin,
                paths=paths,
            )
        return os.path.join(paths[0], plugin)

    def decode(self, data: bytes) -> PluginInfo:
        """Return the versions in an answer to VERSION, as `DefaultExec` does."""
        return version.decode_plugin_info(data)


def _check_key(key: object) -> None:
    match key:
        case (str(plugin), str(command)):
            if command not in _COMMANDS:
                commands = ", ".join(sorted(_COMMANDS))
                raise ValueError(f"{key!r}: {command!r} is not a command; commands are {commands}")
            if not plugin or os.sep in plugin:
                raise ValueError(f"{key!r}: {plugin!r} is not a plugin type")
        case _:
            _arguments.refuse(key, "each key of answers", "a pair of plugin type and command")


def _default(call: FakeCall) -> bytes:
    if call.command == "VERSION":
        return version.ALL.encode()
    if call.command == "ADD":
        empty = {"cniVersion": call.config.get("cniVersion", "")}
        return msgspec.json.encode(call.config.get("prevResult", empty))
    return b""


class FakeCache(MemoryCache):
    """A `MemoryCache` that fails on demand.

    Attributes:
        fail_on: names of the methods that raise a `CacheError`; may be changed at any time.
    """

    def __init__(self, *, fail_on: Collection[str] = ()) -> None:
        """Start with an empty cache.

        Args:
            fail_on: names of the methods that raise, e.g. ``{"store"}``.

        Raises:
            ValueError: a name is not that of a method. Names that are added later are checked when
                the cache is used.
            TypeError: `fail_on` is one string.
        """
        super().__init__()
        if isinstance(fail_on, str):
            _arguments.refuse(fail_on, "fail_on", "a collection of names of methods")
        self.fail_on: set[str] = set(fail_on)
        self._check_names()

    def _check_names(self) -> None:
        if unknown := self.fail_on - _METHODS:
            methods = ", ".join(sorted(_METHODS))
            raise ValueError(f"fail_on: {sorted(unknown)} is not a method; methods are {methods}")

    def _fail(self, method: str) -> None:
        self._check_names()
        if method in self.fail_on:
            raise CacheError(f"{method}: input/output error")

    async def prepare(self, key: AttachmentKey) -> None:
        """Check that `store` can write the record."""
        self._fail("prepare")
        await super().prepare(key)

    async def store(self, key: AttachmentKey, record: bytes) -> None:
        """Write a record."""
        self._fail("store")
        await super().store(key, record)

    async def load(self, key: AttachmentKey) -> bytes | None:
        """Return a record."""
        self._fail("load")
        return await super().load(key)

    async def remove(self, key: AttachmentKey) -> None:
        """Remove an attachment's record."""
        self._fail("remove")
        await super().remove(key)

    async def attachments(self, container_id: str = "") -> list[NetworkAttachment]:
        """Return the attachments of a container, or all of them."""
        self._fail("attachments")
        return await super().attachments(container_id)

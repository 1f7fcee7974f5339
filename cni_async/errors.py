"""Every error that `cni_async` raises on purpose.

::

    CNIError
    ├── ConfigError               a configuration is malformed               (also a ValueError)
    │   ├── NoConfigsFoundError   a directory holds no configuration at all
    │   ├── NotFoundError         ... or none of that name
    │   └── UnsupportedVersionError   it offers no version that this library supports
    ├── VersionError              a version string cannot be parsed          (also a ValueError)
    │   └── IncompatibleVersionError  the plugin does not speak the configuration's version
    ├── CheckNotSupportedError    the configuration's version has no CHECK
    ├── ArgsError                 CNI_ARGS or capability args cannot be passed (also a ValueError)
    ├── PluginNotFoundError       no executable of that name in the path
    ├── ResultError               a result cannot be decoded or converted    (also a ValueError)
    ├── CacheError                a record cannot be read, written or trusted
    │   ├── CorruptRecordError    the file does not hold a record
    │   ├── ForeignRecordError    the record is another attachment's
    │   └── CacheWriteError       it could not be written; `.result` is ADD's result
    ├── AlreadyAttachedError      the container is attached in another way   (strict=True)
    ├── AggregateError            several things failed                      (an ExceptionGroup)
    │   ├── ValidationError       in validate_network_list
    │   ├── GCError               in gc_network_list
    │   └── RecoveryError         in recover
    └── PluginError               a plugin failed: types.Error, with code, msg and details
        ├── PluginTimeoutError    it ran past its deadline                   (also a TimeoutError)
        ├── OutputLimitError      it wrote more than allowed
        └── InvalidIdentifierError    container id, network or interface name (also a ValueError)

``str(error)`` is libcni's text, which callers match on; attributes hold the rest. An error that
libcni wraps (``plugin type="bridge" failed (add): …``) keeps its type here: the wrapper's words
are put before the text by `CNIError.in_context`, so ``except PluginError`` works at every level.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Self

from .go import quote as go_text

if TYPE_CHECKING:
    from .types import Result


class CNIError(Exception):
    """The root of all errors of this library.

    Attributes:
        rollback_error: the error of the DEL that was to undo the failed operation; `None` if that
            DEL succeeded or there was none.
    """

    rollback_error: Exception | None = None
    _context = ""

    def __str__(self) -> str:
        return self._context + self._text()

    def _text(self) -> str:
        return super().__str__()

    def in_context(self, words: str) -> Self:
        """Put words before the text, as libcni does when it wraps an error; return the error."""
        self._context = words + self._context
        return self

    def copy(self) -> Self:
        """Return another error that says the same; context and notes that it gets are its own."""
        twin = copy(self)
        if notes := getattr(self, "__notes__", None):
            twin.__notes__ = list(notes)
        return twin


class ConfigError(CNIError, ValueError):
    """A network configuration is malformed.

    Attributes:
        key: the key at fault, if there is one.
        path: the file that the configuration was read from, if any.
    """

    def __init__(self, text: str = "", *, key: str = "", path: str = "") -> None:
        super().__init__(text)
        self.key = key
        self.path = path

    def _text(self) -> str:
        text = super()._text()
        # libcni does not name the file; the text up to here is libcni's.
        return f"{text} (in {self.path})" if self.path and self.path not in text else text


class NoConfigsFoundError(ConfigError):
    """A directory holds no network configuration (libcni.NoConfigsFoundError)."""

    def __init__(self, dir: str) -> None:
        super().__init__(dir)
        self.dir = dir

    def _text(self) -> str:
        return f"no net configurations found in {self.dir}"


class NotFoundError(ConfigError):
    """A directory holds no network configuration of that name (libcni.NotFoundError)."""

    def __init__(self, dir: str, name: str) -> None:
        super().__init__(dir)
        Exception.__init__(self, dir, name)  # pickle passes these to __init__
        self.dir = dir
        self.name = name

    def _text(self) -> str:
        return f'no net configuration with name "{self.name}" in {self.dir}'


class VersionError(CNIError, ValueError):
    """A version is not one to three integers with dots between them."""

    def _text(self) -> str:
        return go_text.shorten(super()._text())


class UnsupportedVersionError(ConfigError):
    """A network configuration offers no CNI version that this library supports."""


class IncompatibleVersionError(VersionError):
    """A plugin does not support the configuration's version (version.ErrorIncompatible)."""

    def __init__(self, config: str, supported: Sequence[str]) -> None:
        super().__init__(config)
        Exception.__init__(self, config, tuple(supported))  # pickle passes these to __init__
        self.config = config
        self.supported: tuple[str, ...] = tuple(supported)

    @property
    def details(self) -> str:
        """The versions that differ, without libcni's prefix."""
        return (
            f"config is {go_text.quote(self.config)}, "
            f"plugin supports {go_text.quoted_list(self.supported)}"
        )

    def _text(self) -> str:
        return go_text.shorten(f"incompatible CNI versions: {self.details}")


class CheckNotSupportedError(CNIError):
    """The configuration's version has no CHECK (libcni.ErrorCheckNotSupp)."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version

    def _text(self) -> str:
        quoted = go_text.quote(self.version)
        return f"configuration version {quoted} does not support the CHECK command"


class ArgsError(CNIError, ValueError):
    """CNI_ARGS or capability args cannot be passed to a plugin as they are."""


class PluginNotFoundError(CNIError):
    """A plugin is not in the path.

    Attributes:
        plugin: the plugin's type.
        paths: the directories that were searched.
    """

    def __init__(self, text: str = "", *, plugin: str = "", paths: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.plugin = plugin
        self.paths: tuple[str, ...] = tuple(paths)


class ResultError(CNIError, ValueError):
    """A result cannot be decoded, or cannot be converted to the requested version.

    Attributes:
        plugin: type of the plugin that returned the result; if no plugin was called, this and the
            other attributes are empty.
        command: ADD.
        exit_code: exit status of the plugin's process.
        stdout: the beginning of the process's stdout.
        stderr: the end of the process's stderr, where the `Exec` reports it.
    """

    def __init__(
        self,
        text: str = "",
        *,
        plugin: str = "",
        command: str = "",
        exit_code: int | None = None,
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        super().__init__(go_text.shorten(text))
        self.plugin = plugin
        self.command = command
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class CacheError(CNIError):
    """The cache cannot be read or written, or does not hold the expected record.

    Attributes:
        path: the record's file, where the cache has files.
    """

    def __init__(self, text: str = "", *, path: str = "") -> None:
        super().__init__(text)
        self.path = path


class CorruptRecordError(CacheError):
    """A cache record is empty, truncated, of an unknown kind, or holds no result."""


class ForeignRecordError(CacheError):
    """The record under an attachment's file name is another attachment's."""


class CacheWriteError(CacheError):
    """The attachment could not be recorded; the container may still be attached.

    Attributes:
        result: the last plugin's result; `None` where no plugin had run yet.
    """

    def __init__(self, text: str = "", *, path: str = "", result: Result | None = None) -> None:
        super().__init__(text, path=path)
        self.result = result


class AlreadyAttachedError(CNIError):
    """An ADD was refused: the container is attached to the network in another way.

    `CNIConfig(strict=True)` raises it before any plugin runs. Call DEL first.

    Attributes:
        config: the bytes of the network configuration in the cache; empty if the record has none.
        netns: path of the network namespace in the cache; empty if that is unknown.
    """

    def __init__(self, text: str = "", *, config: bytes = b"", netns: str = "") -> None:
        super().__init__(text)
        self.config = config
        self.netns = netns


class AggregateError(CNIError, ExceptionGroup[Exception]):
    """Several things failed: an `ExceptionGroup`, so that `except*` finds each of them."""

    def __new__(cls, errors: Sequence[Exception]) -> Self:  # noqa: D102
        return super().__new__(cls, "\n".join(map(str, errors)), errors)

    def __init__(self, errors: Sequence[Exception]) -> None:
        Exception.__init__(self, errors)  # pickle passes these to __init__

    @property
    def errors(self) -> tuple[Exception, ...]:
        """Each failure, in the order of the plugins or attachments."""
        return self.exceptions

    def derive(self, excs: Sequence[Any], /) -> Any:
        """Return a group of the same kind with some of the failures."""
        part = type(self)(excs)
        part.__dict__.update(self.__dict__)
        return part

    def _text(self) -> str:
        return "\n".join(map(str, self.errors))


class ValidationError(AggregateError):
    """Plugins of a list are missing or do not support its version (ValidateNetworkList)."""

    def _text(self) -> str:
        return go_text.plain_list(self.errors)


class GCError(AggregateError):
    """Attachments could not be deleted or plugins could not collect (GCNetworkList)."""


class RecoveryError(AggregateError):
    """Attachments of unfinished ADDs could not be deleted; their records stay."""


class ErrorCode(IntEnum):
    """The error codes that the CNI specification and libcni reserve (types.Err…)."""

    UNKNOWN = 0
    INCOMPATIBLE_CNI_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT_VARIABLES = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_NETWORK_CONFIG = 7
    INVALID_NETNS = 8
    TRY_AGAIN_LATER = 11
    PLUGIN_NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    INTERNAL = 999


# STATUS answers 50 and 51 while a plugin is not ready yet.
_RETRYABLE: Final = frozenset(
    {ErrorCode.TRY_AGAIN_LATER, ErrorCode.PLUGIN_NOT_AVAILABLE, ErrorCode.LIMITED_CONNECTIVITY}
)


class PluginError(CNIError):
    """A plugin failed (types.Error).

    Attributes:
        code: from the plugin's error object, an `ErrorCode` if it is known; 0 if there is none.
        msg: from the error object, or libcni's text for the failure.
        details: from the error object.
        plugin: the plugin's type.
        command: ADD, CHECK, DEL, GC, STATUS or VERSION; empty where no plugin was called.
        exit_code: exit status; `None` if the process did not start or a signal ended it.
        signal: the signal's number if one ended the process.
        stderr: the end of the process's stderr.
        retryable: whether the same call may succeed later.
        started: False if the system refused to start the plugin, so that the plugin did nothing.
    """

    started: bool = True

    def __init__(
        self,
        msg: str = "",
        *,
        code: int = ErrorCode.UNKNOWN,
        details: str = "",
        plugin: str = "",
        command: str = "",
        exit_code: int | None = None,
        signal: int | None = None,
        stderr: str = "",
        retryable: bool | None = None,
    ) -> None:
        super().__init__(msg)
        self.code: ErrorCode | int = ErrorCode(code) if code in _KNOWN_CODES else code
        self.msg = msg
        self.details = details
        self.plugin = plugin
        self.command = command
        self.exit_code = exit_code
        self.signal = signal
        self.stderr = stderr
        self.retryable: bool = code in _RETRYABLE if retryable is None else retryable

    def _text(self) -> str:
        return f"{self.msg}; {self.details}" if self.details else self.msg

    def __repr__(self) -> str:
        kind, code = type(self).__name__, int(self.code)
        return f"{kind}({self.msg!r}, {code=}, plugin={self.plugin!r}, command={self.command!r})"

    def to_json(self, indent: int | None = None) -> str:
        """Write the error object that the CNI specification defines.

        Args:
            indent: spaces per level; None for one line.
        """
        fields: dict[str, Any] = {"code": int(self.code), "msg": self.msg}
        if self.details:
            fields["details"] = self.details
        return json.dumps(fields, indent=indent, ensure_ascii=False)


_KNOWN_CODES: Final = frozenset(ErrorCode)


class PluginTimeoutError(PluginError, TimeoutError):
    """A plugin ran past its deadline and was killed; its changes may remain."""


class OutputLimitError(PluginError):
    """A plugin wrote more than allowed and was killed."""


class InvalidIdentifierError(PluginError, ValueError):
    """A container ID, network name or interface name is empty or has wrong characters."""

"""A plugin's environment (CNI specification, section 2, "Parameters")."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import force_setattr

from cni_async import _arguments
from cni_async.errors import ArgsError
from cni_async.go.quote import quote

PluginArgs = Sequence[tuple[str, str]]


class Args(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of one call of a plugin (invoke.Args).

    Attributes:
        command: ADD, CHECK, DEL, GC, STATUS or VERSION.
        container_id: the container's ID.
        netns: path of the network namespace; a string or a path, kept as a string.
        ifname: name of the interface in the namespace.
        args: CNI_ARGS; pairs or a mapping, kept as pairs.
        args_text: CNI_ARGS as one text; replaces `args` unless it is empty.
        path: the directories of CNI_PATH, where plugins find those that they delegate to; strings
            or paths, kept as strings.

    Raises:
        TypeError: a value has another type.
    """

    command: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    args: tuple[tuple[str, str], ...] = ()
    args_text: str = ""
    path: tuple[str, ...] = ()

    if TYPE_CHECKING:  # the arguments may have more types than the attributes

        def __init__(
            self,
            *,
            command: str,
            container_id: str = "",
            netns: str | os.PathLike[str] = "",
            ifname: str = "",
            args: Mapping[str, str] | Iterable[tuple[str, str]] = (),
            args_text: str = "",
            path: Iterable[str | os.PathLike[str]] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("command", "container_id", "ifname", "args_text"):
            _arguments.require_text(getattr(self, name), name)
        force_setattr(self, "netns", _arguments.path(self.netns, "netns"))
        # A generator can be read only once.
        force_setattr(self, "args", _arguments.pairs(self.args, "args"))
        force_setattr(self, "path", _arguments.paths(self.path, "path"))

    def as_env(self) -> dict[str, str]:
        """Return this process's environment with the six CNI variables set, empty ones too."""
        return {
            **os.environ,
            "CNI_COMMAND": self.command,
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": self.netns,
            "CNI_ARGS": self.args_text or join_args(self.args),
            "CNI_IFNAME": self.ifname,
            "CNI_PATH": os.pathsep.join(self.path),
        }


class DelegateArgs(msgspec.Struct, frozen=True):
    """The parameters of a call that a plugin delegates to another (invoke.DelegateArgs).

    Attributes:
        command: replaces CNI_COMMAND; the other variables stay as they are.
    """

    command: str

    def as_env(self) -> dict[str, str]:
        """Return this process's environment with the command replaced."""
        return {**os.environ, "CNI_COMMAND": self.command}


def join_args(args: PluginArgs) -> str:
    """Return pairs as CNI_ARGS: ``K=V;K=V``."""
    return ";".join(f"{key}={value}" for key, value in args)


def validate_args(args: PluginArgs) -> None:
    """Check that CNI_ARGS can carry the pairs unchanged: it has no quoting.

    A value may hold ``=``: plugins either split at the first one, or refuse the pair.

    Raises:
        ArgsError: a key holds ``;`` or ``=``, or a value holds ``;``.
    """
    for key, value in args:
        if ";" in key or "=" in key:
            raise _unfit(key, key, value, "; or =")
        if ";" in value:
            raise _unfit(value, key, value, ";")


def _unfit(text: str, key: str, value: str, what: str) -> ArgsError:
    whole = quote(f"{key}={value}")
    return ArgsError(
        f"CNI_ARGS cannot carry {quote(text)} (of the pair {whole}): it contains {what}"
    )


_CNI_VARIABLES: Final = (
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_NETNS",
    "CNI_IFNAME",
    "CNI_ARGS",
    "CNI_PATH",
)
# The kernel's MAX_ARG_STRLEN: bytes of a variable with its name, "=" and the final NUL.
_MOST_BYTES: Final = 32 * os.sysconf("SC_PAGE_SIZE")


def validate_environ(environ: Mapping[str, str]) -> None:
    """Check that a process's environment can hold the CNI variables.

    Args:
        environ: from `Args.as_env`.

    Raises:
        ArgsError: a CNI variable holds a NUL or a lone surrogate, or is too long.
    """
    for name in _CNI_VARIABLES:
        validate_variable(name, environ[name])


def validate_variable(name: str, value: str) -> None:
    """Check that a process's environment can hold a CNI variable.

    Raises:
        ArgsError: the value holds a NUL or a lone surrogate, or is too long.
    """
    if "\0" in value:
        raise ArgsError(f"{name} cannot carry {quote(value)}: it contains a NUL")
    try:
        size = len(os.fsencode(value))
    except UnicodeEncodeError as error:
        raise ArgsError(f"{name} cannot carry {quote(value)}: {error}") from None
    most = _MOST_BYTES - len(name) - len("=\0")
    if size > most:
        raise ArgsError(f"{name} cannot carry {size} bytes: the system takes {most}")

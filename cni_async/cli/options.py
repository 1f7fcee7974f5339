"""The parameters of the commands: cnitool's arguments and environment, and further options."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

import anyio
import click
import msgspec

from cni_async import (
    CACHE_DIR,
    CNIConfig,
    DefaultExec,
    GCAttachment,
    InvalidIdentifierError,
    NetworkConfigList,
    RuntimeConf,
    load_conf_list,
)
from cni_async.api import DEFAULT_CLEANUP_TIMEOUT
from cni_async.go.json import JSONError, kind, loads
from cni_async.go.quote import quote
from cni_async.invoke import Spawn
from cni_async.invoke.exec import DEFAULT_GRACE
from cni_async.invoke.stderr import Writer
from cni_async.netns import RUN_DIR
from cni_async.validate import validate_container_id, validate_interface_name

from .container import absolute, container_id
from .text import shell_word

Pairs = tuple[tuple[str, str], ...]


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a command, each under the name of its parameter below."""

    net: str = ""
    netns: str = ""
    plugin_type: str = ""
    netconf_path: str = ""
    cni_path: tuple[str, ...] = ()
    cap_args: Mapping[str, Any] = {}
    cni_args: Pairs = ()
    ifname: str = ""
    container_id: str | None = None
    cache_dir: str | None = None
    lock_file: str | None = None
    keep: tuple[GCAttachment, ...] = ()
    keep_unknown: tuple[GCAttachment, ...] = ()
    keep_none: bool = False
    timeout: float | None = None
    grace: float = DEFAULT_GRACE
    cleanup_timeout: float = DEFAULT_CLEANUP_TIMEOUT
    backend: str = "asyncio"
    spawn: Spawn | None = None
    json: bool = False
    name: str = ""
    directory: str = RUN_DIR

    async def network(self) -> NetworkConfigList:
        """Load the network's configuration.

        Raises:
            ConfigError: the configuration is missing or malformed.
        """
        return await load_conf_list(self.netconf_path, self.net)

    def container(self) -> RuntimeConf:
        """Return the attachment's runtime configuration.

        Raises:
            OSError: the namespace's path is relative, and the working directory is gone.
        """
        netns = absolute(self.netns)
        return RuntimeConf(
            container_id(netns) if self.container_id is None else self.container_id,
            netns,
            self.ifname,
            args=self.cni_args,
            capability_args=self.cap_args,
        )

    async def find_cache(self) -> None:
        """Check that a given cache directory exists: it may be misspelt.

        Raises:
            OSError: the directory does not exist.
        """
        if self.cache_dir:
            await anyio.Path(self.cache_dir).stat()

    def cni(self, stderr: Writer) -> CNIConfig:
        """Return a `CNIConfig` with these options.

        Args:
            stderr: receives the plugins' stderr.
        """
        exec = DefaultExec(stderr=stderr, timeout=self.timeout, grace=self.grace, spawn=self.spawn)
        return CNIConfig(
            self.cni_path,
            cache_dir=self.cache_dir or CACHE_DIR,
            exec=exec,
            rollback=True,
            cleanup_timeout=self.cleanup_timeout,
            lock_file=self.lock_file or None,
        )

    def undo_line(self) -> str:
        """Return the shell command that deletes the attachment from any directory.

        Raises:
            OSError: a path is relative, and the working directory is gone.
        """
        words = ["cni-async", "del", self.net, absolute(self.netns)]
        # Default values, too: that shell's environment may have other ones.
        words += ["--ifname", self.ifname, "--netconf-path", absolute(self.netconf_path)]
        words += ["--cni-path", os.pathsep.join(absolute(each) for each in self.cni_path if each)]
        if self.container_id is not None:
            words += ["--container-id", self.container_id]
        if self.cni_args or os.environ.get("CNI_ARGS"):
            words += ["--cni-args", ";".join(f"{key}={value}" for key, value in self.cni_args)]
        if self.cap_args or os.environ.get("CAP_ARGS"):
            words += ["--cap-args", json.dumps(self.cap_args)]
        if self.cache_dir:
            words += ["--cache-dir", absolute(self.cache_dir)]
        if self.lock_file:
            words += ["--lock-file", absolute(self.lock_file)]
        return " ".join(map(shell_word, words))


def _search_path(text: str) -> tuple[str, ...]:
    return tuple(text.split(os.pathsep)) if text else ()


def _cni_args(text: str) -> Pairs:
    pairs = [(pair, pair.split("=")) for pair in text.split(";")] if text else []
    for pair, parts in pairs:
        if len(parts) != 2 or not all(parts):
            raise click.BadParameter(f"invalid CNI_ARGS pair {quote(pair)}")
    return tuple((key, value) for _, (key, value) in pairs)


def _cap_args(text: str) -> dict[str, Any]:
    try:
        document: Any = loads(os.fsencode(text)) if text else None
    except JSONError as error:
        raise click.BadParameter(f"invalid CAP_ARGS: {error}") from None
    if document is None:  # in Go, null is an empty map
        return {}
    if not isinstance(document, dict):
        raise click.BadParameter(f"invalid CAP_ARGS: of type {kind(document)}, not object")
    return cast("dict[str, Any]", document)


def _attachment(text: str) -> GCAttachment:
    container, _, ifname = text.partition("/")
    try:
        # A misspelt attachment would keep nothing, and the intended one would be deleted.
        validate_container_id(container)
        validate_interface_name(ifname)
    except InvalidIdentifierError as error:
        raise click.BadParameter(f"{text} is not CONTAINER_ID/INTERFACE: {error}") from None
    return GCAttachment(container, ifname)


def _seconds(value: str | float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise click.BadParameter(f"{value} is not a time in seconds")
    return seconds


def _positive_seconds(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise click.BadParameter("nothing is done in 0 seconds")
    return seconds


NET: Final = click.Argument(["net"])
NETNS: Final = click.Argument(["netns"])
# cnitool requires it with every command, so scripts pass it.
UNUSED_NETNS: Final = click.Argument(["netns"], required=False, default="")
PLUGIN_TYPE: Final = click.Argument(["plugin_type"], metavar="TYPE")
CONTAINER: Final = click.Argument(["container_id"], required=False, default="")

NETCONF_PATH: Final = click.Option(
    ["--netconf-path"],
    envvar="NETCONFPATH",
    show_envvar=True,
    default="/etc/cni/net.d",
    show_default=True,
    metavar="DIRECTORY",
    help="Where network configurations are.",
)
CNI_PATH: Final = click.Option(
    ["--cni-path"],
    type=_search_path,
    envvar="CNI_PATH",
    show_envvar=True,
    default="",
    metavar="DIRECTORY[:...]",
    help="Where plugins are.",
)
CACHE: Final = click.Option(
    ["--cache-dir"],
    show_default=CACHE_DIR,
    metavar="DIRECTORY",
    help="Where attachments are remembered.",
)
LOCK_FILE: Final = click.Option(
    ["--lock-file"],
    metavar="FILE",
    help="Keep the order of operations among all processes that name this file, as /run/cni.lock; "
    "it is made where it is missing.",
)
TIMEOUT: Final = click.Option(
    ["--timeout"],
    type=_positive_seconds,
    metavar="SECONDS",
    help="How long each call of a plugin may take.  [default: no limit]",
)
GRACE: Final = click.Option(
    ["--grace"],
    type=_seconds,
    default=DEFAULT_GRACE,
    show_default=True,
    metavar="SECONDS",
    help="How long a plugin that is ended has until it is killed.",
)
CLEANUP_TIMEOUT: Final = click.Option(
    ["--cleanup-timeout"],
    type=_positive_seconds,
    default=DEFAULT_CLEANUP_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to take back an add that failed or was interrupted.",
)
BACKEND: Final = click.Option(
    ["--backend"],
    type=click.Choice(["asyncio", "trio"]),
    default="asyncio",
    show_default=True,
    help="The event loop to run on.",
)
SPAWN: Final = click.Option(
    ["--spawn"],
    type=click.Choice(get_args(Spawn)),
    help="How plugins are started: with anyio.open_process or with os.posix_spawn.  "
    "[default: anyio]",
)
JSON: Final = click.Option(
    ["--json"], is_flag=True, help="Print JSON on a terminal too, as is done everywhere else."
)
KEEP: Final = click.Option(
    ["--keep"],
    type=_attachment,
    multiple=True,
    metavar="CONTAINER_ID/INTERFACE",
    help="Spare this attachment, which has to be in the cache; may be repeated.",
)
KEEP_UNKNOWN: Final = click.Option(
    ["--keep-unknown"],
    type=_attachment,
    multiple=True,
    metavar="CONTAINER_ID/INTERFACE",
    help="Spare this attachment, whether or not it is in the cache; may be repeated.",
)
KEEP_NONE: Final = click.Option(
    ["--all", "keep_none"], is_flag=True, help="Spare none, as cnitool's gc does."
)
CAP_ARGS: Final = click.Option(
    ["--cap-args"],
    type=_cap_args,
    envvar="CAP_ARGS",
    show_envvar=True,
    default="",
    metavar="JSON",
    help="Values for the capabilities of plugins, by capability.",
)
CNI_ARGS: Final = click.Option(
    ["--cni-args"],
    type=_cni_args,
    envvar="CNI_ARGS",
    show_envvar=True,
    default="",
    metavar="KEY=VALUE[;...]",
    help="Further arguments for plugins.",
)
IFNAME: Final = click.Option(
    ["--ifname"],
    # Not by `envvar`: click ignores an empty variable, cnitool takes it as an empty name.
    default=lambda: os.environ.get("CNI_IFNAME", "eth0"),
    show_default=False,
    metavar="NAME",
    help="The interface inside the namespace.  [env var: CNI_IFNAME; default: eth0]",
)
CONTAINER_ID: Final = click.Option(
    ["--container-id"],
    metavar="ID",
    help="The container.  [default: made from the path of NETNS, as cnitool does]",
)

NAME: Final = click.Argument(["name"])
DIRECTORY: Final = click.Option(
    ["--dir", "directory"],
    default=RUN_DIR,
    show_default=True,
    metavar="DIRECTORY",
    help="The directory of the namespaces' paths.",
)

PLUGINS: Final = (CNI_PATH, TIMEOUT, GRACE, BACKEND, SPAWN)
ATTACHMENT: Final = (
    NET,
    NETNS,
    NETCONF_PATH,
    IFNAME,
    CNI_ARGS,
    CAP_ARGS,
    CONTAINER_ID,
    *PLUGINS,
    CACHE,
    LOCK_FILE,
    JSON,
)

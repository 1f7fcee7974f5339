"""`Networks`: sandboxes on the networks of some folders, each on several of them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Literal, Self, get_args

from msgspec.structs import replace

from cni_async import _arguments
from cni_async.api import CNIConfig
from cni_async.conf import NetworkConfigList
from cni_async.errors import (
    AggregateError,
    CacheError,
    CNIError,
    ConfigError,
    NoConfigsFoundError,
    NotFoundError,
)
from cni_async.model.attachment import NetworkAttachment
from cni_async.operations.order import Locks
from cni_async.operations.rollback import attached

from .attaching import attach, delete, detach, in_order, status
from .collecting import collect
from .errors import SandboxError, SandboxExistsError
from .folder import Loaded, LoadReport, load
from .plan import Planned, Planner, Unused
from .result import AttachmentStatus, SetupResult
from .sandbox import NetworkSelection, Sandbox

# Where administrators put network configurations.
CONF_DIR: Final = "/etc/cni/net.d"


class Networks:
    """The networks of some folders, and the sandboxes on them (go-cni's CNI, ocicni's CNIPlugin).

    Operations on one sandbox run one after the other, as the CNI specification requires for
    containers; sandboxes are independent of each other.

    Attributes:
        cni: runs the plugins and keeps the records.
        folders: the folders with network configurations; empty for `Networks.of`.
    """

    def __init__(
        self,
        cni: CNIConfig,
        folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = CONF_DIR,
        *,
        default: str | None = None,
        default_count: int = 1,
        prefix: str = "eth",
        loopback: bool | Literal["plugin"] = True,
        validate: bool = True,
        unused_capabilities: Unused = "warn",
    ) -> None:
        """Set the folders, and how sandboxes are attached.

        Args:
            cni: runs the plugins and keeps the records.
            folders: a folder, or several; of several networks with one name the first counts.
            default: the network of sandboxes that choose none; `None` for the first by file name.
            default_count: how many networks such a sandbox is attached to; 0 for all.
            prefix: the start of the interface names that sandboxes do not choose.
            loopback: enable the loopback interface of each namespace; "plugin" calls the plugin
                `loopback` for that, as go-cni does.
            validate: do not use a network whose plugins are missing or do not support its version.
            unused_capabilities: "warn", fail ("error") or do nothing ("ignore") if a sandbox has a
                capability arg that no plugin receives.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: a value is out of range.
        """
        _arguments.require(cni, CNIConfig, "cni")
        _arguments.require(default, str | None, "default")
        if default_count < 0:
            raise ValueError(f"default_count must not be negative, as {default_count} is")
        if unused_capabilities not in get_args(Unused):
            raise ValueError(f"unused_capabilities must be one of {', '.join(get_args(Unused))}")
        if loopback not in (True, False, "plugin"):
            raise ValueError(f'loopback must be true, false or "plugin", not {loopback!r}')
        one = isinstance(folders, str | os.PathLike)
        self.cni = cni
        self.folders: tuple[str, ...] = _arguments.paths([folders] if one else folders, "folders")
        self._default = default
        self._default_count = default_count
        self._planner = Planner(prefix, unused_capabilities)
        self._loopback: bool | Literal["plugin"] = loopback
        self._validate = validate
        self._loaded = Loaded()
        self._has_loaded = False
        self._locks = Locks()

    @classmethod
    def of(cls, networks: Iterable[NetworkConfigList], *, cni: CNIConfig, **options: Any) -> Self:
        """Return an object with these networks instead of those of folders.

        Args:
            networks: the networks, in the order in which they are the default.
            cni: runs the plugins and keeps the records.
            options: as for `Networks`.
        """
        made = cls(cni, (), **options)
        nets = _arguments.instances(networks, NetworkConfigList, "networks")
        made._loaded = Loaded({f"{number}": net for number, net in enumerate(nets)})
        made._has_loaded = True
        return made

    # -- what is loaded

    async def load(self) -> LoadReport:
        """Load the networks of the folders again; a file that cannot be used changes nothing.

        Returns:
            what has changed, and what could not be used.
        """
        if not self.folders:
            return LoadReport()
        check = self.cni.validate_network_list if self._validate else None
        # Not a container's turn: a teardown loads within its own.
        async with self._locks.collection(id(self), ""):
            self._loaded, report = await load(self.folders, self._loaded, check)
            self._has_loaded = True
        return report

    @property
    def networks(self) -> dict[str, NetworkConfigList]:
        """The networks that are loaded, by name, in the order of their files."""
        return self._loaded.networks

    @property
    def default(self) -> NetworkConfigList:
        """The network of sandboxes that choose none.

        Raises:
            NotFoundError: the default network is not loaded.
            NoConfigsFoundError: no network is loaded.
        """
        return self._defaults()[0]

    def __getitem__(self, name: str) -> NetworkConfigList:
        """Return a network by its name.

        Raises:
            NotFoundError: it is not loaded.
        """
        networks = self.networks
        if name in networks:
            return networks[name]
        error = NotFoundError(self._where, name)
        for near in difflib.get_close_matches(name, networks, n=1):
            error.add_note(f"did you mean network '{near}'?")
        raise error

    def source(self, name: str) -> str | None:
        """Return the path of the file that a network is from; `None` if there is none."""
        return self._loaded.source(name) if self.folders else None

    def _defaults(self) -> list[NetworkConfigList]:
        networks = list(self.networks.values())
        if self._default is not None:
            first = self[self._default]
            networks = [first, *(net for net in networks if net.name != first.name)]
        if not networks:
            raise NoConfigsFoundError(self._where)
        return networks[: self._default_count or None]

    @property
    def _where(self) -> str:
        return ", ".join(self.folders) or "this Networks object"

    # -- sandboxes

    async def setup(self, sandbox: Sandbox) -> SetupResult:
        """Attach a sandbox to its networks, one after the other.

        If one of them fails, or the caller is cancelled, all are undone in reverse order, within
        the `cleanup_timeout` of `cni`. The first error is raised, with others as notes.

        Raises:
            SandboxError: the sandbox asks for something impossible, or is attached already.
            NotFoundError: a network is unknown.
            NetNSError: its namespace does not exist, or is the host's.
            CNIError: as `CNIConfig.add_network_list`.
        """
        _arguments.require(sandbox, Sandbox, "sandbox")
        await self._load_if_missing(sandbox.selections)
        async with self._turn(sandbox.container_id):
            have = await self.cni.get_cached_attachments(sandbox.container_id)
            planned = self._plan(sandbox)
            if have:
                names = ", ".join(f"{one.ifname} on {one.network}" for one in have)
                raise SandboxExistsError(
                    f"sandbox {sandbox.container_id} is attached already ({names}): tear it down "
                    "first",
                    container_id=sandbox.container_id,
                )
            return await attach(self.cni, sandbox, planned, loopback=self._loopback)

    async def teardown(self, sandbox: str | Sandbox) -> None:
        """Detach a sandbox from all its networks, in reverse order, as it was attached.

        The records say what it is attached to. With a `Sandbox`, attachments without a record are
        deleted too, by the networks as they are loaded now. An error does not stop the rest.

        Args:
            sandbox: a container ID, or a sandbox.

        Raises:
            AggregateError: some attachments could not be deleted; `errors` has each failure.
            CacheError: the records cannot be listed.
        """
        _arguments.require(sandbox, str | Sandbox, "sandbox")
        container_id = sandbox if isinstance(sandbox, str) else sandbox.container_id
        async with self._turn(container_id):
            have = await self.cni.get_cached_attachments(container_id)
            failures = await detach(self.cni, have, self.networks)
            if isinstance(sandbox, Sandbox):
                await self._load_if_missing(sandbox.selections)
                failures += await self._delete_unrecorded(sandbox, have)
        if failures:
            raise AggregateError(failures)

    def sandbox(self, sandbox: Sandbox) -> AbstractAsyncContextManager[SetupResult]:
        """Set a sandbox up for a block, and tear it down afterwards, even if the block fails.

        The teardown runs even if the caller is cancelled, for at most the `cleanup_timeout` of
        `cni`. Yields the result of `setup`.

        Raises:
            CNIError: as `setup` and `teardown`.
            PluginTimeoutError: the teardown took too long; the records stay.
        """
        _arguments.require(sandbox, Sandbox, "sandbox")
        return attached(
            partial(self.setup, sandbox),
            partial(self.teardown, sandbox),
            f"sandbox {sandbox.container_id}",
            within=self.cni.cleanup_timeout,
        )

    async def attach(self, sandbox: Sandbox, selection: NetworkSelection) -> SetupResult:
        """Attach a sandbox that is set up to one more network (hot plug).

        Raises:
            CNIError: as `setup`.
        """
        _arguments.require(sandbox, Sandbox, "sandbox")
        _arguments.require(selection, NetworkSelection, "selection")
        await self._load_if_missing([selection])
        async with self._turn(sandbox.container_id):
            have = await self.cni.get_cached_attachments(sandbox.container_id)
            taken = {one.ifname for one in have}
            planned = self._planner.plan(sandbox, [selection], self.__getitem__, taken)
            return await attach(self.cni, sandbox, planned, loopback=False)

    async def detach(self, container_id: str, *, ifname: str) -> None:
        """Detach one interface of a sandbox; succeed if it does not have it.

        Raises:
            AggregateError: the attachment could not be deleted.
        """
        async with self._turn(container_id):
            have = await self.cni.get_cached_attachments(container_id)
            wanted = [one for one in have if one.ifname == ifname]
            failures = await detach(self.cni, wanted, self.networks)
        if failures:
            raise AggregateError(failures)

    async def status(self, sandbox: str | Sandbox) -> list[AttachmentStatus]:
        """Return each attachment of a sandbox with its result and the verdict of CHECK.

        Raises:
            CacheError: the records cannot be listed.
        """
        _arguments.require(sandbox, str | Sandbox, "sandbox")
        container_id = sandbox if isinstance(sandbox, str) else sandbox.container_id
        have = await self.cni.get_cached_attachments(container_id)
        return [await status(self.cni, one, self.networks) for one in in_order(have)]

    async def check(self, sandbox: Sandbox) -> None:
        """Check that a sandbox is attached to its networks as its setup left it.

        A network whose version is below 0.4.0 has no CHECK; its record is enough.

        Raises:
            AggregateError: attachments are missing or are not as they were.
        """
        await self._load_if_missing(sandbox.selections)
        found = await self.status(sandbox)
        failures = [one.error for one in found if one.error is not None]
        have = {(one.network, one.ifname) for one in found}
        failures += [
            CacheError(f"no record of {sandbox.container_id} {one.rt.ifname} on {one.net.name}")
            for one in self._plan(sandbox, quiet=True)
            if (one.net.name, one.rt.ifname) not in have
        ]
        if failures:
            raise AggregateError(failures)

    # -- networks

    async def ready(self, name: str | None = None) -> None:
        """Check that a network is ready for sandboxes: its plugins exist, and STATUS succeeds.

        Args:
            name: the network; `None` for those of a sandbox that chooses none.

        Raises:
            NotFoundError, NoConfigsFoundError: the network is not loaded.
            ValidationError: plugins are missing or do not support the network's version.
            PluginError: a plugin is not ready; `code` is often
                `ErrorCode.PLUGIN_NOT_AVAILABLE` or `ErrorCode.LIMITED_CONNECTIVITY`.
        """
        await self._load_if_missing([] if name is None else [NetworkSelection(name)])
        for net in self._defaults() if name is None else [self[name]]:
            await self.cni.validate_network_list(net)
            await self.cni.get_status_network_list(net)

    async def gc(
        self, living: Iterable[str | Sandbox], *, dry_run: bool = False
    ) -> list[NetworkAttachment]:
        """Delete what belongs to no living sandbox, on all networks that are known.

        Networks that only records still know are collected too.

        Args:
            living: the sandboxes that are in use, or their container IDs. All others are deleted.
            dry_run: only return what would be deleted.

        Returns:
            the attachments that are deleted.

        Raises:
            AggregateError: some networks could not be collected.
        """
        if isinstance(living, str):
            _arguments.refuse(living, "living", "a collection of sandboxes or container IDs")
        ids = {one if isinstance(one, str) else one.container_id for one in living}
        await self._load_if_missing([])
        return await collect(self.cni, self.networks, ids, dry_run=dry_run)

    # -- steps

    def _turn(self, container_id: str) -> AbstractAsyncContextManager[None]:
        """Hold the order of the operations on a sandbox, each of which is several of `cni`."""
        return self._locks.container(id(self), container_id)

    async def _load_if_missing(self, selections: Iterable[NetworkSelection]) -> None:
        names = {selection.network for selection in selections}
        if not self._has_loaded or not names <= self.networks.keys():
            await self.load()

    def _plan(self, sandbox: Sandbox, *, quiet: bool = False) -> list[Planned]:
        selections = sandbox.selections or [NetworkSelection(net.name) for net in self._defaults()]
        planner = replace(self._planner, unused="ignore") if quiet else self._planner
        return planner.plan(sandbox, selections, self.__getitem__)

    async def _delete_unrecorded(
        self, sandbox: Sandbox, have: Sequence[NetworkAttachment]
    ) -> list[CNIError]:
        """DEL what a sandbox selects and no record has: it may be in another cache."""
        known = {(one.network, one.ifname) for one in have}
        try:
            planned = self._plan(sandbox, quiet=True)
        except (ConfigError, SandboxError) as error:
            return [] if known else [error]
        missing = [one for one in planned if (one.net.name, one.rt.ifname) not in known]
        return await delete(self.cni, missing[::-1])

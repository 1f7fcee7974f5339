"""The plugins, caches and network namespaces with which the programs work."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from . import documents
from .cases import Case, Size

_EXAMPLES: Final = Path(__file__).parents[2] / "examples"


class LeftOutError(Exception):
    """A case cannot be measured here; the message has the reason."""


class Scratch:
    """A directory for plugins and caches, which is deleted after the block.

    Attributes:
        path: the directory.
        plugins: a directory in it with plugins that do nothing.
    """

    def __init__(self, programs: Path, parent: str | None) -> None:
        """Make the directory.

        Args:
            programs: the directory of the Go programs.
            parent: the directory in which to make it; by default that of temporary files.
        """
        self._stack = ExitStack()
        self._programs = programs
        where = tempfile.TemporaryDirectory(prefix="cni-bench-", dir=parent)
        self.path = Path(self._stack.enter_context(where))
        self.plugins = self.path / "plugins"
        self.plugins.mkdir()
        for name in documents.PLUGINS:
            shutil.copy(programs / "plugin", self.plugins / name)
        self._real: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def task(self, case: Case, size: Size, cache: Path) -> dict[str, Any]:
        """Return a program's task for a case.

        Args:
            case: the case.
            size: the size of the whole.
            cache: an empty directory for this task only.

        Raises:
            LeftOutError: the case cannot be measured here.
        """
        sizes = case.sizes[size]
        task: dict[str, Any] = {
            "case": case.do,
            "sizes": sizes,
            "plugins": [str(self.plugins)],
            "cache": str(cache),
            "chain": documents.CHAIN,
            "single": documents.SINGLE,
            "six": documents.SIX,
            "result": documents.RESULT,
            "heartbeat": str(self._programs / "heartbeat"),
        }
        if case.do == "list":
            task["cache"] = str(self._filled(sizes["records"]))
        elif case.do == "flat":
            task["cache"] = str(self._filled(sizes["few"]))
            task["cache_more"] = str(self._filled(sizes["many"]))
        elif case.do == "gc":
            documents.fill(cache, sizes["stale"] + sizes["valid"])
        elif case.do == "real":
            task |= self._real_network(sizes["containers"])
        return task

    def _filled(self, records: int) -> Path:
        """Return a cache that several tasks share, because they leave it as it was."""
        cache = self.path / f"records-{records}"
        if not cache.exists():
            documents.fill(cache, records)
        return cache

    def _real_network(self, containers: int) -> dict[str, Any]:
        if self._real is None:
            plugins, namespaces = self._enter_real_network(containers)
            real = documents.real(self.path / "addresses")
            self._real = {"plugins": [str(plugins)], "netns": namespaces, "real": real}
        return self._real

    def _enter_real_network(self, containers: int) -> tuple[Path, list[str]]:
        sys.path.append(str(_EXAMPLES))  # pytest's configuration does the same
        import reference_plugins
        from tests.support.netns import leave_host_network, namespace

        if os.geteuid() != 0:
            raise LeftOutError("needs root")
        if shutil.which("iptables") is None:
            raise LeftOutError("needs iptables")
        try:
            plugins = reference_plugins.build()
        except reference_plugins.CannotBuildError as error:
            raise LeftOutError(str(error)) from None
        leave_host_network()
        spaces = [self._stack.enter_context(namespace()) for _ in range(containers)]
        return plugins, [str(each) for each in spaces]

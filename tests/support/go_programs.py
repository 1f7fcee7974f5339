"""Go programs of tests, built below ``.nox/`` once for each state of their sources.

Programs that are built already need neither Go nor a network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

# The variable with the path of the machine's network namespace, once `leave_host_network` left it.
HOST_NETWORK: Final = "TESTS_HOST_NETWORK"
_BUILT: Final = Path(__file__).parents[2] / ".nox"
_SOURCES: Final = {".go", ".mod", ".sum", ".json"}

Modules = Mapping[str, Mapping[str, str]]


class CannotBuildError(Exception):
    """The programs cannot be built here; the message has the reason."""


def build(label: str, home: Path, modules: Modules) -> Path:
    """Build the programs that are not built yet, and return their directory.

    Args:
        label: the beginning of that directory's name.
        home: the directory with the Go modules.
        modules: the package of each program, for each module's directory in `home`.

    Raises:
        CannotBuildError: they cannot be built here.
    """
    folder = _BUILT / f"{label}-{_fingerprint(home, modules)}"
    if folder.exists():
        return folder
    if shutil.which("go") is None:
        raise CannotBuildError("there is no Go here")
    try:
        try:
            _build(folder, home, modules)
        except subprocess.CalledProcessError:
            if not (host := os.environ.get(HOST_NETWORK)):
                raise
            # Go downloads missing modules over the machine's network, which the tests have left.
            _build(folder, home, modules, ["nsenter", f"--net={host}", "--"])
    except (subprocess.CalledProcessError, OSError) as error:
        why = getattr(error, "stderr", error)
        raise CannotBuildError(f"Go cannot build it:\n{why}") from None
    return folder


def _fingerprint(home: Path, modules: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        for path in sorted((home / module).rglob("*")):
            if path.suffix in _SOURCES:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(home)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _build(folder: Path, home: Path, modules: Modules, within: Sequence[str] = ()) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        for module, packages in modules.items():
            for name, package in packages.items():
                subprocess.run(
                    [*within, "go", "build", "-trimpath", "-o", f"{fresh}/out/{name}", package],
                    cwd=home / module,
                    env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
                    capture_output=True,
                    text=True,
                    check=True,
                )
        try:
            os.rename(f"{fresh}/out", folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise

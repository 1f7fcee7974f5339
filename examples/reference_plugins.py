"""Find the CNI project's reference plugins; as a script, build them and print their directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PLUGINS = "github.com/containernetworking/plugins/plugins"
PLUGINS_VERSION = "v1.9.1"
CNITOOL = "github.com/containernetworking/cni/cnitool"
CNITOOL_VERSION = "v1.2.3"
NAMES = {
    "main": ("bridge", "loopback", "ptp"),
    "ipam": ("host-local", "static"),
    "meta": ("bandwidth", "firewall", "portmap", "tuning"),
}
# Not a shared directory: the plugins here are known to be of the versions above.
BUILT = Path(__file__).resolve().parents[1] / ".nox" / f"plugins-{PLUGINS_VERSION}"
USUAL = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))


class CannotBuildError(Exception):
    """The plugins cannot be built here; the message is the reason, in a sentence."""


def find(*needed: str) -> Path | None:
    """Return the first directory that has all these plugins, or `None`."""
    named = os.environ.get("CNI_PATH", "").split(os.pathsep)
    for folder in (*(Path(each) for each in named if each), BUILT, *USUAL):
        if all(os.access(folder / each, os.X_OK) for each in needed):
            return folder
    return None


def build() -> Path:
    """Build the plugins and cnitool with Go, unless they are built; return the directory."""
    if BUILT.is_dir():
        return BUILT
    go = shutil.which("go")
    if go is None:
        raise CannotBuildError("there is no Go here to build the reference plugins with")
    print("Building the reference plugins with Go, once...", file=sys.stderr, flush=True)
    BUILT.parent.mkdir(exist_ok=True)
    plugins = [f"{PLUGINS}/{kind}/{name}" for kind, names in NAMES.items() for name in names]
    # All or nothing: a directory with the final name is complete.
    with tempfile.TemporaryDirectory(dir=BUILT.parent) as partial:
        environ = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(Path(partial, "bin"))}
        for packages, version in ((plugins, PLUGINS_VERSION), ([CNITOOL], CNITOOL_VERSION)):
            command = [go, "install", *(f"{each}@{version}" for each in packages)]
            done = subprocess.run(
                command, cwd=partial, env=environ, capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise CannotBuildError(f"Go could not build the reference plugins: {reason}")
        Path(partial, "bin").rename(BUILT)
    return BUILT


if __name__ == "__main__":
    try:
        print(build())
    except CannotBuildError as error:
        sys.exit(str(error))

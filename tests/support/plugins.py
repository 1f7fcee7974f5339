"""The reference plugins for end-to-end tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from private_network import why_no_private_network
from reference_plugins import BUILT, NAMES

from .require import require

VARIABLE = "CNI_ASYNC_PLUGINS"


def reference_plugins() -> Path:
    """Return the directory with the plugins and cnitool, in the versions that we test.

    Plugins that are installed on the machine may have any version, so tests do not use them.
    """
    require(os.geteuid() == 0, "end-to-end tests need root")
    why_not = why_no_private_network()
    require(not why_not, f"end-to-end tests need network namespaces: {why_not}")
    folder = Path(os.environ.get(VARIABLE) or BUILT)
    names = [name for group in NAMES.values() for name in group]
    missing = [name for name in (*names, "cnitool") if not os.access(folder / name, os.X_OK)]
    require(not missing, f"no {', '.join(missing)}: run nox -s e2e, or set {VARIABLE}")
    for tool in ("ip", "iptables", "nsenter", "tc", "unshare"):
        require(shutil.which(tool), f"end-to-end tests need the command {tool}")
    return folder

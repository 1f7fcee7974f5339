"""The container ID that Go's cnitool derives from a network namespace."""

import hashlib
import os
from typing import Final

_HASHED_BYTES: Final = 10


def container_id(netns: str) -> str:
    """Return the container ID for the absolute path of a network namespace."""
    digest = hashlib.sha512(os.fsencode(netns)).digest()
    return f"cnitool-{digest[:_HASHED_BYTES].hex()}"


def absolute(path: str) -> str:
    """Return an absolute path, free of ``.``, ``..`` and repeated slashes (filepath.Abs).

    Symbolic links stay. Each spelling has its own container ID, so every detail counts.

    Raises:
        OSError: the path is relative, and the working directory is gone.
    """
    if not os.path.isabs(path):
        path = os.path.join(_working_directory(), path)
    # POSIX allows two leading slashes to mean something else, and so normpath keeps them.
    return "/" + os.path.normpath(path).lstrip("/")


def _working_directory() -> str:
    """Return the working directory, by its name in PWD if that is right, as Go's os.Getwd does."""
    name = os.environ.get("PWD", "")
    try:
        if os.path.isabs(name) and os.path.samefile(name, "."):
            return name
    except OSError:
        pass  # the directory of that name is gone
    return os.getcwd()

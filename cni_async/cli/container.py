"""Which container a network namespace is, as Go's cnitool has it."""

import hashlib
import os
from typing import Final

_HASHED_BYTES: Final = 10


def container_id(netns: str) -> str:
    """Derive a container ID from the absolute path of a network namespace."""
    digest = hashlib.sha512(os.fsencode(netns)).digest()
    return f"cnitool-{digest[:_HASHED_BYTES].hex()}"


def absolute(path: str) -> str:
    """Make a path absolute and free of ``.``, ``..`` and repeated slashes (filepath.Abs).

    Symbolic links are left alone. One container is one spelling, so every detail counts.

    Raises:
        OSError: the path is relative, and the working directory is gone.
    """
    if not os.path.isabs(path):
        path = os.path.join(_working_directory(), path)
    # POSIX lets two leading slashes mean something else, and so normpath keeps them.
    return "/" + os.path.normpath(path).lstrip("/")


def _working_directory() -> str:
    """Return the working directory by the name it was entered by, as Go does (os.Getwd)."""
    name = os.environ.get("PWD", "")
    try:
        if os.path.isabs(name) and os.path.samefile(name, "."):
            return name
    except OSError:
        pass  # it is somewhere else, or nowhere
    return os.getcwd()

"""The identifiers that plugins put into file names and device names (pkg/utils).

The CNI specification, section "Overview", defines what container IDs and network names may hold.
"""

import re
from typing import Final

from .errors import ErrorCode, InvalidIdentifierError

# For fullmatch: "$" would also match before a final newline.
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
# The kernel's IFNAMSIZ is 16, with the final NUL.
_MAX_INTERFACE_NAME: Final = 15
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
# Go's unicode.IsSpace; str.isspace() would add U+001C to U+001F.
_SPACES: Final = frozenset(
    "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)


def validate_container_id(container_id: str) -> None:
    """Check a container ID (utils.ValidateContainerID).

    Raises:
        InvalidIdentifierError: the ID is empty (code 3) or has a forbidden character (code 4).
    """
    if not container_id:
        raise InvalidIdentifierError("missing containerID", code=ErrorCode.UNKNOWN_CONTAINER)
    if not _NAME.fullmatch(container_id):
        raise InvalidIdentifierError(
            "invalid characters in containerID",
            code=ErrorCode.INVALID_ENVIRONMENT_VARIABLES,
            details=container_id,
        )


def validate_network_name(name: str) -> None:
    """Check a network name (utils.ValidateNetworkName).

    Raises:
        InvalidIdentifierError: the name is empty or has a forbidden character (code 7).
    """
    if not name:
        # The colon is libcni's.
        raise InvalidIdentifierError("missing network name:", code=ErrorCode.INVALID_NETWORK_CONFIG)
    if not _NAME.fullmatch(name):
        raise InvalidIdentifierError(
            "invalid characters found in network name",
            code=ErrorCode.INVALID_NETWORK_CONFIG,
            details=name,
        )


def validate_interface_name(ifname: str) -> None:
    """Check an interface name: at most 15 bytes, no slash, colon or space (ValidateInterfaceName).

    Raises:
        InvalidIdentifierError: the name breaks one of the kernel's rules (code 4).
    """
    details = ""
    if not ifname:
        problem = "interface name is empty"
    elif _size(ifname) > _MAX_INTERFACE_NAME:
        problem = "interface name is too long"
        details = f"interface name should be less than {_MAX_INTERFACE_NAME + 1} characters"
    elif ifname in {".", ".."}:
        problem = "interface name is . or .."
    elif not _SPACES.isdisjoint(ifname) or not {"/", ":"}.isdisjoint(ifname):
        problem = "interface name contains / or : or whitespace characters"
    else:
        return
    raise InvalidIdentifierError(
        problem, code=ErrorCode.INVALID_ENVIRONMENT_VARIABLES, details=details
    )


def _size(text: str) -> int:
    """Return the size of a text in bytes, with one for each undecodable byte (PEP 383)."""
    return len(_UNDECODED.sub("?", text).encode("utf-8", "surrogatepass"))

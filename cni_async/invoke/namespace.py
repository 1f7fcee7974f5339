"""The CNI_NETNS of a DEL whose network namespace may be gone.

CNI_NETNS is optional on DEL (CNI specification, section 2, "DEL"), and plugins accept a path that
does not exist. They refuse a path to something other than a namespace for ever, and so never
release what they reserved. A reboot leaves such files where namespaces were mounted on a disk, and
so does an unmount without a removal.
"""

import errno
import logging
import os
import re
from typing import Final

from cni_async._async.disk import BusyError, Disk
from cni_async._async.threads import Visit

_log = logging.getLogger(__name__)

_OWN: Final = "/proc/self/ns/net"
# Seconds. A dead network file system never answers.
_PATIENCE: Final = 1.0
# Nothing can be at such a path. Not ENOENT: plugins know what a missing file means.
_NOWHERE: Final = frozenset({errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
# Most namespaces are at these paths, in memory, which answers at once. A link may lead elsewhere.
_IN_MEMORY: Final = re.compile(
    r"/proc/(?:self|thread-self|\d+(?:/task/\d+)?)/ns/net|(?:/var)?/run/netns/[^/]+"
)
_MEMORY: Final = Disk()
_ELSEWHERE: Final = Disk()


async def namespace_for_del(path: str) -> str:
    """Return the CNI_NETNS of a DEL: the path, or "" if it leads to something else.

    If this cannot be determined, return the path: plugins look at it, too.
    """
    if not path:
        return path
    is_near = _IN_MEMORY.fullmatch(path) is not None

    def look(visit: Visit) -> bool:
        if visit.threads is None and not path.startswith("/proc/") and os.path.islink(path):
            raise BusyError
        return is_something_else(path)

    try:
        disk = _MEMORY if is_near else _ELSEWHERE
        wrong = await disk.ask(look, within=_PATIENCE, waits=not is_near)
    except OSError:  # the file system does not answer, or no thread can start
        return path
    if not wrong:
        return path
    _log.warning("%s is not a network namespace; DEL goes on without it", path)
    return ""


def is_something_else(path: str) -> bool:
    """Return whether a path is known to lead to something other than a namespace.

    The kernel keeps all namespaces in one file system, so they share its device number. Plugins
    compare the file system's type, for which Python has no call.
    """
    try:
        return os.stat(path).st_dev != os.stat(_OWN).st_dev
    except OSError as error:
        return error.errno in _NOWHERE
    except ValueError:  # a NUL, or a lone surrogate
        return True

"""The memory of a process that starts many others."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_HUGE_PAGE: Final = 2 * 1024 * 1024
_MADV_COLLAPSE: Final = 25  # Linux 6.1


def pack() -> None:
    """Have what there is by now cost little: it stays until the end, and mostly unchanged.

    Garbage collections pass over it, and the kernel keeps it in huge pages. uvloop forks to start
    a process; the tables of two hundred megabytes in small pages take longer to copy than a plugin
    takes to run. Where the kernel cannot do it, everything is as slow as it was.
    """
    gc.collect()
    gc.freeze()
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    with open("/proc/self/maps") as maps:
        mappings = [line.split() for line in maps]
    for addresses, access, _, _, inode, *_ in mappings:
        if access == "rw-p" and inode == "0":  # ours, and no file's
            start, end = (int(each, 16) for each in addresses.split("-"))
            start = -(-start // _HUGE_PAGE) * _HUGE_PAGE
            end = end // _HUGE_PAGE * _HUGE_PAGE
            if start < end:
                madvise(start, end - start, _MADV_COLLAPSE)

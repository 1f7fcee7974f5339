"""Order the changes of one record, including those whose callers have given them up.

A caller can give up a write to a disk that does not answer, but nothing stops the system call: it
takes effect when the disk comes back. So only one call in the process changes a record at a time,
and it checks immediately before the change whether it was given up. A later change waits until the
stuck call has ended.

A record is identified by its directory (`Place`, found by device and inode) and its file name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Final
from weakref import WeakValueDictionary

from cni_async._async.disk import BusyError
from cni_async._async.threads import Visit


class Place:
    """A directory, whatever its path. It is equal only to itself."""


# Keyed by device and inode, and by path without symbolic links. A path keeps its place when its
# directory is created.
_PLACES: Final = WeakValueDictionary[Hashable, Place]()
# Several threads look up and add places, which takes several steps.
_placing = threading.Lock()


def place_of(path: str) -> Place:
    """Return the directory that a path leads to. It need not exist. This asks the disk."""
    try:
        found = os.stat(path)
    except OSError:
        return _known(os.path.realpath(path))
    except ValueError:  # a NUL or a lone surrogate
        return _known(path)
    inode = (found.st_dev, found.st_ino)
    with _placing:
        place = _PLACES.get(inode)
    return place or _known(os.path.realpath(path), inode)


def place_named(path: str) -> Place:
    """Return the place for a path whose disk does not answer. This does not ask the disk."""
    return _known(path)


def _known(path: str, inode: Hashable = None) -> Place:
    with _placing:
        place = _PLACES.setdefault(path, Place())
        return place if inode is None else _PLACES.setdefault(inode, place)


class _Turns:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.holders: dict[Hashable, tuple[Visit, Hashable]] = {}

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def enter(self, key: Hashable, visit: Visit, owner: Hashable) -> None:
        with self.changed:
            if key in self.holders:
                if visit.threads is None:
                    raise BusyError
                visit.wake = self.wake
                self.changed.wait_for(lambda: visit.given_up or key not in self.holders)
            visit.go_on()
            self.holders[key] = visit, owner

    def leave(self, key: Hashable, visit: Visit) -> bool:
        """End a turn and return True; return False if the change has to be undone first."""
        with self.changed:
            if visit.unwanted:
                visit.unwanted = False
                return False
            self.holders.pop(key, None)
            self.changed.notify_all()
            return True


_turns = _Turns()


class Alone:
    """A block during which no other call in this process changes a record.

    Raises:
        InterruptedError: the visit was given up before its turn.
        BusyError: the visit is not in a thread, and would have to wait.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        visit: Visit,
        undo: Callable[[], None] | None = None,
        *,
        owner: Hashable = None,
    ) -> None:
        """Set the record.

        Args:
            place: the directory.
            name: the record's file name.
            visit: the visit that makes the change; it waits in its thread until it is given up.
            undo: undoes the change if it came too late (`disown`).
            owner: the attachment; two attachments may share one file name.
        """
        self._key = (place, name)
        self._visit = visit
        self._undo = undo
        self._owner = owner
        self._turns = _turns

    def __enter__(self) -> None:
        self._turns.enter(self._key, self._visit, self._owner)

    def __exit__(self, *_: object) -> None:
        while not self._turns.leave(self._key, self._visit):
            if self._undo is not None:
                self._undo()


def disown(place: Place, name: str, owner: Hashable = None) -> None:
    """Have a call that was given up undo its change of a record when the call ends.

    Args:
        place: the directory.
        name: the record's file name.
        owner: the attachment; a change for another attachment of this name is kept.
    """
    turns = _turns
    with turns.changed:
        holder, whose = turns.holders.get((place, name), (None, None))
        if holder is not None and holder.given_up and whose == owner:
            holder.unwanted = True


def _forget_in_child() -> None:
    # A thread of the parent may have held a lock, and the child has none of these threads.
    global _turns, _placing
    _turns = _Turns()
    _placing = threading.Lock()


os.register_at_fork(after_in_child=_forget_in_child)

"""Order among what changes one record, though its callers have gone on without it.

A write that the disk does not answer is given up, but no system call can be: it happens when the
disk comes back. So whatever changes a record does it alone, in the whole process, and looks
immediately before whether it is still wanted; a later change waits until the stuck one is through.

What tells records apart is their directory (`Place`), known by device and inode, and their name.
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
    """A directory, under whatever name; equal to itself alone."""


# By device and inode, and by path without symbolic links. A place that a path stood for before the
# directory was made is the same place afterwards.
_PLACES: Final = WeakValueDictionary[Hashable, Place]()
# A look-up that adds what is missing is several steps, and comes from several threads.
_placing = threading.Lock()


def place_of(path: str) -> Place:
    """Find out which directory a path leads to; it need not be there. Asks the disk."""
    try:
        found = os.stat(path)
    except OSError:
        return _known(os.path.realpath(path))
    except ValueError:  # a NUL, or half a character
        return _known(path)
    inode = (found.st_dev, found.st_ino)
    with _placing:
        place = _PLACES.get(inode)
    return place or _known(os.path.realpath(path), inode)


def place_named(path: str) -> Place:
    """Return what stands for a directory whose disk does not answer."""
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
        """End a turn, unless there is something to be undone before."""
        with self.changed:
            if visit.unwanted:
                visit.unwanted = False
                return False
            self.holders.pop(key, None)
            self.changed.notify_all()
            return True


_turns = _Turns()


class Alone:
    """A block in which nothing else in this process changes a record.

    Raises:
        InterruptedError: it was given up before its turn.
        BusyError: it is not in a thread, and would have to wait.
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
        """Say which record.

        Args:
            place: the directory.
            name: the record's file name.
            visit: on whose behalf; it waits in its thread until it is given up.
            undo: takes back what was done, should it have come too late (`disown`).
            owner: the attachment, as the name may be another one's, too.
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
    """Undo what is being done to a record by a call that was given up, once it is through.

    Args:
        place: the directory.
        name: the record's file name.
        owner: the attachment; what is being done for another one of this name is left alone.
    """
    turns = _turns
    with turns.changed:
        holder, whose = turns.holders.get((place, name), (None, None))
        if holder is not None and holder.given_up and whose == owner:
            holder.unwanted = True


def _forget_in_child() -> None:
    # Its parent's threads are not there, and may have held the lock.
    global _turns, _placing
    _turns = _Turns()
    _placing = threading.Lock()


os.register_at_fork(after_in_child=_forget_in_child)

"""What a plugin says of its own end, compared with what the library makes of it.

A plugin of `tests.support.faulty` writes down the status that it exits with. What the library is
told depends on who reaps the plugin; it may then know nothing, but not the wrong thing.
"""

from __future__ import annotations

from pathlib import Path

from cni_async import OutputLimitError, PluginError, PluginTimeoutError

from .tally import Tally


class Verdicts:
    """Compares, call by call."""

    def __init__(self, ends: Path, tally: Tally) -> None:
        """Say where plugins write how they ended, and who counts."""
        self._ends = ends
        self._tally = tally

    def compare(self, call: str, what: str, error: PluginError | None) -> None:
        """Count a call that was not cancelled if the library is wrong about its end.

        Args:
            call: its name.
            what: the plugin and its command.
            error: what the library raised; None for a success.
        """
        own = self._own(call)
        if error is None:
            if own != 0:
                how = "was killed" if own is None else f"exited with {own}"
                self._tally.false_successes.append(f"{what} {how}, and is a success")
            return
        knows = error.exit_code is not None or error.signal is not None
        ended_by_us = isinstance(error, PluginTimeoutError | OutputLimitError)
        if own is None:
            if error.exit_code is not None and not ended_by_us:
                self._tally.false_failures.append(f"{what} was killed: {error}")
        elif not knows and not ended_by_us and error.retryable:
            self._tally.lost_statuses += 1
        # Its own exit and our signal can cross, but then it is gone, and how is known.
        elif not knows or (not ended_by_us and error.exit_code != own):
            self._tally.false_failures.append(f"{what} exited with {own}: {error}")

    def _own(self, call: str) -> int | None:
        path = self._ends / call
        try:
            status = path.read_text()
        except FileNotFoundError:
            return None
        path.unlink()
        # A shell that is killed between open() and write() leaves an empty file.
        return int(status) if status else None

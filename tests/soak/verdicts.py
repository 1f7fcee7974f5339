"""Compare the exit status that a plugin notes with the outcome that the library reports.

A plugin of `tests.support.faulty` writes down the status that it exits with. The library may miss
that status if something else reaps the plugin, but must not report a wrong one.
"""

from __future__ import annotations

from pathlib import Path

from cni_async import OutputLimitError, PluginError, PluginTimeoutError

from .tally import Tally


class Verdicts:
    """Compares the two, call by call."""

    def __init__(self, ends: Path, tally: Tally) -> None:
        """Set the directory of the plugins' exit statuses, and the tally."""
        self._ends = ends
        self._tally = tally

    def compare(self, call: str, what: str, error: PluginError | None) -> None:
        """Count a call that was not cancelled if the library is wrong about its end.

        Args:
            call: its name.
            what: the plugin and its command.
            error: the error that the library raised; `None` for a success.
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
        # The plugin's own exit and our signal can cross, but then its status is known.
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

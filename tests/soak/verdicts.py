"""Compare the exit status that a plugin notes with the outcome that the library reports.

A plugin of `tests.support.faulty` notes the status with which it exits. The library may miss that
status if another process or thread reaps the plugin, but must not report a wrong one.
"""

from __future__ import annotations

from pathlib import Path

from cni_async import OutputLimitError, PluginError, PluginTimeoutError

from .tally import Tally


class Verdicts:
    """Compares the status and the outcome of each call."""

    def __init__(self, ends: Path, tally: Tally) -> None:
        """Read the plugins' exit statuses from a directory."""
        self._ends = ends
        self._tally = tally

    def compare(self, call: str, what: str, error: PluginError | None) -> None:
        """Count a call if the library is wrong about its end. The call was not cancelled.

        Args:
            call: the name of the call.
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
        # The plugin may exit just before our signal; its status is known then.
        elif not knows or (not ended_by_us and error.exit_code != own):
            self._tally.false_failures.append(f"{what} exited with {own}: {error}")

    def _own(self, call: str) -> int | None:
        path = self._ends / call
        try:
            status = path.read_text()
        except FileNotFoundError:
            return None
        path.unlink()
        # A shell that is killed between its open() and its write() leaves an empty file.
        return int(status) if status else None

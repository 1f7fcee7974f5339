"""The counts of a soak, and their table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cni_async.invoke import Spawn

from .force import Force

MOST_SHOWN = 20
# Durations, and their bounds in seconds, far above what a loaded machine needs.
PLUGINS = "the end of a plugin, beyond its bounds"
RECORDS = "an operation of the cache, the disk being idle"
CANCELLATIONS = "the end of what was cancelled, the disk being idle"
STALLS = "a stall of the event loop"
BOUNDS = {PLUGINS: 10.0, RECORDS: 6.0, CANCELLATIONS: 15.0, STALLS: 5.0}
# On trio, anyio starts a process in a worker thread of the default limiter, which the application
# uses, too. While all of these threads are busy no plugin starts, so plugins end late, and so do
# cancelled operations, because of their DEL (docs/reliability.md, "What is not promised"). That
# time does not count for these durations.
BUSY_THREADS: Final = "busy-threads"
WAITS_FOR_THREADS: Final = frozenset({("trio", "anyio", PLUGINS), ("trio", "anyio", CANCELLATIONS)})
OUTCOMES = ("done", "failed", "timed out", "cancelled")


@dataclass
class Tally:
    """The figures of one run.

    Attributes:
        outcomes: how often each operation ended in each way.
        faults: how often each was injected.
        cancellations: how often an operation was cancelled, by kind.
        calls: the number of calls of plugins.
        at_once: the most calls in progress at the same time.
        leaks: what was left, by kind; all have to be empty.
        false_successes: failed calls that the library reported as a success; has to be empty.
        false_failures: calls with a wrong status in the library's error; has to be empty.
        lost_statuses: how often the library reported that it lost an exit status.
        violations: what must not have happened: unexpected errors, plugins at the same time,
            attachments that were lost, durations beyond their bounds; has to be empty.
        own: what plugins left that were killed during a write of their own.
        longest: the most seconds that each of `BOUNDS` took.
        conditions: how often each condition had an effect.
        spawn: the way in which plugins are started.
        force: which conditions are in force, and the operations under each.
        waited: the most seconds that a plugin's start may have waited for a busy thread.
        thawed: since when no disk is frozen; infinity while one is.
    """

    backend: str
    seed: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    cancellations: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    at_once: int = 0
    leaks: dict[str, list[str]] = field(default_factory=dict)
    false_successes: list[str] = field(default_factory=list)
    false_failures: list[str] = field(default_factory=list)
    lost_statuses: int = 0
    violations: list[str] = field(default_factory=list)
    own: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BOUNDS, 0.0))
    conditions: Counter[str] = field(default_factory=Counter)
    spawn: Spawn = "anyio"
    force: Force = field(default_factory=Force)
    waited: float = 0.0
    thawed: float = 0.0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def operations(self) -> int:
        """The number of operations that have ended."""
        return sum(self.outcomes.values())

    @property
    def clean(self) -> bool:
        """Whether nothing is left and nothing was wrong."""
        wrong = self.violations or self.false_successes or self.false_failures
        return not wrong and not any(self.leaks.values())

    def took(self, what: str, since: float) -> None:
        """Compare a duration that ends now with its bound.

        The time of a frozen disk does not count, nor the time of `WAITS_FOR_THREADS`.

        Args:
            what: one of `BOUNDS`.
            since: when the duration began, by the monotonic clock.
        """
        if what in {RECORDS, CANCELLATIONS}:
            since = max(since, self.thawed)
        seconds = time.monotonic() - since
        if (self.backend, self.spawn, what) in WAITS_FOR_THREADS:
            waited = self.force.seconds(BUSY_THREADS, since)
            self.waited = max(self.waited, waited)
            seconds -= waited
        self.longest[what] = max(self.longest[what], seconds)
        if seconds > BOUNDS[what]:
            self.violations.append(f"{what}, took {seconds:.1f} s")

    def leaked(self, kind: str, what: Iterable[object]) -> None:
        """Count what is left of one kind."""
        self.leaks.setdefault(kind, []).extend(sorted(map(str, what)))

    def table(self) -> str:
        """Return all figures for people to read."""
        per_second = self.operations / self.seconds if self.seconds else 0
        lines = [
            f"soak on {self.backend}, started with {self.spawn}: seed {self.seed}, "
            f"{self.operations} operations and {self.calls} calls of plugins "
            f"in {self.seconds:.1f} s ({per_second:.0f}/s), up to {self.at_once} at once",
            f"  {'operation':<34}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES),
        ]
        for name in sorted({name for name, _ in self.outcomes}):
            counts = [self.outcomes[name, outcome] for outcome in OUTCOMES]
            lines.append(f"  {name:<34}" + "".join(f"{count:>11}" for count in counts))
        for title, counter in (
            ("faults injected", self.faults),
            ("cancellations", self.cancellations),
            ("conditions felt", self.conditions),
            ("left by plugins that were ended in a write of their own", self.own),
        ):
            each = ", ".join(f"{name} {count}" for name, count in counter.most_common() if count)
            lines.append(f"  {title}: {counter.total()}{f' ({each})' if each else ''}")
        lines += [f"  longest: {what}: {each:.2f} s" for what, each in self.longest.items()]
        if self.waited:
            lines.append(
                f"  besides, until a thread was free to start plugins in: {self.waited:.2f} s"
            )
        lines += self.force.table()
        lines += leaks_table(self.leaks)
        lines.append(f"  statuses that were lost, and said to be: {self.lost_statuses}")
        for title, listed in (
            ("false successes", self.false_successes),
            ("false failures", self.false_failures),
            ("violations", self.violations),
        ):
            lines.append(f"  {title}: {len(listed)}")
            lines += [f"    {each}" for each in listed[:MOST_SHOWN]]
        return "\n".join(lines)


def leaks_table(leaks: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the lines that list what was left of each kind."""
    lines = [f"  leaks: {sum(map(len, leaks.values()))}"]
    for kind, each in leaks.items():
        lines.append(f"    {kind:<38}{len(each):>5}")
        lines += [f"      {what}" for what in each[:MOST_SHOWN]]
    return lines

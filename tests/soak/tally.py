"""What a soak counts, and how it says so."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_SHOWN = 20
OUTCOMES = ("done", "failed", "timed out", "cancelled")


@dataclass
class Tally:
    """The figures of one run.

    Attributes:
        outcomes: how often each operation ended in each way.
        faults: how often each was injected.
        cancellations: how often an operation was cancelled, by kind.
        leaks: what was left, by kind; all have to be empty.
        violations: what must not have happened: unexpected errors, plugins at the same time,
            attachments that were lost.
        own: what plugins left that were ended in the middle of a write of their own.
        overtime: the most that a plugin's end took beyond its bounds, in seconds.
    """

    backend: str
    seed: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    cancellations: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    at_once: int = 0
    leaks: dict[str, list[str]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    own: Counter[str] = field(default_factory=Counter)
    overtime: float = 0.0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def operations(self) -> int:
        """How many operations were run."""
        return sum(self.outcomes.values())

    @property
    def clean(self) -> bool:
        """Whether nothing is left and nothing was wrong."""
        return not self.violations and not any(self.leaks.values())

    def leaked(self, kind: str, what: Iterable[object]) -> None:
        """Count what is left of one kind."""
        self.leaks.setdefault(kind, []).extend(sorted(map(str, what)))

    def table(self) -> str:
        """Return it all for people to read."""
        per_second = self.operations / self.seconds if self.seconds else 0
        lines = [
            f"soak on {self.backend}: seed {self.seed}, {self.operations} operations and "
            f"{self.calls} calls of plugins in {self.seconds:.1f} s ({per_second:.0f}/s), "
            f"up to {self.at_once} at once",
            f"  {'operation':<34}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES),
        ]
        for name in sorted({name for name, _ in self.outcomes}):
            counts = [self.outcomes[name, outcome] for outcome in OUTCOMES]
            lines.append(f"  {name:<34}" + "".join(f"{count:>11}" for count in counts))
        for title, counter in (
            ("faults injected", self.faults),
            ("cancellations", self.cancellations),
            ("left by plugins that were ended in a write of their own", self.own),
        ):
            listed = ", ".join(f"{name} {count}" for name, count in counter.most_common() if count)
            lines.append(f"  {title}: {counter.total()}{f' ({listed})' if listed else ''}")
        lines.append(f"  longest beyond its bounds: {self.overtime:.2f} s")
        lines += leaks_table(self.leaks)
        lines.append(f"  violations: {len(self.violations)}")
        lines += [f"    {each}" for each in self.violations[:MOST_SHOWN]]
        return "\n".join(lines)


def leaks_table(leaks: Mapping[str, Sequence[str]]) -> list[str]:
    """Return, line by line, how much was left of each kind, and what."""
    lines = [f"  leaks: {sum(map(len, leaks.values()))}"]
    for kind, each in leaks.items():
        lines.append(f"    {kind:<38}{len(each):>5}")
        lines += [f"      {what}" for what in each[:MOST_SHOWN]]
    return lines

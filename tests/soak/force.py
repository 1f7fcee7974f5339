"""The times at which each condition is in force, and the number of operations under it."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Force:
    """The conditions in force. Other threads may use `holds`, too.

    Attributes:
        whole: the number of operations that were under each condition from beginning to end.
        partly: the number of those that were under it for a part of their time.
        spans: when each was in force, by the monotonic clock; the last end may be infinity.
    """

    def __init__(self) -> None:
        self.whole: Counter[str] = Counter()
        self.partly: Counter[str] = Counter()
        self.spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def holds(self, condition: str) -> Iterator[None]:
        """Have a condition in force during a block."""
        spans = self.spans[condition]
        began = time.monotonic()
        spans.append((began, math.inf))
        try:
            yield
        finally:
            spans[-1] = (began, time.monotonic())

    def count(self, began: float) -> None:
        """Count an operation that ends now, and began at this time of the monotonic clock."""
        now = time.monotonic()
        for condition, spans in list(self.spans.items()):
            if any(start <= began and now <= end for start, end in spans):
                self.whole[condition] += 1
            elif any(began < end for start, end in spans):
                self.partly[condition] += 1

    def seconds(self, condition: str, since: float) -> float:
        """Return for how many seconds a condition has been in force since a time."""
        now = time.monotonic()
        spans = self.spans.get(condition, ())
        return sum(max(0.0, min(end, now) - max(start, since)) for start, end in spans)

    def table(self) -> list[str]:
        """Return the lines that show how many operations were under each condition."""
        if not self.spans:
            return []
        lines = [
            "  operations under each condition: from beginning to end, for a part, times, seconds"
        ]
        for condition, spans in self.spans.items():
            counts = f"{self.whole[condition]:>6}{self.partly[condition]:>6}{len(spans):>6}"
            lines.append(f"    {condition:<38}{counts}{self.seconds(condition, 0):>8.0f}")
        return lines

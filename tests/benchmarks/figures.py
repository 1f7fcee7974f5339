"""Evaluate measurements: medians, ratios pair by pair, and whether that is enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from .cases import Target

_SIGNIFICANT: Final = 3


class Measured(msgspec.Struct, omit_defaults=True):
    """One row of one side, round by round; seconds or bytes.

    Attributes:
        values: what was measured.
        cpu: the part of it that the measuring process alone spent on a CPU.
        references: what each value is to be compared with, if not Go's.
        peaks: what the process weighed at most, in bytes.
    """

    values: list[float] = []
    cpu: list[float] = []
    references: list[float] = []
    peaks: list[float] = []


@dataclass(frozen=True)
class Spread:
    """A median, and between what half of the rest lies (all of it where there is little)."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values, of which there is at least one."""
        if len(values) < 4:
            return cls(statistics.median(values), min(values), max(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Divide round by round; rounds that only one side has are left out."""
    return [one / other for one, other in zip(values, others, strict=False) if other > 0]


def compared(target: Target | None, ours: Measured, go: Measured | None) -> Spread | None:
    """Return what a target is about; None if there is nothing to compare with.

    Without a target, that is the ratio to Go.
    """
    if target is None or target.kind == "go":
        found = ratios(ours.values, go.values) if go is not None else []
    elif target.kind == "reference":
        found = ratios(ours.values, ours.references)
    else:
        pairs = zip(ours.values, ours.references, strict=False)
        found = [value - reference for value, reference in pairs]
    return Spread.of(found) if found else None


def number(value: float) -> str:
    """Write a number with three significant digits, and no exponent."""
    if value == 0:
        return "0"
    digits = max(0, _SIGNIFICANT - len(str(int(abs(value)))) if abs(value) >= 1 else 2)
    return f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Write a duration in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e6)} µs"


def mebibytes(value: float) -> str:
    """Write a size."""
    return f"{number(value / (1 << 20))} MiB"


def quantity(value: float, unit: str) -> str:
    """Write what was measured."""
    return seconds(value) if unit == "s" else mebibytes(value)

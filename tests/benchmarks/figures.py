"""Medians, ratios and the texts of measurements."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from .cases import Target

_SIGNIFICANT: Final = 3


class Measured(msgspec.Struct, omit_defaults=True):
    """The rounds of one row of one side, in seconds or bytes.

    Attributes:
        values: the measured values.
        cpu: the CPU times of the measuring process alone.
        references: the values to compare `values` with, if those are not Go's.
        peaks: the peak memory of the process, in bytes.
    """

    values: list[float] = []
    cpu: list[float] = []
    references: list[float] = []
    peaks: list[float] = []


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it, or of fewer than four values the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise one or more values."""
        if len(values) < 4:
            return cls(statistics.median(values), min(values), max(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the ratio of each round that both sides have."""
    return [one / other for one, other in zip(values, others, strict=False) if other > 0]


def compared(target: Target | None, ours: Measured, go: Measured | None) -> Spread | None:
    """Return the ratios or differences that a target bounds; without a target, the ratios to Go.

    Return `None` if there is nothing to compare with.
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
    """Write a number with three significant digits and without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, _SIGNIFICANT - len(str(int(abs(value)))) if abs(value) >= 1 else 2)
    return f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Write a duration in s, ms or µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e6)} µs"


def mebibytes(value: float) -> str:
    """Write a size in MiB."""
    return f"{number(value / (1 << 20))} MiB"


def quantity(value: float, unit: str) -> str:
    """Write a value of the unit "s" or "B"."""
    return seconds(value) if unit == "s" else mebibytes(value)

"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from .cases import CASES, OLDEST_AT_MOST, TRIO_AT_MOST, Case, Row, Size, Target
from .figures import Measured, Spread, compared, mebibytes, number, quantity, ratios, seconds

BACKENDS: Final = ("asyncio", "trio", "uvloop")
GO: Final = "Go"


class Results(msgspec.Struct):
    """All of a run, as JSON has it.

    Attributes:
        machine: what it ran on.
        command: what made it.
        size: how much was done.
        pythons: versions, the one that the targets are for first.
        rows: by row and side, which is "Go" or, as "3.13 trio", a Python's.
        left_out: cases that could not be measured, and why.
    """

    machine: dict[str, str]
    command: str
    size: Size
    pythons: list[str]
    rows: dict[str, dict[str, Measured]] = {}
    left_out: dict[str, str] = {}


def markdown(results: Results) -> str:
    """Return everything that was measured."""
    parts = [_machine(results)]
    newest, *older = results.pythons
    parts += [f"### Python {newest}", _times(results, newest, 1.0)]
    for python in older:
        parts += [
            f"### Python {python}, which may exceed the targets by {OLDEST_AT_MOST:g}",
            _times(results, python, OLDEST_AT_MOST),
        ]
    parts += [
        f"### CPU time of the own process, and its peak memory, Python {newest}",
        _costs(results, newest),
    ]
    if results.left_out:
        parts.append("\n".join(f"- {case}: {why}" for case, why in results.left_out.items()))
    return "\n\n".join(parts) + "\n"


def _machine(results: Results) -> str:
    lines = [f"- {key}: {value}" for key, value in results.machine.items()]
    return "\n".join([*lines, f"- made by `{results.command}`"])


def _lines(results: Results) -> Iterable[tuple[Case, Row, Mapping[str, Measured]]]:
    for case in CASES:
        for row in case.rows.values():
            if row.name in results.rows:
                yield case, row, results.rows[row.name]


def _times(results: Results, python: str, slack: float) -> str:
    lines: list[list[str]] = []
    for case, row, sides in _lines(results):
        go = sides.get(GO)
        ours = [sides.get(f"{python} {backend}") for backend in BACKENDS]
        first = ours[0]
        comparison = compared(row.target, first, go) if first is not None else None
        lines.append(
            [
                case.title(row, results.size),
                _median(go, row),
                _median(first, row),
                _comparison(comparison, row.target),
                *(_with_ratio(side, go, row) for side in ours[1:]),
                _wanted(row.target, slack, case, results.size),
                _met(row.target, slack, comparison, first, ours[1]),
            ]
        )
    header = ["", GO, BACKENDS[0], "ratio (spread)", *BACKENDS[1:], "target", "met"]
    return table(header, lines)


def _costs(results: Results, python: str) -> str:
    lines: list[list[str]] = []
    for case, row, sides in _lines(results):
        each = [sides.get(name) for name in (GO, *(f"{python} {name}" for name in BACKENDS))]
        cpu = [seconds(Spread.of(side.cpu).median) if side and side.cpu else "" for side in each]
        peak = [
            mebibytes(Spread.of(side.peaks).median) if side and side.peaks else "" for side in each
        ]
        if any(cpu):
            lines.append([case.title(row, results.size), *cpu, *peak])
    names = (GO, *BACKENDS)
    return table(
        ["", *(f"CPU {name}" for name in names), *(f"peak {name}" for name in names)], lines
    )


def _median(side: Measured | None, row: Row) -> str:
    return quantity(Spread.of(side.values).median, row.unit) if side and side.values else ""


def _with_ratio(side: Measured | None, go: Measured | None, row: Row) -> str:
    if side is None or not side.values:
        return ""
    comparison = compared(row.target, side, go)
    text = _median(side, row)
    return f"{text} ({_amount(comparison.median, row.target)})" if comparison else text


def _amount(value: float, target: Target | None) -> str:
    if target is not None and target.kind == "growth":
        return ("+" if value >= 0 else "-") + mebibytes(abs(value))
    return number(value)


def _comparison(spread: Spread | None, target: Target | None) -> str:
    if spread is None:
        return ""
    median, low, high = (
        _amount(value, target) for value in (spread.median, spread.low, spread.high)
    )
    return f"**{median}** ({low} to {high})"


def _wanted(target: Target | None, slack: float, case: Case, size: Size) -> str:
    if target is None:
        return ""
    bound = _amount(_bound(target, slack), target)
    if target.kind == "go":
        return bound
    reference = target.reference.format(**case.sizes[size])
    return f"{bound} {'from' if target.kind == 'growth' else 'times'} {reference}"


def _bound(target: Target, slack: float) -> float:
    return target.at_most * (slack if target.kind == "go" else 1)


def _met(
    target: Target | None,
    slack: float,
    comparison: Spread | None,
    asyncio: Measured | None,
    trio: Measured | None,
) -> str:
    """Say whether a target is met, and what is in the way."""
    if target is None or comparison is None:
        return ""
    obstacles: list[str] = []
    if comparison.median > _bound(target, slack):
        obstacles.append("no")
    if target.kind == "go" and asyncio is not None and trio is not None:
        more = ratios(trio.values, asyncio.values)
        if more and (factor := Spread.of(more).median) > TRIO_AT_MOST:
            obstacles.append(f"trio {number(factor)} of asyncio")
    return ", ".join(obstacles) or "yes"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns with nothing in them are left out.

    All columns but the first are aligned to the right.
    """
    used = [column for column in range(len(header)) if any(line[column] for line in lines)]
    written = [header, ["---", *("---:" for _ in header[1:])], *lines]
    return "\n".join(f"| {' | '.join(line[column] for column in used)} |" for line in written)

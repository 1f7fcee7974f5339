"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, get_args

import msgspec

from cni_async.invoke import Spawn

from .cases import CASES, Case, Row, Size, Target
from .figures import Measured, Spread, compared, mebibytes, number, quantity, seconds

BACKENDS: Final = ("asyncio", "trio", "uvloop")
GO: Final = "Go"


class Column(NamedTuple):
    """A way to start plugins on an event loop."""

    spawn: Spawn
    backend: str

    def __str__(self) -> str:
        """Return the column's name, as in ``posix, trio``."""
        return f"{self.spawn}, {self.backend}"

    def side(self, python: str) -> str:
        """Return the side's name, as in ``3.13 posix, trio``."""
        return f"{python} {self}"


COLUMNS: Final = tuple(Column(spawn, each) for spawn in get_args(Spawn) for each in BACKENDS)


class Results(msgspec.Struct):
    """The results of a run, also in JSON.

    Attributes:
        machine: facts about the machine and the programs.
        command: the command line of the run.
        size: the size of the whole.
        pythons: the versions of Python; the tables show costs of the first only.
        rows: the figures by row and side. A side is "Go", or a Python as in "3.13 posix, trio".
        left_out: the reasons for cases that could not be measured.
    """

    machine: dict[str, str]
    command: str
    size: Size
    pythons: list[str]
    rows: dict[str, dict[str, Measured]] = {}
    left_out: dict[str, str] = {}


def markdown(results: Results) -> str:
    """Return the results as tables."""
    parts = [_machine(results)]
    for python in results.pythons:
        parts += [f"### Python {python}", _ratios(results, python)]
    newest = results.pythons[0]
    parts += [
        f"### CPU time of the own process, Python {newest}",
        _costs(results, newest, lambda side: side.cpu, seconds),
        f"### Peak memory of the own process, Python {newest}",
        _costs(results, newest, lambda side: side.peaks, mebibytes),
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


def _ratios(results: Results, python: str) -> str:
    lines: list[list[str]] = []
    for case, row, sides in _lines(results):
        go = sides.get(GO)
        spreads = {
            column: compared(row.target, side, go)
            for column in COLUMNS
            if (side := sides.get(column.side(python))) is not None
        }
        lines.append(
            [
                case.title(row, results.size),
                quantity(Spread.of(go.values).median, row.unit) if go and go.values else "",
                *(_comparison(spreads.get(column), row.target) for column in COLUMNS),
                _wanted(row.target, case, results.size),
                _met(row.target, spreads, case),
            ]
        )
    return table(["", GO, *map(str, COLUMNS), "target", "met"], lines)


def _costs(
    results: Results,
    python: str,
    cost: Callable[[Measured], list[float]],
    write: Callable[[float], str],
) -> str:
    lines: list[list[str]] = []
    for case, row, sides in _lines(results):
        each = [sides.get(name) for name in (GO, *(column.side(python) for column in COLUMNS))]
        costs = [
            write(Spread.of(cost(side)).median) if side and cost(side) else "" for side in each
        ]
        if any(costs):
            lines.append([case.title(row, results.size), *costs])
    return table(["", GO, *map(str, COLUMNS)], lines)


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


def _wanted(target: Target | None, case: Case, size: Size) -> str:
    if target is None:
        return ""
    bound = _amount(target.at_most, target)
    if target.anyio is not None:
        bound += f", anyio {_amount(target.anyio, target)}"
    if target.kind == "go":
        return bound
    reference = target.reference.format(**case.sizes[size])
    return f"{bound} {'from' if target.kind == 'growth' else 'times'} {reference}"


def _met(target: Target | None, spreads: Mapping[Column, Spread | None], case: Case) -> str:
    """Return "yes" if a target is met, and else "no" with the columns that miss it."""
    if target is None:
        return ""
    bounds = [
        (column, spread.median, bound)
        for column, spread in spreads.items()
        if spread is not None and (bound := case.bound(target, *column)) is not None
    ]
    missed = [str(column) for column, median, bound in bounds if median > bound]
    if not bounds:
        return ""
    return f"no: {'; '.join(missed)}" if missed else "yes"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table without empty columns.

    All columns except the first are aligned to the right.
    """
    used = [column for column in range(len(header)) if any(line[column] for line in lines)]
    written = [header, ["---", *("---:" for _ in header[1:])], *lines]
    return "\n".join(f"| {' | '.join(line[column] for column in used)} |" for line in written)

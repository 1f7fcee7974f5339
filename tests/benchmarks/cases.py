"""The cases, their sizes and their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Size = Literal["full", "quick", "toy"]

# How often each side runs each case, in turn with the other sides.
ROUNDS: Final[Mapping[Size, int]] = {"full": 5, "quick": 3, "toy": 1}
# Older Pythons take part in so many of the first rounds only.
ROUNDS_OF_OLDER: Final = 3


@dataclass(frozen=True)
class Target:
    """The bound that a case has to keep.

    Attributes:
        at_most: the bound, on every event loop with plugins started by `os.posix_spawn`.
        kind: "go": ours / Go's; "reference": ours / the reference of the same process; "growth":
            ours - that reference, in bytes.
        reference: the name of the value to compare with, if that is not Go's.
        anyio: the bound on asyncio and trio with plugins started by `anyio.open_process`, if it
            differs. uvloop's own way to start processes has no bound.
    """

    at_most: float
    kind: Literal["go", "reference", "growth"] = "go"
    reference: str = "Go"
    anyio: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table; `title` may contain sizes of the case."""

    name: str
    title: str
    target: Target | None = None
    unit: Literal["s", "B"] = "s"


@dataclass(frozen=True)
class Case:
    """A measurement that one process makes.

    Attributes:
        name: the name for --cases.
        do: the name in both programs.
        rows: the lines of the table, by the programs' names for them.
        sizes: the sizes of this case, for each size of the whole.
        go: whether Go runs the case, too.
        backends: whether the case depends on the event loop.
        starts: whether the case depends on the way to start plugins.
        most_rounds: the most rounds; more would only take time.
    """

    name: str
    do: str
    rows: Mapping[str, Row]
    sizes: Mapping[Size, Mapping[str, int]]
    go: bool = True
    backends: bool = True
    starts: bool = True
    most_rounds: int = field(default=100)

    def bound(self, target: Target, spawn: str, backend: str) -> float | None:
        """Return the bound for a way to start plugins on an event loop, or `None`."""
        if spawn == "posix" or not self.starts:
            return target.at_most
        if backend == "uvloop":
            return None
        return target.at_most if target.anyio is None else target.anyio

    def title(self, row: Row, size: Size) -> str:
        """Return a row's title with its sizes."""
        return row.title.format(**self.sizes[size])


def _sizes(
    full: Mapping[str, int], quick: Mapping[str, int], toy: Mapping[str, int], **same: int
) -> dict[Size, dict[str, int]]:
    return {
        "full": {**same, **full},
        "quick": {**same, **quick},
        "toy": {**same, **toy},
    }


_SHORT: Final = _sizes({"milliseconds": 600}, {"milliseconds": 300}, {"milliseconds": 30})


def _parsing(name: str, title: str, at_most: float) -> Case:
    row = Row(name, title, Target(at_most))
    return Case(name, name, {name: row}, _SHORT, backends=False, starts=False)


def _one(name: str, title: str, target: Target | None, **same: int) -> Case:
    sizes = _sizes({"adds": 100}, {"adds": 60}, {"adds": 5}, **same)
    return Case(name, "one", {"add": Row(name, title, target)}, sizes)


def _attach(in_flight: int, target: Target) -> Case:
    rows = {
        "add": Row(
            f"add-{in_flight}", "ADD, {containers} containers, {in_flight} at a time", target
        ),
        "del": Row(
            f"del-{in_flight}", "DEL, {containers} containers, {in_flight} at a time", target
        ),
    }
    sizes = _sizes({"containers": 300}, {"containers": 150}, {"containers": 6}, in_flight=in_flight)
    return Case(f"attach-{in_flight}", "attach", rows, sizes)


def _list(label: str, records: int, quick: int, toy: int) -> Case:
    rows = {
        "all": Row(f"list-{label}", "list {records:,} attachments", Target(0.4)),
        "one": Row(f"list-{label}-one", "list those of one container of {records:,}", Target(0.5)),
    }
    sizes = _sizes(
        {"records": records, "times": 3, "milliseconds": 1000},
        {"records": quick, "times": 2, "milliseconds": 300},
        {"records": toy, "times": 1, "milliseconds": 30},
    )
    return Case(f"list-{label}", "list", rows, sizes, starts=False, most_rounds=3)


def _floor(in_flight: int) -> Case:
    row = Row(f"floor-{in_flight}", "bare spawn and wait, {in_flight} at a time")
    sizes = _sizes({"spawns": 600}, {"spawns": 300}, {"spawns": 20}, in_flight=in_flight)
    return Case(f"floor-{in_flight}", "floor", {"spawn": row}, sizes, backends=False, starts=False)


_REAL: Final = Case(
    "real",
    "real",
    {
        "add": Row(
            "real-add",
            "bridge + host-local + portmap: ADD, {containers} containers, {in_flight} at a time",
            Target(1.0),
        ),
        "del": Row(
            "real-del",
            "bridge + host-local + portmap: DEL, {containers} containers, {in_flight} at a time",
            Target(1.0),
        ),
    },
    _sizes({"containers": 100}, {"containers": 24}, {"containers": 2}, in_flight=8),
    most_rounds=3,
)
_GC: Final = Case(
    "gc",
    "gc",
    {
        "gc": Row(
            "gc", "GC, {stale} stale attachments and {valid} valid ones", Target(0.6, anyio=0.7)
        )
    },
    _sizes({"stale": 200, "valid": 20}, {"stale": 60, "valid": 6}, {"stale": 3, "valid": 1}),
)
_VALIDATE: Final = Case(
    "validate",
    "validate",
    {"validate": Row("validate", "validate a list of 6 plugins", Target(0.6, anyio=0.7))},
    _sizes({"milliseconds": 1500}, {"milliseconds": 600}, {"milliseconds": 50}),
)
_FLAT: Final = Case(
    "flat",
    "flat",
    {
        "pair": Row(
            "flat",
            "ADD and DEL, 1 plugin, with {many:,} cached attachments",
            Target(1.1, "reference", "the same with {few:,}"),
        )
    },
    _sizes(
        {"few": 1000, "many": 100_000, "pairs": 200},
        {"few": 1000, "many": 20_000, "pairs": 100},
        {"few": 10, "many": 300, "pairs": 3},
    ),
    most_rounds=3,
)
_STALL: Final = Case(
    "stall",
    "stall",
    {
        "wall": Row(
            "stall",
            "longest stall of the event loop, {in_flight} ADDs in flight",
            Target(3, "reference", "a bare spawn", anyio=5),
        ),
        "own": Row(
            "stall-own",
            "the same, without waiting for a CPU to be free",
            Target(3, "reference", "a bare spawn", anyio=5),
        ),
    },
    _sizes(
        {"containers": 300, "milliseconds": 300},
        {"containers": 150, "milliseconds": 200},
        {"containers": 8, "milliseconds": 30},
        in_flight=100,
    ),
)
_MEMORY: Final = Case(
    "memory",
    "memory",
    {
        "resident": Row(
            "memory",
            "memory after {many:,} ADD/DEL pairs, 1 plugin",
            Target(1 << 20, "growth", "after {few:,}"),
            unit="B",
        )
    },
    _sizes({"few": 1000, "many": 10_000}, {"few": 300, "many": 3000}, {"few": 10, "many": 30},
           in_flight=8),
    most_rounds=1,
)  # fmt: skip
_IMPORT: Final = Case(
    "import",
    "imports",
    {
        "import": Row(
            "import",
            "import cni_async",
            Target(1.3, "reference", "import anyio, msgspec"),
        )
    },
    _sizes({"times": 9}, {"times": 5}, {"times": 1}),
    go=False,
    backends=False,
    starts=False,
    most_rounds=3,
)

CASES: Final = (
    _floor(1),
    _floor(16),
    _parsing("parse", "parse a list of 3 plugins", 0.5),
    _parsing("request", "build a request with prevResult and runtimeConfig", 0.5),
    _parsing("decode", "decode a result, convert and encode it", 1.0),
    _one("one-add", "one ADD, 3 plugins, cache included", Target(1.05, anyio=1.25)),
    _one("one-add-durable", "one ADD, durably cached; Go's is not", None, durable=1),
    _attach(1, Target(1.05, anyio=1.25)),
    _attach(16, Target(0.95, anyio=1.25)),
    _attach(100, Target(0.95, anyio=1.25)),
    _REAL,
    _list("10k", 10_000, 10_000, 50),
    _list("100k", 100_000, 20_000, 300),
    _GC,
    _VALIDATE,
    _FLAT,
    _IMPORT,
    _STALL,
    _MEMORY,
)


def chosen(names: list[str]) -> Iterator[Case]:
    """Yield the cases with these names or with rows of these names; all cases without names.

    Raises:
        ValueError: no case and no row has one of the names.
    """
    known = {each for case in CASES for each in _names(case)}
    if unknown := set(names) - known:
        raise ValueError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for case in CASES:
        if not names or _names(case) & set(names):
            yield case


def _names(case: Case) -> set[str]:
    return {case.name, *(row.name for row in case.rows.values())}

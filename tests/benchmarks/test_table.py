"""The tables, the document that receives them, and the list of cases are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from .cases import CASES, chosen
from .document import MEASURED, PARTS, replace_between
from .figures import Measured
from .ours.__main__ import CASES as OURS
from .table import Results, markdown, table

BEGIN, END = MEASURED
DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"


def lines(results: Results) -> dict[str, list[str]]:
    """Return the rows of the first table by their first cell."""
    first = markdown(results).split("### ")[1]
    rows = [line.strip("| ").split(" | ") for line in first.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def results(**rows: dict[str, Measured]) -> Results:
    named = {name.replace("_", "-"): sides for name, sides in rows.items()}
    return Results({"machine": "a fast one"}, "make it", "full", ["3.13"], named)


def test_row_has_ratios_target_and_verdict() -> None:
    ours = Measured([0.002, 0.004, 0.009])
    sides = {
        "Go": Measured([0.010, 0.020, 0.030]),
        "3.13 anyio, asyncio": ours,
        "3.13 posix, trio": Measured([0.010, 0.020, 0.030]),
    }
    found = lines(results(gc=sides))["GC, 200 stale attachments and 20 valid ones"]
    assert found == [
        "20.0 ms",
        "**0.20** (0.20 to 0.30)",
        "**1.00** (1.00 to 1.00)",
        "0.60, anyio 0.70",
        "no: posix, trio",
    ]


@pytest.mark.parametrize(
    ("side", "ratio", "verdict"),
    [
        ("anyio, asyncio", 0.7, "yes"),
        ("anyio, asyncio", 0.71, "no: anyio, asyncio"),
        ("anyio, trio", 0.71, "no: anyio, trio"),
        ("anyio, uvloop", 5.0, ""),
        ("posix, uvloop", 0.6, "yes"),
        ("posix, uvloop", 0.61, "no: posix, uvloop"),
    ],
)
def test_each_way_to_start_plugins_has_its_target(side: str, ratio: float, verdict: str) -> None:
    sides = {"Go": Measured([1.0]), f"3.13 {side}": Measured([ratio])}
    found = lines(results(gc=sides))["GC, 200 stale attachments and 20 valid ones"]
    # An empty column is missing from the table.
    assert found[-1] == (verdict or "0.60, anyio 0.70")


def test_older_pythons_have_the_same_targets() -> None:
    sides = {"Go": Measured([1.0]), "3.11 anyio, asyncio": Measured([0.6])}
    older = results(parse=sides)
    older.pythons = ["3.13", "3.11"]
    assert "| 0.50 | no: anyio, asyncio |" in markdown(older).split("### ")[2]


def test_growth_is_a_difference() -> None:
    mebibyte = float(1 << 20)
    sides = {"3.13 anyio, asyncio": Measured([31 * mebibyte], references=[29.5 * mebibyte])}
    found = lines(results(memory=sides))["memory after 10,000 ADD/DEL pairs, 1 plugin"]
    assert found == [
        "**+1.50 MiB** (+1.50 MiB to +1.50 MiB)",
        "+1.00 MiB from after 1,000",
        "no: anyio, asyncio",
    ]


def test_costs_and_what_was_left_out() -> None:
    measured = results(
        parse={"3.13 anyio, asyncio": Measured([1.0], cpu=[0.5], peaks=[float(1 << 20)])}
    )
    measured.left_out["real"] = "needs root"
    text = markdown(measured)
    assert "| parse a list of 3 plugins | 500 ms |" in text
    assert "| parse a list of 3 plugins | 1.00 MiB |" in text
    assert "- real: needs root" in text
    assert text.startswith("- machine: a fast one\n- made by `make it`")


def test_empty_columns_are_left_out() -> None:
    assert table(["", "a", "b"], [["x", "", "1"]]) == "|  | b |\n| --- | ---: |\n| x | 1 |"


def test_document_keeps_what_is_not_measured() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert (
        replace_between(document, "new\n", MEASURED) == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    )


@pytest.mark.parametrize("document", ["", BEGIN, END + BEGIN, BEGIN + BEGIN + END])
def test_document_without_its_marks_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="there must be one"):
        replace_between(document, "new", MEASURED)


def test_the_real_document_has_its_marks() -> None:
    for marks in (MEASURED, PARTS):
        assert "new" in replace_between(DOCUMENT.read_text(), "new", marks)


def test_cases_are_chosen_by_their_names_and_those_of_their_rows() -> None:
    assert [case.name for case in chosen(["add-16", "gc"])] == ["attach-16", "gc"]
    assert list(chosen([])) == list(CASES)
    with pytest.raises(ValueError, match="no case nonsense"):
        list(chosen(["nonsense"]))


def test_every_case_is_known_and_every_title_complete() -> None:
    for case in CASES:
        assert case.do in OURS
        for row in case.rows.values():
            assert "{" not in case.title(row, "full") + case.title(row, "toy")
    names = [row.name for case in CASES for row in case.rows.values()]
    assert len(names) == len(set(names))

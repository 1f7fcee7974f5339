"""The documents with tests for what they say are complete, and each of these tests exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

# The numbered list of behaviours in docs/maintainers/conformance.md: its items, its sections.
ITEMS: Final = range(1, 366)
SECTIONS: Final = [
    *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    *("AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH"),
]

TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
ANCHOR: Final = re.compile(r'<a id="([\w-]+)"></a>')
LINK: Final = re.compile(r"\]\((?!http)([^)#]*)(?:#([\w-]+))?\)")

# A section's heading, or an anchor; blank lines are between this and what follows.
BLOCK: Final = re.compile(r'^(?=## |<a id=")', re.MULTILINE)


class Difference(NamedTuple):
    """A difference in docs/differences.md."""

    anchor: str
    heading: str
    libcni: str
    ours: str
    why: str
    evidence: str


class Item(NamedTuple):
    """A row of docs/maintainers/conformance.md."""

    number: str
    behaviour: str
    status: str
    evidence: str


def rows(text: str) -> Iterator[list[str]]:
    """Return the cells of each row of each table, without the headings."""
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_heading = following.startswith("|-")
        if line.startswith("|") and not line.startswith("|-") and not is_heading:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def differences(text: str) -> Iterator[Difference]:
    """Return each difference; its parts have to be there, in this order."""
    labels = ("libcni", "cni_async")
    for block in BLOCK.split(text)[1:]:
        if block.startswith("## "):
            # This section compares the two commands.
            command = block.startswith("## The command\n")
            labels = ("cnitool", "cni-async") if command else ("libcni", "cni_async")
            assert "### " not in block
            continue
        shape = (
            r'<a id="([\w-]+)"></a>\n\n### (.+)\n\n'
            rf"\*\*{labels[0]}\*\*: ([^*]+)\n\n\*\*{labels[1]}\*\*: ([^*]+)\n\n"
            r"(?:\*\*Why\*\*: ([^*]+)\n\n)?\*\*Test\*\*: (.+)"
        )
        found = re.fullmatch(shape, block.rstrip("\n"), re.DOTALL)
        assert found, block
        yield Difference(*(" ".join((part or "").split()) for part in found.groups()))


CONFORMANCE: Final = (DOCS / "maintainers" / "conformance.md").read_text()
RELIABILITY: Final = [*rows((DOCS / "reliability.md").read_text())]
DIFFERENCES_TEXT: Final = (DOCS / "differences.md").read_text()


def items() -> list[Item]:
    return [Item(*cells) for cells in rows(CONFORMANCE)]


@cache
def declared_in(path: str) -> frozenset[str]:
    """Return the names of a module's tests, those in classes as ``Class::test_name``."""
    if not (ROOT / path).is_file():
        return frozenset()
    module = ast.parse((ROOT / path).read_text())
    groups = [("", module.body)]
    groups += [
        (f"{node.name}::", node.body) for node in module.body if isinstance(node, ast.ClassDef)
    ]
    return frozenset(
        prefix + node.name
        for prefix, body in groups
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


def names_tests(evidence: str) -> bool:
    """Tell whether this is a list of tests, all of which exist."""
    parts = evidence.split(", ")
    found = [TEST.fullmatch(part) for part in parts]
    return len(set(parts)) == len(parts) and all(
        one is not None and one[2] in declared_in(one[1]) for one in found
    )


def test_every_item_has_one_row() -> None:
    assert [item.number for item in items()] == [str(number) for number in ITEMS]
    assert re.findall(r"^## (\w+)\. ", CONFORMANCE, re.MULTILINE) == SECTIONS


def test_every_behaviour_is_described() -> None:
    assert not [item for item in items() if len(item.behaviour) <= 5]


def test_every_status_is_one_of_three() -> None:
    known = re.compile(r"same|not applicable|\[better\]\(\.\./differences\.md#[\w-]+\)")
    assert not [item for item in items() if not known.fullmatch(item.status)]


def test_every_item_names_tests_or_says_why_not() -> None:
    assert not [
        item
        for item in items()
        if (item.status == "not applicable") != (not names_tests(item.evidence))
    ]
    reasons = [item for item in items() if item.status == "not applicable"]
    assert not [item for item in reasons if len(item.evidence) < 5 or "::" in item.evidence]


def anchors() -> list[str]:
    return [difference.anchor for difference in differences(DIFFERENCES_TEXT)]


def test_every_better_item_leads_to_its_difference() -> None:
    links = {
        item.number: found[1]
        for item in items()
        if (found := re.search(r"\.\./differences\.md#([\w-]+)", item.status))
    }
    assert links
    assert not {number: link for number, link in links.items() if link not in anchors()}


@pytest.mark.parametrize("path", ["differences.md", "maintainers/conformance.md"])
def test_every_link_leads_somewhere(path: str) -> None:
    document = DOCS / path
    links = LINK.findall(document.read_text())
    assert links
    for target, anchor in links:
        found = (document.parent / target).resolve() if target else document
        assert found.is_file(), target
        assert not anchor or anchor in ANCHOR.findall(found.read_text()), anchor


def test_every_difference_can_be_linked_to_and_searched_for() -> None:
    found = [*differences(DIFFERENCES_TEXT)]
    assert len(set(anchors())) == len(found) > 50
    assert anchors() == ANCHOR.findall(DIFFERENCES_TEXT)
    headings = re.findall(r"^### (.+)$", DIFFERENCES_TEXT, re.MULTILINE)
    assert headings == [difference.heading for difference in found]
    assert len(set(headings)) == len(headings)


def test_every_difference_says_what_it_is_and_names_its_tests() -> None:
    for difference in differences(DIFFERENCES_TEXT):
        assert difference.libcni.endswith(".")
        assert difference.ours.endswith(".")
        assert names_tests(difference.evidence), difference.evidence


def test_every_promise_has_a_bound_or_none_and_names_its_tests() -> None:
    assert len(RELIABILITY) > 20
    for promise, _bound, evidence in RELIABILITY:
        assert promise
        tests, _, words = evidence.partition("; ")
        assert names_tests(tests), tests
        assert not TEST.search(words)

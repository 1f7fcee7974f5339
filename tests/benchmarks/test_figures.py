"""Medians, ratios and their texts are right."""

from __future__ import annotations

import pytest

from .cases import Target
from .figures import Measured, Spread, compared, mebibytes, number, ratios, seconds


def test_spread_of_many_is_that_of_the_middle_half() -> None:
    assert Spread.of([1, 2, 3, 4, 100]) == Spread(3, 2, 4)


def test_spread_of_few_is_all_of_it() -> None:
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([5]) == Spread(5, 5, 5)


def test_ratios_are_of_one_round_each() -> None:
    # The ratio of the medians would be 1.
    assert ratios([1, 10, 40], [2, 10, 10]) == [0.5, 1, 4]


def test_a_round_without_its_counterpart_is_left_out() -> None:
    assert ratios([1, 2], [4]) == [0.25]
    assert ratios([1, 2], [0, 4]) == [0.5]


@pytest.mark.parametrize("target", [None, Target(1.0)])
def test_compared_with_go(target: Target | None) -> None:
    found = compared(target, Measured([2, 3]), Measured([4, 4]))
    assert found == Spread(0.625, 0.5, 0.75)


def test_nothing_to_compare_with() -> None:
    assert compared(None, Measured([1]), None) is None
    assert compared(Target(3, "reference"), Measured([1]), Measured([1])) is None


def test_compared_with_what_the_same_process_measured() -> None:
    ours = Measured([6, 8], references=[2, 2])
    assert compared(Target(3, "reference"), ours, Measured([1, 1])) == Spread(3.5, 3, 4)
    assert compared(Target(3, "growth"), ours, None) == Spread(5, 4, 6)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.254, "0.25"),
        (1.1, "1.10"),
        (12.345, "12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.50 s"), (0.0125, "12.5 ms"), (0.001, "1.00 ms"), (1.1e-6, "1.10 µs")],
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


def test_sizes() -> None:
    assert mebibytes(3 << 19) == "1.50 MiB"

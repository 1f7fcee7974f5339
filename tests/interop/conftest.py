"""Fixtures of the comparison, and a summary of its cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .bench import Bench
from .cases import COUNTS, DIFFERENCES, FULL_TOTAL, PROFILE
from .oracle import Oracle, programs

# The key under which a pytest-xdist worker reports to the process that started it.
_OUTPUT = "cni-async-interop"


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Provide the oracle, which answers with libcni."""
    with Oracle(programs()) as running:
        yield running


@pytest.fixture(scope="session")
def bench(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Provide a directory with plugins and a cache."""
    return Bench(oracle, tmp_path_factory.mktemp("bench"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of cases of each family, and of the differences that they met."""
    if not COUNTS:
        return
    terminalreporter.section("compared with libcni")
    for family, count in sorted(COUNTS.items()):
        terminalreporter.line(f"{count:7} {family}")
    terminalreporter.line(f"{COUNTS.total():7} cases in all")
    met = ", ".join(f"{anchor} {count}" for anchor, count in sorted(DIFFERENCES.items()))
    terminalreporter.line(f"chosen differences met: {met or 'none'}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a pytest-xdist worker."""
    counts, differences = getattr(node, "workeroutput", {}).get(_OUTPUT, ({}, {}))
    COUNTS.update(counts)
    DIFFERENCES.update(differences)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a full run with too few cases."""
    config = session.config
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = dict(COUNTS), dict(DIFFERENCES)
        return
    whole = not config.getoption("keyword") and not any(".py" in each for each in config.args)
    if PROFILE == "full" and whole and COUNTS.total() < FULL_TOTAL and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

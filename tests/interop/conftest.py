"""The oracle, and how many cases there were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cases import COUNTS, DIFFERENCES, FULL_TOTAL, PROFILE
from .oracle import Oracle, programs


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Provide libcni's answers."""
    with Oracle(programs()) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many cases there were in each family, and which differences they met."""
    if not COUNTS:
        return
    terminalreporter.section("compared with libcni")
    for family, count in sorted(COUNTS.items()):
        terminalreporter.line(f"{count:7} {family}")
    terminalreporter.line(f"{COUNTS.total():7} cases in all")
    met = ", ".join(f"{anchor} {count}" for anchor, count in sorted(DIFFERENCES.items()))
    terminalreporter.line(f"chosen differences met: {met or 'none'}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a full run that was none."""
    config = session.config
    whole = not config.getoption("keyword") and not any(".py" in each for each in config.args)
    if PROFILE == "full" and whole and COUNTS.total() < FULL_TOTAL and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

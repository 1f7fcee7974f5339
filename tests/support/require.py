"""Skip a test whose requirements are not met."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test for this reason if the condition is false; in CI, fail it."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (missing in CI, so this is no skip)", pytrace=False)
    pytest.skip(reason)

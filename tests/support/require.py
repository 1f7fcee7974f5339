"""Requirements of a test."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test, naming the reason, where something is missing; in CI nothing may be."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (missing in CI, so this is no skip)", pytrace=False)
    pytest.skip(reason)

"""The number of cases to generate, and the counts of those that were compared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings

F = TypeVar("F", bound=Callable[..., Any])

# "ci": the same few cases each time; "full": many cases, different ones each time.
PROFILE: Final = os.environ.get("CNI_ASYNC_INTEROP", "ci")
# The cases in one share. All tests together have about 105 shares.
_EXAMPLES: Final = {"ci": 50, "full": 330}[PROFILE] * float(os.environ.get("CNI_ASYNC_SCALE", "1"))
FULL_TOTAL: Final = 20_000

# By family; the summary of the test run prints it.
COUNTS: Final = Counter[str]()
# By anchor in docs/differences.md.
DIFFERENCES: Final = Counter[str]()


def cases(share: float = 1) -> Callable[[F], F]:
    """Set how many cases a test generates, in shares of the profile's size."""
    # While a rule is broken on purpose, a failure is enough; shrinking only takes time.
    hurry = bool(os.environ.get("CNI_ASYNC_MUTATION"))
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    ours = settings(
        max_examples=max(1, round(_EXAMPLES * share)),
        derandomize=PROFILE == "ci",
        database=None,
        deadline=None,
        phases=phases if hurry else [*phases, Phase.shrink],
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    def decorate(test: F) -> F:
        decorated: F = pytest.mark.timeout(300 if PROFILE == "ci" else 3600)(ours(test))
        return decorated

    return decorate

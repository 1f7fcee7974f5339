"""The deliberate mutations of the rules still apply to the code."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.interop.mutations import MUTATIONS, Mutation, run_broken

_ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=list(MUTATIONS))
def test_each_rule_is_where_it_is_broken(mutation: Mutation) -> None:
    spec = find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(mutation.old) == 1
    compile(source.replace(mutation.old, mutation.new), spec.origin, "exec")
    assert all((_ROOT / path).is_file() for path in mutation.tests)


@pytest.mark.timeout(600)  # runs some thousand tests
def test_a_broken_rule_is_noticed() -> None:
    """Try a mutation that is noticed without Go; the session `mutations` tries all of them."""
    done = run_broken("an unknown key is lost", ["tests/test_vectors.py"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "libcni and cni_async differ" in done.stdout

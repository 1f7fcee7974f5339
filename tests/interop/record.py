"""Record libcni's answers to the corpus: ``python -m tests.interop.record``."""

from __future__ import annotations

import sys

from . import corpus, vectors
from .compare import ask_oracle
from .oracle import NoOracleError, Oracle, build


def record(oracle: Oracle, family: str) -> list[vectors.Vector]:
    """Return all questions of a family with libcni's answers."""
    return [(question, ask_oracle(oracle, question)) for question in corpus.FAMILIES[family]]


def main() -> None:
    """Write all files of answers anew."""
    try:
        programs = build()
    except NoOracleError as error:
        sys.exit(str(error))
    for stale in vectors.FOLDER.glob("*.json"):
        stale.unlink()
    with Oracle(programs) as oracle:
        for family in corpus.FAMILIES:
            recorded = record(oracle, family)
            vectors.write(family, recorded)
            print(f"{len(recorded):5} {family}")


if __name__ == "__main__":
    main()

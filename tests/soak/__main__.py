"""Run a soak by hand: ``python -m tests.soak --operations 2000 --backend trio --kills 20``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.support.plugins import VARIABLE

from . import run
from .kills import kill_runtimes


def main() -> int:
    """Run it, print the figures; succeed if nothing was left and nothing wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=1000, help="how many at the most")
    parser.add_argument("--seconds", type=float, default=600, help="how long at the most")
    parser.add_argument("--kills", type=int, default=0, help="how many runtimes to kill, too")
    parser.add_argument("--seed", type=int, help="of an earlier run; a new one by default")
    parser.add_argument("--backend", choices=run.BACKENDS, action="append", help="all by default")
    parser.add_argument(
        "--plugins",
        type=Path,
        default=os.environ.get(VARIABLE),
        help="the reference plugins (needs root); only fakes without",
    )
    options = parser.parse_args()
    if options.kills and options.plugins is None:
        parser.error("--kills needs --plugins")
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    logging.getLogger("cni_async").setLevel(logging.ERROR)  # of what it warns there is plenty
    clean = True
    for backend in options.backend or run.BACKENDS:
        # Before it begins, as it might not come to its end.
        print(f"soak on {backend}: seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            tally = run.soak(
                Path(folder),
                backend=backend,
                operations=options.operations,
                seconds=options.seconds,
                seed=seed,
                plugins=options.plugins,
            )
        print(tally.table(), flush=True)
        clean &= tally.clean
    if options.kills:
        print(f"kills: seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            deaths = kill_runtimes(Path(folder), options.plugins, kills=options.kills, seed=seed)
        print(deaths.table(), flush=True)
        clean &= deaths.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())

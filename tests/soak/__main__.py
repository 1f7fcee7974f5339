"""Run a soak by hand: ``python -m tests.soak --operations 2000 --backend trio --kills 20``."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom
from typing import get_args

from cni_async.invoke import Spawn
from tests.support import starts
from tests.support.plugins import VARIABLE

from . import run
from .conditions import CONDITIONS, FROZEN_DISK
from .frozen import why_no_disk
from .kills import kill_runtimes

ALL = "all"


def main() -> int:
    """Run the soak and print its figures; return 0 if nothing was left and nothing was wrong."""
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
    parser.add_argument(
        "--condition",
        choices=[*CONDITIONS, ALL],
        action="append",
        help="in force meanwhile, several at once or in turns; none by default",
    )
    parser.add_argument(
        "--spawn", choices=get_args(Spawn), help="how plugins are started; as usual by default"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="run the event loops at the same time, each in a process of its own",
    )
    options = parser.parse_args()
    if options.kills and options.plugins is None:
        parser.error("--kills needs --plugins")
    conditions = options.condition or []
    if ALL in conditions:
        conditions = list(CONDITIONS)
    if FROZEN_DISK in conditions and (reason := why_no_disk()):
        parser.error(reason)
    if options.together:
        return _together(options, conditions)
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    for name in ("cni_async", "asyncio"):  # the faults cause many warnings
        logging.getLogger(name).setLevel(logging.ERROR)
    clean = True
    for backend in options.backend or run.BACKENDS:
        # Print the seed first: the soak may hang or crash.
        under = f" under {', '.join(conditions)}" if conditions else ""
        print(f"soak on {backend}{under}: seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            tally = run.soak(
                Path(folder),
                backend=backend,
                operations=options.operations,
                seconds=options.seconds,
                seed=seed,
                plugins=options.plugins,
                conditions=conditions,
                spawn=options.spawn,
            )
        print(tally.table(), flush=True)
        clean &= tally.clean
    if options.kills:
        print(f"kills: seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder, starts.in_use(options.spawn):
            deaths = kill_runtimes(Path(folder), options.plugins, kills=options.kills, seed=seed)
        print(deaths.table(), flush=True)
        clean &= deaths.clean
    return 0 if clean else 1


def _together(options: argparse.Namespace, conditions: Sequence[str]) -> int:
    """Run a soak of each event loop at the same time; print the output of each when it ends."""
    command = [sys.executable, "-m", __package__, f"--operations={options.operations}"]
    command += [f"--seconds={options.seconds}", f"--kills={options.kills}"]
    command += [f"--condition={name}" for name in conditions]
    if options.seed is not None:
        command.append(f"--seed={options.seed}")
    if options.spawn is not None:
        command.append(f"--spawn={options.spawn}")
    if options.plugins is not None:
        command.append(f"--plugins={options.plugins}")

    def soak(backend: str) -> int:
        output = subprocess.PIPE
        done = subprocess.run([*command, f"--backend={backend}"], stdout=output, text=True)
        print(done.stdout, end="", flush=True)
        return done.returncode

    with ThreadPoolExecutor() as threads:
        return 1 if any(list(threads.map(soak, options.backend or run.BACKENDS))) else 0


if __name__ == "__main__":
    sys.exit(main())

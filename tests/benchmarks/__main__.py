"""Measure Go's libcni and cni_async side by side; print a table in Markdown."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import get_args

import msgspec

from cni_async.invoke import Spawn
from tests.support.go_programs import CannotBuildError

from . import document
from .cases import ROUNDS, Size, chosen
from .runner import ROOT, Runner, programs
from .scratch import LeftOutError, Scratch
from .table import BACKENDS, markdown


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", dest="size", action="store_const", const="quick", help="less of everything"
    )
    size.add_argument(
        "--toy", dest="size", action="store_const", const="toy", help="only see that it runs"
    )
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="not all of them")
    parser.add_argument("--rounds", type=int, help="how many times each side does each case")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    ways = get_args(Spawn)
    parser.add_argument("--starts", nargs="+", choices=ways, default=list(ways))
    parser.add_argument(
        "--python",
        nargs="+",
        default=[sys.executable],
        metavar="PATH",
        help="interpreters with the package installed; costs are shown of the first",
    )
    parser.add_argument("--scratch", metavar="DIR", help="where the caches are made")
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / ".nox" / "bench.json",
        metavar="FILE",
        help="for machines",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="a document with marks in it")
    options = parser.parse_args(arguments)
    if options.write and (options.cases or options.size == "toy"):
        parser.error("a document has all cases, and no toys")
    return options


def main(arguments: list[str]) -> None:
    """Run the command."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the clean-up runs
    size: Size = options.size or "full"
    command = os.environ.get("CNI_ASYNC_BENCH") or shlex.join(
        ["python", "-m", "tests.benchmarks", *arguments]
    )
    try:
        cases = list(chosen(options.cases))
        built = programs()
    except (ValueError, CannotBuildError) as error:
        sys.exit(str(error))
    with Scratch(built, options.scratch) as scratch:
        try:
            runner = Runner(built, scratch, options.python, options.backends, options.starts)
        except LeftOutError as error:
            sys.exit(str(error))
        results = runner.run(cases, size, options.rounds or ROUNDS[size], command)
    text = markdown(results)
    print(text)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    if options.write:
        document.write(options.write, text, document.MEASURED)


if __name__ == "__main__":
    main(sys.argv[1:])

#!/usr/bin/env python3
"""All sessions of this project: ``python3 noxfile.py [nox's arguments]``.

Needs only Python 3.11+ and pip. Without nox this file first installs nox for itself, below
``.nox/``; where nox is installed, plain ``nox`` does the same.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from glob import glob
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
PRIVATE = ROOT / ".nox"


def _bootstrap() -> NoReturn:
    """Run this file again under a nox in a private environment, made on the first call."""
    import tomllib

    python = PRIVATE / "bootstrap" / "bin" / "python"
    try:
        ready = subprocess.run([python, "-c", "import nox.project"], capture_output=True)
        missing = ready.returncode != 0
    except OSError:
        missing = True
    if missing:
        print("noxfile.py: installing nox below .nox/ (once)", file=sys.stderr, flush=True)
        groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        environ = {**os.environ, **quiet, "PIP_USER": "0"}
        with tempfile.TemporaryDirectory() as tools:
            # The venv module may be missing, and installing into this Python may be forbidden.
            install = ["-m", "pip", "install", "--quiet"]
            subprocess.run(
                [sys.executable, *install, "--target", tools, "virtualenv"], env=environ, check=True
            )
            subprocess.run(
                [sys.executable, "-m", "virtualenv", "--quiet", "--clear", python.parents[1]],
                env={**environ, "PYTHONPATH": tools},
                check=True,
            )
        subprocess.run([python, *install, *groups["nox"]], env=environ, check=True)
    os.execv(python, [str(python), str(ROOT / "noxfile.py"), *sys.argv[1:]])


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - the line is there for older ones
        sys.exit(f"noxfile.py: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    os.chdir(ROOT)
try:
    import nox
    from nox.command import CommandFailed
    from nox.project import dependency_groups, load_toml, python_versions
except ImportError:
    if __name__ != "__main__":
        raise
    try:
        _bootstrap()
    except subprocess.CalledProcessError as error:
        sys.exit(f"noxfile.py: cannot install nox: {error}")

PYPROJECT = load_toml(ROOT / "pyproject.toml")
CI = bool(os.environ.get("CI"))
# The tests start many Python processes. Without cached bytecode each compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _runs(python: str, version: str) -> bool:
    """Return whether this is really that Python: a pyenv shim may exist and yet only fail."""
    script = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        answer = subprocess.run([python, "-c", script], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def _present_pythons() -> list[str]:
    """Return the supported Pythons of this machine, and put each where nox finds it."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    present: list[str] = []
    for version in python_versions(PYPROJECT):
        name = f"python{version}"
        search = os.environ.get("PATH", os.defpath).split(os.pathsep)
        on_path = {
            place: which
            for place, each in enumerate(search)
            if (which := shutil.which(name, path=each))
        }
        # Like which(), glob() treats a directory that we may not read as empty.
        installed = sorted(glob(f"{pyenv}/versions/{version}*/bin/{name}"))
        candidates = [*on_path.values(), *installed, os.path.join(sys.base_prefix, "bin", name)]
        python = next((each for each in candidates if _runs(each, version)), None)
        if python is None:
            continue
        present.append(version)
        if python != candidates[0] or not on_path:  # nox would find no Python, or a broken one
            search.insert(min(on_path, default=len(search)), os.path.dirname(python))
            os.environ["PATH"] = os.pathsep.join(search)
    return present or [f"{sys.version_info[0]}.{sys.version_info[1]}"]


PYTHONS = _present_pythons()
# `-s tests` runs all of them. The session `lowest` runs the same tests on the oldest one.
SOME_PYTHONS = dict.fromkeys((PYTHONS[len(PYTHONS) // 2], PYTHONS[-1]))
# Tests wait for processes more than they compute. An idle worker takes tests from another worker:
# otherwise all would wait for the worker with the longest file.
AT_ONCE = ("-n", "6", "--dist", "worksteal")
SPREAD = ("-n", "3", "--dist", "worksteal")  # these wait for each other's processes
STARTS = ("anyio", "posix")
RECORDED = PRIVATE / "recorded"  # data that the coverage session adds up

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "types",
    *(f"tests-{each}" for each in SOME_PYTHONS),
    "interop",
    "e2e",
    "soak-short",
    "bench-toy",
    "lowest",
    "coverage",
]


def _install(session: nox.Session, group: str, *constraints: str) -> None:
    """Install this checkout with all its extras, and a dependency group.

    Args:
        session: where to install.
        group: the name of a dependency group of pyproject.toml.
        constraints: further requirements for pip, such as pinned versions.
    """
    extras = ",".join(PYPROJECT["project"]["optional-dependencies"])
    session.install(f"-e.[{extras}]", *dependency_groups(PYPROJECT, group), *constraints)


def _pytest(session: nox.Session, *args: str, env: dict[str, str] | None = None) -> None:
    """Run pytest; on the newest Python record data for the coverage session."""
    recorded = RECORDED / session.name
    shutil.rmtree(recorded, ignore_errors=True)
    command = ["pytest"]
    if session.python == PYTHONS[-1]:  # measuring doubles the time
        recorded.mkdir(parents=True)
        env = {**(env or {}), "COVERAGE_FILE": str(recorded / "data")}
        command = ["coverage", "run", "-m", "pytest"]
    session.run(*command, *args, *session.posargs, env=env)


def _unavailable(session: nox.Session, reason: str) -> NoReturn:
    """Skip the session and print the reason; in CI the session fails instead."""
    if CI:
        session.error(reason)
    session.skip(reason)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, and that every public name has a type."""
    _install(session, "types")
    session.run("mypy")
    env = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    try:
        session.run("pyright", "--version", env=env, silent=True)
    except CommandFailed:
        _unavailable(session, "pyright cannot be had here: it comes from npm")
    session.run("pyright", env=env)
    session.run("pyright", "--verifytypes", "cni_async", "--ignoreexternal", env=env)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests that need neither root nor plugins, on every Python of this machine."""
    _install(session, "test")
    _pytest(session, *AT_ONCE, "-m", "not e2e")


@nox.session(python=PYTHONS[-1])
def interop(session: nox.Session) -> None:
    """Compare with Go's libcni: its recorded answers and, with Go, some thousand fixed cases."""
    _install(session, "test")
    # Without Go pytest skips the tests that need it; with CI set they fail.
    # `tests` checks the recorded answers as well, on every Python: a few seconds.
    which = ("tests/interop", "tests/test_vectors.py")
    _pytest(session, *SPREAD, *which, env={"CNI_ASYNC_INTEROP": "ci"})


@nox.session(name="interop-full", python=PYTHONS[-1])
def interop_full(session: nox.Session) -> None:
    """Compare with Go's libcni in more than 20,000 random cases, different ones each time."""
    _install(session, "test")
    env = {"CNI_ASYNC_INTEROP": "full"}
    patient = ("-o", "faulthandler_timeout=0")  # a test may take most of an hour
    session.run("pytest", *SPREAD, *patient, *(session.posargs or ["tests/interop"]), env=env)


@nox.session(name="record-vectors", python=PYTHONS[-1])
def record_vectors(session: nox.Session) -> None:
    """Record the answers of Go's libcni, for machines without Go."""
    _install(session, "test")
    session.run("python", "-m", "tests.interop.record", *session.posargs)


@nox.session(python=PYTHONS[-1])
def mutations(session: nox.Session) -> None:
    """Break rules on purpose, and check that the comparison with Go's libcni notices each."""
    _install(session, "test")
    session.run("python", "-m", "tests.interop.mutations", *session.posargs)


@nox.session(python=PYTHONS[-1])
def e2e(session: nox.Session) -> None:
    """Run the tests with the reference plugins in real network namespaces."""
    plugins = _reference_plugins(session, "end-to-end tests")
    _pytest(session, "-m", "e2e", env={"CNI_ASYNC_PLUGINS": plugins})


def _reference_plugins(session: nox.Session, what: str) -> str:
    """Install for tests, build the reference plugins and return their directory."""
    if os.geteuid() != 0:
        _unavailable(session, f"{what} need root")
    if shutil.which("go") is None:
        _unavailable(session, f"{what} need Go, to build the reference plugins")
    _install(session, "test")
    plugins = session.run("python", "examples/reference_plugins.py", silent=True, stderr=None)
    return str(plugins).strip()


@nox.session(python=PYTHONS[-1])
def soak(session: nox.Session) -> None:
    """Run 5,000 operations with faults, and 5,000 under hostile conditions; kill 200 runtimes.

    All of this runs with each way to start plugins.
    """
    plugins = _reference_plugins(session, "the soak's real plugins")
    much = ("python", "-m", "tests.soak", "--operations", "5000", "--seconds", "1800")
    env = {"CNI_ASYNC_PLUGINS": plugins}
    for way in STARTS:
        spawn = ("--spawn", way)
        session.run(*much, *spawn, "--kills", "200", *session.posargs, env=env)
        session.run(*much, *spawn, "--condition", "all", *session.posargs, env=env)


@nox.session(name="soak-short", python=PYTHONS[-1])
def soak_short(session: nox.Session) -> None:
    """Run a short soak under all conditions, and check that it notices a broken library."""
    plugins = _reference_plugins(session, "the soak's real plugins")
    little = ("--operations", "300", "--seconds", "60")
    env = {"CNI_ASYNC_PLUGINS": plugins}
    under = ("--condition", "all", "--together")
    for way in STARTS:
        way_and_kills = ("--spawn", way, "--kills", "6")
        command = ("python", "-m", "tests.soak", *little, *way_and_kills, *under)
        session.run(*command, *session.posargs, env=env)
    session.run("pytest", *SPREAD, "tests/soak", env=env)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest run-time dependencies that pyproject.toml allows."""
    project = PYPROJECT["project"]
    promised = [*project["dependencies"], *project["optional-dependencies"]["cli"]]
    pins = [each.replace(">=", "==") for each in promised]
    _install(session, "test", *pins)
    session.run("pytest", *AT_ONCE, "-m", "not e2e", *session.posargs)


@nox.session(python=PYTHONS[-1])
def bench(session: nox.Session) -> None:
    """Measure Go's libcni and cni_async side by side; takes more than an hour."""
    _bench(session, *session.posargs)


@nox.session(name="bench-toy", python=PYTHONS[-1])
def bench_toy(session: nox.Session) -> None:
    """Check that all cases can still be measured; the figures mean nothing."""
    _bench(session, "--toy", *session.posargs)


def _bench(session: nox.Session, *args: str) -> None:
    if shutil.which("go") is None:
        _unavailable(session, "there is no comparing with Go's libcni without Go")
    package = "-e.[trio,uvloop]"
    session.install(package)
    pythons = ["python"]
    if "--toy" not in args and PYTHONS[0] != session.python:
        # Both Pythons take part in one run, so one of them has an environment of its own.
        oldest = PRIVATE / f"bench-beside-{PYTHONS[0]}"
        if not oldest.exists():
            make = [sys.executable, "-m", "virtualenv", "--quiet", "--python", PYTHONS[0]]
            session.run(*make, str(oldest), external=True)
        pythons.append(str(oldest / "bin" / "python"))
        session.run(pythons[-1], "-m", "pip", "install", "--quiet", package, external=True)
    command = shlex.join(["python3", "noxfile.py", "-s", "bench", *(["--", *args] if args else [])])
    env = {"CNI_ASYNC_BENCH": command}
    session.run("python", "-m", "tests.benchmarks", "--python", *pythons, *args, env=env)


@nox.session
def demo(session: nox.Session) -> None:
    """Attach a network namespace to a network, and detach it again."""
    session.install(".[trio]")
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine the data of the tests, and enforce the bound of pyproject.toml."""
    session.install(*dependency_groups(PYPROJECT, "coverage"))
    recorded = sorted(str(each) for each in RECORDED.glob("*/data.*"))
    env = {"COVERAGE_FILE": str(RECORDED / "data")}
    session.run("coverage", "combine", "--keep", *recorded, env=env)
    session.run("coverage", "report", env=env)


if __name__ == "__main__":
    nox.main()

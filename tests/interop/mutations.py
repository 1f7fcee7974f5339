"""Break rules on purpose, and require that the comparison with libcni notices.

``python -m tests.interop.mutations [name ...]`` breaks one rule after the other in what pytest
imports, runs the fixed cases until one fails, and prints which one did. It fails if a broken rule
goes unnoticed. It does not change the files of `cni_async`.

Loaded as a pytest plugin, this module breaks the rule that CNI_ASYNC_MUTATION names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

from .oracle import NoOracleError, build

_VARIABLE: Final = "CNI_ASYNC_MUTATION"


@dataclass(frozen=True)
class Mutation:
    """A broken rule.

    Attributes:
        module: the module with the rule.
        old: the source that keeps the rule, which occurs once.
        new: the source that breaks it.
        tests: the tests that have to notice.
    """

    module: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS: Final = {
    "no runtimeConfig filter": Mutation(
        "cni_async.operations.request",
        "if network.capabilities.get(key)",
        "if True",
        ("tests/interop/test_differential_chains.py",),
    ),
    "DEL in list order": Mutation(
        "cni_async.operations.chain",
        "for plugin in reversed(plugins):",
        "for plugin in plugins:",
        ("tests/interop/test_differential_chains.py",),
    ),
    "an unknown key is lost": Mutation(
        "cni_async.conf.parse",
        "return NetworkConfig(network_from(value), go_json.dumps(value))",
        "network = network_from(value)\n"
        "        known = {key: value[key] for key in value if key != 'mtu'}\n"
        "        return NetworkConfig(network, go_json.dumps(known))",
        ("tests/interop/test_differential_conf.py", "tests/test_vectors.py"),
    ),
    "containerID instead of containerId": Mutation(
        "cni_async.cache.record",
        'field(name="containerId")',
        'field(name="containerID")',
        ("tests/interop/test_differential_chains.py",),
    ),
    "a big integer is a float": Mutation(
        "cni_async.go.json",
        "return _load(_GENERIC, data, normalise=True)",
        "return json.loads(\n"
        "        json.dumps(_load(_GENERIC, data, normalise=True)),\n"
        "        parse_int=lambda text: int(text) if abs(int(text)) < 2**53 else float(text),\n"
        "    )",
        ("tests/interop/test_differential_conf.py", "tests/test_vectors.py"),
    ),
}


class _Loader(SourceFileLoader):
    """Loads a module with a broken rule."""

    def __init__(self, name: str, path: str, mutation: Mutation) -> None:
        super().__init__(name, path)
        self._mutation = mutation

    def get_code(self, fullname: str) -> CodeType | None:
        source = self.get_source(fullname)
        old = self._mutation.old
        if source is None or source.count(old) != 1:
            raise RuntimeError(f"{fullname} does not hold {old!r} once: mend MUTATIONS")
        return compile(source.replace(old, self._mutation.new), self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds the module of a mutation."""

    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutation.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, self._mutation)
        return spec


def _break_rule(name: str) -> None:
    mutation = MUTATIONS[name]
    if mutation.module in sys.modules:
        raise RuntimeError(f"{mutation.module} is imported already")
    sys.meta_path.insert(0, _Finder(mutation))


# On import: pytest loads its plugins before any conftest.py, which imports the library.
if _VARIABLE in os.environ:
    _break_rule(os.environ[_VARIABLE])


def run_broken(name: str, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Break a rule, and run tests until one fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "tests.interop.mutations"]
    # Without coverage: the lines of a broken module are not those of its file.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    return subprocess.run(
        [*command, *tests],
        env={**kept, _VARIABLE: name, "CNI_ASYNC_INTEROP": "ci"},
        capture_output=True,
        text=True,
        check=False,
    )


def main(names: Sequence[str]) -> int:
    """Break each of these rules, and return how many went unnoticed."""
    try:
        build()  # without the oracle all tests would fail, or none
    except NoOracleError as error:
        sys.exit(str(error))
    unnoticed = 0
    for name in names or list(MUTATIONS):
        done = run_broken(name, MUTATIONS[name].tests)
        failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
        if done.returncode == 1 and failed:
            print(f"noticed    {name}: {failed[1]}", flush=True)
            continue
        unnoticed += 1
        print(f"UNNOTICED  {name} (pytest exited {done.returncode})", flush=True)
        if done.returncode not in {0, 1}:
            print(done.stdout[-2000:], done.stderr[-2000:])
    return unnoticed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Modules import only from lower layers, and stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import cni_async

PACKAGE: Final = Path(cni_async.__file__).parent
MODULES: Final = sorted(PACKAGE.rglob("*.py"))

# From top to bottom. Units on the same line must not import each other.
LAYERS: Final = [
    ["cli"],
    ["__init__"],
    ["testing"],
    ["networks"],
    ["netns", "microvm"],
    ["api"],
    ["protocol"],
    ["operations"],
    ["cache"],
    ["conf"],
    ["invoke"],
    ["model"],
    ["types"],
    ["capabilities", "version", "validate"],
    ["_async"],
    ["errors"],
    ["go"],
    ["_arguments"],
]
LEVEL: Final = {name: level for level, names in enumerate(LAYERS) for name in names}
MOST_LINES: Final = 400


def dotted(path: Path) -> str:
    """Return a module's name below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts)


def imports(path: Path, *, for_annotations: bool = False) -> Iterator[str]:
    """Yield the names that a module imports from the package, relative to the package.

    Either those that it imports when it runs, or those that only a type checker sees.
    """
    package = ["cni_async", *dotted(path).split(".")[:-1]]
    nodes = list(ast.walk(ast.parse(path.read_text())))
    hidden = {
        child
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in nodes:
        if (node in hidden) is not for_annotations:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "cni_async":
                yield name.partition(".")[2]


def module_of(name: str) -> str:
    """Return the module that a name comes from: the name itself or a part before it."""
    known = {dotted(path) for path in MODULES}
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        for candidate in (module, f"{module}.__init__"):
            if candidate in known:
                return candidate
    return "__init__"


def unit(name: str) -> str:
    """Return the module or package right below `cni_async` that contains a name."""
    first = name.split(".")[0]
    return first if (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").exists() else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_downwards(path: Path) -> None:
    own = unit(dotted(path))
    assert own in LEVEL, f"say in which layer {own} is"
    for name in imports(path):
        other = unit(name)
        assert other == own or LEVEL[other] > LEVEL[own], f"{dotted(path)} imports {name}"


def test_no_imports_form_a_cycle() -> None:
    graph = {dotted(path): {module_of(name) for name in imports(path)} for path in MODULES}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_only_annotations_name_what_is_above() -> None:
    """An error names the result that it is about; any result can be read as the newest kind."""
    upwards = {
        (dotted(path), name)
        for path in MODULES
        for name in imports(path, for_annotations=True)
        if dotted(path) != "__init__"
    }
    assert upwards == {
        ("errors", "types.Result"),
        ("types.common", "types.v100"),
        ("types._result", "types.v100"),
    }


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_private_names_stay_in_their_module(path: Path) -> None:
    for name in imports(path):
        last = name.rpartition(".")[2]
        is_module = (PACKAGE / f"{name.replace('.', '/')}.py").exists()
        assert is_module or not last.startswith("_"), f"{dotted(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_are_short_and_say_what_they_are_for(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(source)), "no docstring"


def test_every_layer_is_there() -> None:
    assert {unit(dotted(path)) for path in MODULES} == set(LEVEL)


def test_no_module_warns_when_it_is_imported() -> None:
    modules = [f"cni_async.{dotted(path)}" for path in MODULES if path.stem != "__main__"]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    names = [name.removesuffix(".__init__") for name in modules]
    subprocess.run([sys.executable, "-W", "error", "-c", code, *names], check=True)

"""README and docs say what is true."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import cni_async
from tests.support.go_names import GO_NAMES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def resolve(name: str) -> Any:
    """Import what a (dotted) name below cni_async stands for."""
    found: Any = cni_async
    for part in name.split("."):
        if not hasattr(found, part) and inspect.ismodule(found):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return found


def readme_table() -> list[tuple[str, str]]:
    """Return README's Go-to-Python table."""
    table = README.split("| libcni (Go) | cni_async |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(.+?)` \| (.+) \|$", table, re.MULTILINE)


def test_readme_names_everything_of_libcni() -> None:
    rows = readme_table()
    assert [go for go, _ in rows] == [go for go, _ in GO_NAMES]
    for (_, shown), (_, names) in zip(rows, GO_NAMES, strict=True):
        assert re.findall(r"`(?:await )?([\w.]+)", shown) == list(names)


@pytest.mark.parametrize(("go", "names"), GO_NAMES, ids=[go for go, _ in GO_NAMES])
def test_name_exists_and_readme_tells_which_to_await(go: str, names: tuple[str, ...]) -> None:
    shown = dict(readme_table())[go]
    for name in names:
        awaited = inspect.iscoroutinefunction(resolve(name))
        assert awaited == (f"`await {name}" in shown)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_readme_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "block", re.findall(r"```python\n(.*?)```", README, re.DOTALL), ids=["ten lines", "errors"]
)
def test_readme_python_is_python(block: str) -> None:
    ast.parse(block if "import" in block else f"async def f():\n{re.sub('^', ' ', block, flags=8)}")

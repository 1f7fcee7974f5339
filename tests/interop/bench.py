"""Chains of plugins that Go's libcni and cni_async run in the same directory, one after the other.

A question about a chain has the oracle's fields, the ``answers`` of the plugins (see
``oracle/recorder``), and as its files the cache directory before the operation.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.support.wait import lines

from . import ours_chains
from .oracle import Oracle
from .tree import ROOT, replaced
from .wire import Answer, Question, to_wire

PLUGINS: Final = ("a", "b", "c")
# For records that are being written; no file may stay there.
_UNFINISHED: Final = "results/.tmp"

Cache = Mapping[str, bytes | str | None]


@dataclass(frozen=True)
class Call:
    """The input of a call, as the plugin recorded it.

    Attributes:
        plugin: the plugin's name.
        env: the variables that begin with CNI_.
        stdin: the request.
    """

    plugin: str
    env: Mapping[str, str]
    stdin: bytes


@dataclass(frozen=True)
class Observed:
    """All that an operation does.

    Attributes:
        answer: the caller's result or error.
        calls: the calls of plugins, in order.
        cache: all files in the cache directory afterwards; `None` for an empty directory.
    """

    answer: Answer
    calls: tuple[Call, ...] = ()
    cache: Cache = field(default_factory=dict)


class Bench:
    """A directory with plugins and a cache, in which both libraries answer questions."""

    def __init__(self, oracle: Oracle, folder: Path) -> None:
        self.oracle = oracle
        self._folder = folder
        self._plugins = folder / "plugins"
        self._cache = folder / "cache"
        self._plugins.mkdir()
        for name in PLUGINS:
            os.symlink(oracle.recorder, self._plugins / name)

    def ask_go(self, question: Question) -> Observed:
        """Run the question's operation with libcni."""
        return self._observed(question, self.oracle.answer)

    def ask_ours(self, question: Question) -> Observed:
        """Run the question's operation with cni_async."""
        return self._observed(question, ours_chains.answer)

    def _observed(self, question: Question, answer: Any) -> Observed:
        fields = {"path": [f"{ROOT}/plugins"], "cacheDir": f"{ROOT}/cache", **question.fields}
        answers = fields.pop("answers", {})
        (self._plugins / ".answers").write_text(json.dumps(to_wire(answers)))
        self._lay_out(question.files or {})
        placed = replace(question, fields=replaced(fields, ROOT, str(self._folder)), files=None)
        said = answer(placed)
        return Observed(said, self._calls(), self._found())

    def _lay_out(self, cache: Cache) -> None:
        (self._plugins / ".calls").unlink(missing_ok=True)
        if self._cache.is_dir():
            shutil.rmtree(self._cache)
        else:
            self._cache.unlink(missing_ok=True)
        for name, content in cache.items():
            path = self._cache / name if name else self._cache
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            assert isinstance(content, bytes)
            path.write_bytes(content)

    def _calls(self) -> tuple[Call, ...]:
        return tuple(_call(json.loads(line)) for line in lines(self._plugins / ".calls"))

    def _found(self) -> Cache:
        if self._cache.is_file():
            return {"": self._cache.read_bytes()}
        found: dict[str, bytes | str | None] = {}
        for folder, folders, files in os.walk(self._cache):
            below = os.path.relpath(folder, self._cache)
            for name in files:
                found[os.path.normpath(f"{below}/{name}")] = Path(folder, name).read_bytes()
            if not files and not folders and below not in {".", "results", _UNFINISHED}:
                found[os.path.normpath(below)] = None
        return found


def _call(line: Mapping[str, Any]) -> Call:
    env = dict(entry.split("=", 1) for entry in line["env"])
    return Call(line["plugin"], env, base64.b64decode(line["stdin"]))

"""An operation with both observations, as the explanations of differences read it."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from .bench import Bench, Call, Observed
from .case import Pairs, pairs
from .form import form
from .wire import Answer, Question, ask

KNOWN: Final = frozenset({"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"})


@dataclass(frozen=True)
class Scene:
    """An operation with both observations.

    Attributes:
        question: the question.
        go: the observation of libcni, without the differences explained so far.
        ours: the observation of this library.
        bench: answers other questions.
        explain: explains the differences of another scene.
    """

    question: Question
    go: Observed
    ours: Observed
    bench: Bench
    explain: Callable[[Bench, Question, Observed, Observed], list[str] | None]

    @property
    def op(self) -> str:
        """The operation's name."""
        return self.question.op

    @property
    def go_form(self) -> dict[str, Any]:
        """The observation of libcni, in canonical form."""
        return form(self.question, self.go)

    @property
    def our_form(self) -> dict[str, Any]:
        """The observation of this library, in canonical form."""
        return form(self.question, self.ours)

    @property
    def same(self) -> bool:
        """Whether nothing is left to explain."""
        return self.go_form == self.our_form

    @property
    def our_text(self) -> str:
        """The text of our error, or "" without one."""
        return self.ours.answer.error.text if self.ours.answer.error else ""

    @property
    def is_refusal(self) -> bool:
        """Whether we refused before any plugin ran and without a change to the cache."""
        untouched = dict(self.ours.cache) == dict(self.question.files or {})
        return bool(self.our_text) and not self.ours.calls and untouched

    @property
    def network(self) -> Mapping[str, Any]:
        """The network's document; for a single plugin with the name and version that Go reads."""
        found: dict[str, Any] = json.loads(self.question.fields["data"])
        if not self.question.fields.get("single"):
            return found
        return {
            **found,
            **{key: Pairs(found.items()).all(key)[-1] for key in ("name", "cniVersion")},
        }

    @property
    def runtime(self) -> Mapping[str, Any]:
        """The attachment's runtime configuration."""
        found: Mapping[str, Any] = self.question.fields.get("runtime", {})
        return found

    @property
    def record_name(self) -> str:
        """The attachment's file in the cache, as libcni finds it."""
        return self._file_name(
            (self.network["name"], self.runtime["containerID"], self.runtime["ifname"])
        )

    @property
    def record(self) -> bytes | None:
        """The content of `record_name` before the operation; `None` if it was not a file."""
        found = (self.question.files or {}).get(self.record_name)
        return found if isinstance(found, bytes) else None

    @property
    def owner(self) -> tuple[str, str, str] | None:
        """The attachment that the record names, or `None` if it names this one or none."""
        found = None if self.record is None else pairs(self.record)
        if not isinstance(found, Pairs):
            return None
        keys = "networkName", "containerId", "ifName"
        mine = self.network["name"], self.runtime["containerID"], self.runtime["ifname"]
        named = [[each for each in found.all(key) if each] for key in keys]
        network, container_id, ifname = (values[-1] if values else "" for values in named)
        theirs = network, container_id, ifname
        other = any(own and own != wanted for own, wanted in zip(theirs, mine, strict=True))
        return theirs if other else None

    @property
    def is_foreign(self) -> bool:
        """Whether the record is of another attachment with the same file name."""
        return self.owner is not None and self._file_name(self.owner) == self.record_name

    @property
    def is_misnamed(self) -> bool:
        """Whether the record names an attachment with another file name."""
        return self.owner is not None and self._file_name(self.owner) != self.record_name

    @staticmethod
    def _file_name(parts: tuple[str, str, str]) -> str:
        return posixpath.normpath("results/" + "-".join(map(str, parts)))

    def explained(self) -> Self:
        """Return the scene with nothing left to explain."""
        return replace(self, go=self.ours)

    def with_go_asked(self, **changes: Any) -> Self:
        """Ask libcni again with other files or fields."""
        files = changes.pop("files", self.question.files)
        fields = {**self.question.fields, **changes}
        asked = replace(self.question, fields=fields, files=files)
        return replace(self, go=self.bench.ask_go(asked))

    def with_requests(self, change: Callable[[Call, dict[str, Any]], dict[str, Any]]) -> Self:
        """Change the requests that libcni's plugins received."""

        def changed(call: Call) -> Call:
            try:
                request = json.loads(call.stdin)
            except ValueError:
                return call
            return replace(call, stdin=json.dumps(change(call, request)).encode())

        return replace(self, go=replace(self.go, calls=tuple(map(changed, self.go.calls))))

    def say_of_go(self, op: str, **fields: Any) -> Answer:
        """Ask libcni a question that needs neither plugins nor the cache."""
        return self.bench.oracle.answer(ask(op, **fields))

    def read_by_go(self, op: str) -> Answer:
        """Ask libcni to read the attachment's record from before the operation."""
        return self.bench.ask_go(replace(self.question, op=op)).answer

    def read_by_us(self, op: str) -> Answer:
        """Ask cni_async to read the attachment's record from before the operation."""
        return self.bench.ask_ours(replace(self.question, op=op)).answer

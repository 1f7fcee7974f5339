"""An operation with what both did, as the explanations of differences look at it."""

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
    """An operation with what both did.

    Attributes:
        question: what was asked.
        go: what libcni did; or would have done, had it been without the differences so far.
        ours: what we did.
        bench: where to try something else.
        explain: explains the differences of another scene, if there are any.
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
        """The observation of this library, likewise."""
        return form(self.question, self.ours)

    @property
    def same(self) -> bool:
        """Tell whether nothing is left to explain."""
        return self.go_form == self.our_form

    @property
    def our_text(self) -> str:
        """The text of our error; empty where we have none."""
        return self.ours.answer.error.text if self.ours.answer.error else ""

    @property
    def is_refusal(self) -> bool:
        """Tell whether we refused without having done a thing."""
        untouched = dict(self.ours.cache) == dict(self.question.files or {})
        return bool(self.our_text) and not self.ours.calls and untouched

    @property
    def network(self) -> Mapping[str, Any]:
        """The network's document; of a single plugin with the version and the name that count."""
        found: dict[str, Any] = json.loads(self.question.fields["data"])
        if not self.question.fields.get("single"):
            return found
        return {
            **found,
            **{key: Pairs(found.items()).all(key)[-1] for key in ("name", "cniVersion")},
        }

    @property
    def runtime(self) -> Mapping[str, Any]:
        """The runtime's side of the attachment."""
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
        """The content of that file before; `None` if it did not exist or was not a file."""
        found = (self.question.files or {}).get(self.record_name)
        return found if isinstance(found, bytes) else None

    @property
    def owner(self) -> tuple[str, str, str] | None:
        """The owner that the record names; `None` if that is the attachment or missing."""
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
        """Tell whether the record is of another attachment with the same file name."""
        return self.owner is not None and self._file_name(self.owner) == self.record_name

    @property
    def is_misnamed(self) -> bool:
        """Tell whether the record is under a name that is not its own."""
        return self.owner is not None and self._file_name(self.owner) != self.record_name

    @staticmethod
    def _file_name(parts: tuple[str, str, str]) -> str:
        return posixpath.normpath("results/" + "-".join(map(str, parts)))

    def explained(self) -> Self:
        """Leave nothing to explain."""
        return replace(self, go=self.ours)

    def with_go_asked(self, **changes: Any) -> Self:
        """See what libcni does with other files, or with other fields."""
        files = changes.pop("files", self.question.files)
        fields = {**self.question.fields, **changes}
        asked = replace(self.question, fields=fields, files=files)
        return replace(self, go=self.bench.ask_go(asked))

    def with_requests(self, change: Callable[[Call, dict[str, Any]], dict[str, Any]]) -> Self:
        """Change what plugins of libcni read."""

        def changed(call: Call) -> Call:
            try:
                request = json.loads(call.stdin)
            except ValueError:
                return call
            return replace(call, stdin=json.dumps(change(call, request)).encode())

        return replace(self, go=replace(self.go, calls=tuple(map(changed, self.go.calls))))

    def say_of_go(self, op: str, **fields: Any) -> Answer:
        """Ask libcni something that is about neither plugins nor the cache."""
        return self.bench.oracle.answer(ask(op, **fields))

    def read_by_go(self, op: str) -> Answer:
        """Ask libcni to read the attachment's record, as it was before."""
        return self.bench.ask_go(replace(self.question, op=op)).answer

    def read_by_us(self, op: str) -> Answer:
        """Read the attachment's record, as it was before."""
        return self.bench.ask_ours(replace(self.question, op=op)).answer

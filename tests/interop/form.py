"""Observations of chains, reduced to what has to be equal in Go's libcni and in cni_async."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from .bench import Observed
from .canonical import canonical, document
from .wire import Answer, Failure, Question

# The text that libcni puts before the error of a plugin, or before an error of its own.
_WRAPPER: Final = re.compile(
    r'(?:plugin type="(?:[^"\\]|\\.)*"(?: name="(?:[^"\\]|\\.)*")? failed \((?:add|delete)\): |'
    r'failed to (?:get|set) network "(?:[^"\\]|\\.)*" cached result: |'
    r'failed to convert cached result to config version "(?:[^"\\]|\\.)*": |'
    r"failed to delete stale attachment \S* \S*: |"
    r"failed to GC plugin \S+: )*",
    re.DOTALL,
)
# The system call and the file in such an error may differ.
_SYSTEM: Final = re.compile(
    r"(?:(?:open|mkdir|readdirent|fdopendir|read|write) )?(/[^:]*): "
    r"(not a directory|is a directory)"
)
# The text of the JSON decoder, also where other errors follow it.
_TYPE: Final = re.compile(
    r"json: cannot unmarshal (\w+) into Go (?:value|struct field Error\.\w+) of type [\w.]+|"
    r"(?:it|msg) is of type (\w+), not \w+"
)
_UNREADABLE: Final = re.compile(
    r'(failed to unmarshal cached network "(?:[^"\\]|\\.)*" config: ).*', re.DOTALL
)


def form(question: Question, seen: Observed) -> dict[str, Any]:
    """Reduce an observation to what has to be equal."""
    calls = [(call.plugin, dict(call.env), unordered(document(call.stdin))) for call in seen.calls]
    return {
        "outcome": _outcome(question, seen.answer),
        "calls": _in_order(question, calls),
        "cache": {
            name: document(content) if isinstance(content, bytes) else content
            for name, content in seen.cache.items()
        },
    }


def _outcome(question: Question, answer: Answer) -> Any:
    if answer.error is None:
        if question.op == "validate":
            return ("result", sorted(answer.result))  # libcni's order is random
        if question.op in {"cached_config", "attachments"}:
            return canonical(replace(answer, result=_read_back(answer.result or [])))
        return canonical(answer)
    if question.op == "gc":
        # libcni reports errors in any order, and of several codes only one.
        errors = [_error(Failure(line)) for line in answer.error.text.split("\n")]
        return ("errors", sorted(error[1] for error in errors))
    if question.op == "validate" and not question.fields["single"]:
        return ("errors", _TYPE.sub(r"<type \1\2>", answer.error.text))
    return _error(answer.error)


def unordered(value: Any) -> Any:
    """Drop the order of keys in a document: libcni inserts keys in a different order."""
    match value:
        case ("object", list(members)):
            return {key: unordered(member) for key, member in members}
        case list():
            return list(map(unordered, value))
        case _:
            return value


def _read_back(value: Any) -> Any:
    """Normalize a value from the cache: libcni reads nil for empty, and all numbers as floats."""
    match value:
        case {"args": _} | {"CniArgs": _}:
            return {key: _read_back(each) or None for key, each in value.items()}
        case dict():
            return {key: _read_back(each) for key, each in value.items()}
        case list():
            return list(map(_read_back, value))
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _error(error: Failure) -> Any:
    wrapper = _WRAPPER.match(error.text)
    assert wrapper is not None
    inner = replace(error, text=plain(error.text[wrapper.end() :]))
    kind, text, *rest = canonical(Answer(error=inner))
    return (kind, wrapper[0] + text, *rest)


def plain(text: str) -> str:
    """Return an error's text without the parts that may differ."""
    return _UNREADABLE.sub(r"\1<tail>", _SYSTEM.sub(r"\2", text))


def _in_order(question: Question, calls: list[Any]) -> Any:
    """Sort the calls of an operation that may make them in any order."""
    match question.op:
        case "validate":
            return sorted({repr(call) for call in calls})
        case "gc":
            commands = [env["CNI_COMMAND"] for _, env, _ in calls]
            assert commands == sorted(commands), commands  # all DEL before any GC
            return sorted(calls, key=lambda call: call[1]["CNI_CONTAINERID"])
        case _:
            return calls

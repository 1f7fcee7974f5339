"""The chosen differences in operations on records in the cache; see `explained_chains`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from .case import Pairs, fold, pairs
from .scene import Scene

# The fields that Go merges with an earlier key of the same name.
_MERGED: Final = frozenset(map(fold, ("result", "capabilityArgs")))
_READING: Final = frozenset({"check", "cached_result", "cached_config"})


def _repeated(scene: Scene) -> Scene | None:
    """We use the last of repeated keys in a record; Go merges some."""
    files = dict(scene.question.files or {})
    changed = {
        name: _without_repetition(content)
        for name, content in files.items()
        if isinstance(content, bytes)
    }
    changed = {name: content for name, content in changed.items() if content is not None}
    if not changed:
        return None
    after = scene.with_go_asked(files={**files, **changed})
    cache = {
        name: files[name] if name in changed and content == changed[name] else content
        for name, content in after.go.cache.items()
    }
    return replace(after, go=replace(after.go, cache=cache))


def _without_repetition(record: bytes) -> bytes | None:
    """Return a record with only the last of repeated keys, or `None` if no key is repeated."""
    found = _members(record)
    if found is None:
        return None
    last = {fold(key): place for place, (key, _) in enumerate(found)}
    kept = Pairs(
        (key, value)
        for place, (key, value) in enumerate(found)
        if fold(key) not in _MERGED or last[fold(key)] == place
    )
    return None if kept == found else _as_json(kept).encode()


def _members(record: bytes) -> Pairs | None:
    """Read a record. Each byte that Go reads as U+FFFD is a lone surrogate in the result."""
    try:
        found = json.loads(record.decode("utf-8", "surrogateescape"), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Pairs) else None


def _as_json(value: Any) -> str:
    match value:
        case Pairs():
            members = (f"{json.dumps(key)}:{_as_json(member)}" for key, member in value)
            return f"{{{','.join(members)}}}"
        case list():
            return f"[{','.join(map(_as_json, value))}]"
        case _:
            return json.dumps(value)


def _unwritable(scene: Scene) -> Scene | None:
    """We check that the cache is writable before the first plugin runs."""
    if scene.op != "add" or not scene.is_refusal:
        return None
    files = scene.question.files or {}
    in_the_way = files.keys() & {"", "results"} or files.get(scene.record_name, b"") is None
    words = f"failed to set network {json.dumps(scene.network['name'])} cached result: "
    return scene.explained() if in_the_way and scene.our_text.startswith(words) else None


def _foreign(scene: Scene) -> Scene | None:
    """We leave the record of another attachment with the same file name alone."""
    if not scene.runtime or not scene.is_foreign:
        return None
    if scene.op == "del":
        return _without_record(scene, kept=True)
    refused = scene.is_refusal and " is of another attachment: " in scene.our_text
    return scene.explained() if refused else None


def _misnamed(scene: Scene) -> Scene | None:
    """We refuse a record whose content belongs under another file name."""
    if scene.op not in _READING or not scene.runtime or not scene.is_misnamed:
        return None
    refused = scene.is_refusal and " says of itself: " in scene.our_text
    return scene.explained() if refused else None


def _unreadable(scene: Scene) -> Scene | None:
    """We report an unreadable record; libcni treats it as missing."""
    files = scene.question.files or {}
    if scene.op not in _READING or not scene.is_refusal:
        return None
    in_the_way = files.keys() & {"", "results"} or files.get(scene.record_name, b"") is None
    reasons = ("not a directory", "not a regular file", "is a directory")
    return scene.explained() if in_the_way and scene.our_text.endswith(reasons) else None


def _no_result(scene: Scene) -> Scene | None:
    """We refuse a record that libcni reads as an empty result, but not as a configuration."""
    if scene.op not in {"check", "cached_result"} or not scene.is_refusal:
        return None
    refused = "no result in cache record " in scene.our_text
    unread = scene.read_by_go("cached_config").error is not None
    return scene.explained() if refused and unread else None


def _unusable(scene: Scene) -> Scene | None:
    """Our DEL goes on without an unusable record, and removes it after the plugins succeed."""
    if scene.op != "del" or scene.record is None:
        return None
    if scene.read_by_us("cached_result").error is None:
        return None
    return _without_record(scene, kept=scene.ours.answer.error is not None)


def _without_record(scene: Scene, *, kept: bool) -> Scene:
    """Ask libcni without the record; with `kept`, put the record back afterwards."""
    files = dict(scene.question.files or {})
    record = files.pop(scene.record_name)
    changed = scene.with_go_asked(files=files)
    if not kept:
        return changed
    cache = {**changed.go.cache, scene.record_name: record}
    return replace(changed, go=replace(changed.go, cache=cache))


def _netns(scene: Scene) -> Scene | None:
    """We return the namespace of the ADD if the caller passes none."""
    result = scene.go.answer.result
    if scene.op != "cached_config" or not result or result.get("netns") != "":
        return None
    assert scene.record is not None
    members = _members(scene.record)
    assert members is not None
    said = [value for value in members.all("netns") if value is not None]
    netns = re.sub("[\ud800-\udfff]", "\ufffd", ["", *said][-1])
    if not netns:
        return None
    answer = replace(scene.go.answer, result={**result, "netns": netns})
    return replace(scene, go=replace(scene.go, answer=answer))


def _silent(scene: Scene) -> Scene | None:
    """We use the namespace in a record's result if the record itself names none."""
    go, ours = scene.go.answer.result, scene.ours.answer.result
    if scene.op == "cached_config" and go and ours and "netns" in go and "netns" in ours:
        inside = _sandboxes([scene.record], scene.runtime["ifname"])
        changed: Any = _filled(go, ours, "netns", inside)
    elif scene.op == "attachments" and go and ours and len(go) == len(ours):
        files = list((scene.question.files or {}).values())
        changed = [
            _filled(theirs, own, "NetNS", _sandboxes(files, own["IfName"]))
            for theirs, own in zip(go, ours, strict=True)
        ]
    else:
        return None
    after = replace(scene, go=replace(scene.go, answer=replace(scene.go.answer, result=changed)))
    return after if after.go_form != scene.go_form else None


def _filled(go: Any, ours: Any, key: str, inside: set[str]) -> Any:
    return {**go, key: ours[key]} if go[key] == "" and ours[key] in inside else go


def _sandboxes(records: Iterable[bytes | str | None], ifname: str) -> set[str]:
    """Return the sandboxes of the interfaces of this name in records."""
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, Pairs):
            members = dict(value)
            sandbox = members.get("sandbox")
            if members.get("name") == ifname and str(sandbox).startswith("/"):
                found.add(str(sandbox))
            look(list(members.values()))
        elif isinstance(value, list):
            for each in value:
                look(each)

    for record in records:
        if isinstance(record, bytes):
            look(pairs(record))
    return found


def _args_of_add(scene: Scene) -> Scene | None:
    """Our DEL uses the record's args if the caller passes none, so pass those to libcni."""
    if scene.op != "del" or scene.record is None:
        return None
    added = scene.read_by_us("cached_config")
    if added.error is not None or not added.result or added.result.get("none"):
        return None
    runtime = dict(scene.runtime)
    for key in ("args", "capabilityArgs"):
        runtime[key] = runtime[key] or added.result[key] or runtime[key]
    if runtime == scene.runtime:
        return None
    question = replace(scene.question, fields={**scene.question.fields, "runtime": runtime})
    after = replace(scene, question=question, go=scene.bench.ask_go(question))
    return after if after.go_form != scene.go_form else None


REWRITES: Final = (
    ("del-args", _args_of_add),
    ("repeated-arrays", _repeated),
    ("unwritable-cache", _unwritable),
    ("foreign-records", _foreign),
    ("misnamed-records", _misnamed),
    ("read-errors", _unreadable),
    ("empty-results", _no_result),
    ("unusable-records", _unusable),
    ("cached-netns", _netns),
    ("silent-records", _silent),
)

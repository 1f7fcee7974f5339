"""The chosen differences in operations with plugins and the cache; see `explained`.

Most explanations ask libcni the question again without the cause of the difference. libcni then has
to do exactly what we do, so an explanation is as narrow as the comparison itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from . import explained_gc, explained_records
from .bench import Bench, Call, Observed
from .case import fold
from .explained_conf import without_precision
from .scene import KNOWN, Scene
from .wire import Answer, Question

Rewrite = Callable[[Scene], Scene | None]


def _identifiers(scene: Scene) -> Scene | None:
    """We check the parts of a record's file name in every operation."""
    if scene.op not in {"check", "del", "cached_result", "cached_config"} or not scene.is_refusal:
        return None
    checked = (
        ("validate_container_id", scene.runtime["containerID"]),
        ("validate_network_name", scene.network["name"]),
        ("validate_interface_name", scene.runtime["ifname"]),
    )
    errors = [scene.say_of_go(op, text=text).error for op, text in checked]
    if not all(text for _, text in checked):
        # The error is libcni's own, which it does not return for DEL.
        found = scene.read_by_go("cached_config").error
        errors = [found]
    first = next((error for error in errors if error is not None), None)
    refused = first is not None and scene.our_text.endswith(first.text)
    return scene.explained() if refused else None


def _args(scene: Scene) -> Scene | None:
    """We refuse args that CNI_ARGS cannot carry."""
    if scene.op not in {"add", "check"} or not scene.is_refusal:
        return None
    odd = any(
        char in text
        for key, value in scene.runtime["args"]
        for text, chars in ((key, ";="), (value, ";"))
        for char in chars
    )
    return scene.explained() if odd and "CNI_ARGS cannot carry" in scene.our_text else None


def _unknown_version(scene: Scene) -> Scene | None:
    """We refuse an unknown version before any plugin runs."""
    version = scene.network["cniVersion"]
    if scene.op != "add" or not scene.is_refusal or version in KNOWN:
        return None
    answer = scene.say_of_go("create_result", text=version, data=b"{}").error
    return scene.explained() if answer and scene.our_text.endswith(answer.text) else None


def _disabled_check(scene: Scene) -> Scene | None:
    """DisableCheck wins over a version without CHECK."""
    if scene.op != "check" or not scene.network.get("disableCheck") or scene.ours.calls:
        return None
    error = scene.go.answer.error
    refused = error is not None and (
        error.kind == "ErrorCheckNotSupp" or " version part " in error.text
    )
    return replace(scene, go=replace(scene.go, answer=Answer(True))) if refused else None


def _prev_result_version(scene: Scene) -> Scene | None:
    """We pass results on in the network's version, so libcni converts its own for comparison."""
    if scene.op != "add" or len(scene.go.calls) < 2:
        return None
    version = scene.network["cniVersion"]
    calls = list(scene.go.calls)
    for index, call in enumerate(calls[1:], 1):
        request = json.loads(call.stdin)
        data = json.dumps(request["prevResult"]).encode()
        converted = scene.say_of_go("convert", data=data, text=version)
        if converted.error is not None:
            continue  # both then pass the result on as it is
        request["prevResult"] = json.loads(converted.result["text"])
        calls[index] = replace(call, stdin=json.dumps(request, sort_keys=True).encode())
    go = replace(scene.go, calls=tuple(calls))
    last = scene.question.fields["answers"].get(calls[-1].plugin, {}).get("ADD", {})
    if last.get("pass"):
        go = _converted(scene, go, version)
    changed = replace(scene, go=go)
    return changed if changed.go_form != scene.go_form else None


def _converted(scene: Scene, go: Observed, version: str) -> Observed:
    """Convert libcni's result if the last plugin only prints its prevResult."""
    if go.answer.error is not None:
        return go
    answer = scene.say_of_go("convert", data=go.answer.result["text"].encode(), text=version)
    if answer.error is not None:
        return go
    record = json.loads(_bytes(go.cache[scene.record_name]))
    record["result"] = json.loads(answer.result["text"])
    written = _with_sorted_result(record)
    return replace(go, answer=answer, cache={**go.cache, scene.record_name: written})


def _with_sorted_result(record: dict[str, Any]) -> bytes:
    record["result"] = json.loads(json.dumps(record["result"], sort_keys=True))
    return json.dumps(record).encode()


def _bytes(content: bytes | str | None) -> bytes:
    assert isinstance(content, bytes)
    return content


_VALID: Final = ("cni.dev/valid-attachments", "cni.dev/attachments")


def _reserved_keys(scene: Scene) -> Scene | None:
    """We remove the keys that only the runtime may set."""
    injected = _VALID if scene.op == "gc" and not scene.question.fields.get("noValid") else ()

    def kept(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        ours = () if call.env["CNI_COMMAND"] != "GC" else injected
        return {
            key: value
            for key, value in request.items()
            if key in ours or not fold(key).startswith("cni.dev/")
        }

    return _if_changed(scene, scene.with_requests(kept))


_RESERVED: Final = ("cniVersion", "name", "prevResult", "runtimeConfig")


def _case_variants(scene: Scene) -> Scene | None:
    """We remove other spellings of the keys that the runtime sets."""

    def kept(_: Call, request: dict[str, Any]) -> dict[str, Any]:
        folded = {fold(key) for key in _RESERVED if key in request}
        return {
            key: value
            for key, value in request.items()
            if key in _RESERVED or fold(key) not in folded
        }

    return _if_changed(scene, scene.with_requests(kept))


def _version_variant(scene: Scene) -> Scene | None:
    """For a result without a version libcni uses another spelling of cniVersion."""
    if scene.op != "add":
        return None
    network = dict(scene.network)
    if "plugins" in network:
        network["plugins"] = list(map(_without_variant, network["plugins"]))
    else:
        network = _without_variant(network)
    if network == scene.network:
        return None
    data = json.dumps(network).encode()
    changed = scene.with_go_asked(data=data)
    name = scene.record_name
    if name in scene.ours.cache and (
        changed.go.cache.get(name) != (scene.question.files or {}).get(name)
    ):
        record = json.loads(_bytes(changed.go.cache[name]))
        record["config"] = json.loads(_bytes(scene.ours.cache[name]))["config"]
        cache = {**changed.go.cache, name: json.dumps(record).encode()}
        changed = replace(changed, go=replace(changed.go, cache=cache))
    return changed


_LARGEST: Final = b"9223372036854775807"


def _largest_integer(scene: Scene) -> Scene | None:
    """Where libcni passes results through float64, the largest int becomes a non-integer.

    libcni then cannot read its own record, nor a plugin its prevResult, so both sides are compared
    with a smaller integer instead.
    """
    smaller = _without_largest(scene.question)
    if smaller == scene.question:
        return None
    go, ours = scene.bench.ask_go(smaller), scene.bench.ask_ours(smaller)
    return None if scene.explain(scene.bench, smaller, go, ours) is None else scene.explained()


def _without_largest(question: Question) -> Question:
    files = {name: _smaller(content) for name, content in (question.files or {}).items()}
    return replace(question, fields=_smaller(question.fields), files=files)


def _smaller(value: Any) -> Any:
    match value:
        case bytes():
            return value.replace(_LARGEST, b"9007199254740993")
        case Mapping():
            return {key: _smaller(each) for key, each in value.items()}
        case _:
            return value


def _without_variant(plugin: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plugin.items() if key != "cniversion"}


def _if_changed(before: Scene, after: Scene) -> Scene | None:
    return after if after.go_form != before.go_form else None


REWRITES: Final[tuple[tuple[str, Rewrite], ...]] = (
    ("identifiers", _identifiers),
    ("args-separators", _args),
    ("unknown-version", _unknown_version),
    ("disabled-check", _disabled_check),
    *explained_records.REWRITES,
    *explained_gc.REWRITES,
    ("case-variants", _version_variant),
    ("prev-result-version", _prev_result_version),
    ("reserved-keys", _reserved_keys),
    ("case-variants", _case_variants),
)


def explain(bench: Bench, question: Question, go: Observed, ours: Observed) -> list[str] | None:
    """Return the chosen differences between two observations.

    Returns:
        the anchors, none for equal observations; or `None` if a difference stays unexplained.
    """
    scene = Scene(question, go, ours, bench, explain)
    anchors: list[str] = []
    for anchor, rewrite in REWRITES:
        if scene.same:
            return anchors
        if (rewritten := rewrite(scene)) is not None:
            scene = rewritten
            anchors.append(anchor)
    if scene.same:
        return anchors
    if without_precision(scene.go_form) == without_precision(scene.our_form):
        return [*anchors, "big-integers"]
    again = _largest_integer(Scene(question, go, ours, bench, explain))
    return None if again is None else ["big-integers"]


ANCHORS: Final = frozenset({"big-integers", *(anchor for anchor, _ in REWRITES)})

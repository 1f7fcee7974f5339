"""The chosen differences in garbage collection; see `explained_chains`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from .bench import Call, Observed
from .scene import Scene
from .wire import Answer, Failure, Question


def _listing(scene: Scene) -> Scene | None:
    """We report that the cache cannot be listed, and run the plugins' GC all the same."""
    if scene.op != "gc":
        return None
    listed = scene.bench.ask_go(_attachments(scene)).answer.error
    if listed is None or scene.our_text == "":
        return None
    changed = scene.with_go_asked(files={})
    texts = [listed.text]
    if changed.go.answer.error is not None:
        texts.append(changed.go.answer.error.text)
    go = Observed(_failed(texts), changed.go.calls, scene.question.files or {})
    return replace(scene, go=go)


def _attachments(scene: Scene) -> Question:
    fields = {**scene.question.fields, "text": ""}
    return replace(scene.question, op="attachments", fields=fields)


def _failed(texts: list[str]) -> Answer:
    return Answer(error=Failure("\n".join(texts))) if texts else Answer(True)


def _null(scene: Scene) -> Scene | None:
    """Without valid attachments we send an empty list."""
    fields = scene.question.fields
    if scene.op != "gc" or fields.get("noValid") or "valid" in fields:
        return None

    def changed(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        if call.env["CNI_COMMAND"] != "GC":
            return request
        names = ("cni.dev/valid-attachments", "cni.dev/attachments")
        assert all(request[name] is None for name in names)
        return {**request, **{name: [] for name in names}}

    after = scene.with_requests(changed)
    return after if after.go_form != scene.go_form else None


def _parts(scene: Scene) -> Scene | None:
    """We delete each stale attachment with the network's configuration at its ADD.

    So compare a DEL of each with libcni's DEL on that configuration, and then the plugins' GC with
    libcni's on a cache without attachments.
    """
    if scene.op != "gc" or scene.network.get("disableGC"):
        return None
    listed = scene.bench.ask_ours(_attachments(scene)).answer
    if listed.error is not None:
        return None
    texts: list[str] = []
    calls: list[Call] = []
    cache = dict(scene.question.files or {})
    stale = [one for one in listed.result or () if _is_stale(scene, one)]
    for one in stale:
        done = _compared(scene, _deletion(scene, one, cache))
        if done is None:
            return None
        calls += done.calls
        cache = dict(done.cache)
        if done.answer.error is not None:
            words = f"failed to delete stale attachment {one['ContainerID']} {one['IfName']}: "
            texts.append(words + done.answer.error.text)
    rest = _compared(scene, replace(scene.question, files={})) if stale else None
    if rest is None:
        return None
    if rest.answer.error is not None:
        texts.append(rest.answer.error.text)
    return replace(scene, go=Observed(_failed(texts), (*calls, *rest.calls), cache))


def _is_stale(scene: Scene, one: Mapping[str, Any]) -> bool:
    valid = scene.question.fields.get("valid") or ()
    key = {"containerID": one["ContainerID"], "ifname": one["IfName"]}
    return bool(one["Network"] == scene.network["name"] and key not in valid)


def _deletion(scene: Scene, one: Mapping[str, Any], cache: Mapping[str, Any]) -> Question:
    runtime = {
        "containerID": one["ContainerID"],
        "netns": one["NetNS"],
        "ifname": one["IfName"],
        "args": one["CniArgs"] or [],
        "capabilityArgs": one["CapabilityArgs"] or {},
    }
    fields = {**scene.question.fields, "data": _added_with(scene, one), "runtime": runtime}
    return Question("del", fields, cache)


def _added_with(scene: Scene, one: Mapping[str, Any]) -> bytes:
    """Return the network's configuration at its ADD, or the present one if that is unreadable."""
    for op in ("conf_list_from_bytes", "conf_list_from_conf"):
        answer = scene.say_of_go(op, data=one["Config"])
        if answer.error is None and answer.result["name"] == one["Network"]:
            found: bytes = answer.result["bytes"]
            return found
    data: bytes = scene.question.fields["data"]
    return data


def _compared(scene: Scene, question: Question) -> Observed | None:
    """Return what we do with a question, or `None` if libcni differs unexplained."""
    go, ours = scene.bench.ask_go(question), scene.bench.ask_ours(question)
    return None if scene.explain(scene.bench, question, go, ours) is None else ours


REWRITES: Final = (
    ("gc-listing", _listing),
    ("nil-valid-attachments", _null),
    ("gc-configuration", _parts),
)

"""libcni's skeleton of plugins accepts our calls, and checks identifiers as we do."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import assume, given, strategies as st

from .bench import Bench, Cache
from .canonical import canonical
from .cases import COUNTS, cases
from .compare import our_answer
from .oracle import Oracle
from .strategies import chains, records, words
from .wire import Answer, Question, ask

_COMMANDS: Final = ("add", "check", "del", "gc", "status", "validate")
_DELETION: Final = {
    "CNI_COMMAND": "DEL",
    "CNI_CONTAINERID": "c1",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/bin",
}


@cases(share=1)
@given(data=st.data())
def test_it_is_content_with_every_call(bench: Bench, data: st.DataObject) -> None:
    """The skeleton accepts each call of every operation on a valid network."""
    network = data.draw(chains.sound_networks())
    told = data.draw(chains.answers(chains.version_of(network)))
    cache: Cache = data.draw(records.caches())
    commands = ("add", "check", "del", "validate") if network["single"] else _COMMANDS
    for op in commands:
        question = data.draw(chains.operations(network, told, cache, (op,), sound=True))
        ours = bench.ask_ours(question)
        for call in ours.calls:
            COUNTS["calls for skel"] += 1
            answer = bench.oracle.ask("skel", env=dict(call.env), data=call.stdin)
            assert answer == Answer(True), (answer, call)
        cache = ours.cache


@cases(share=3)
@given(words.identifiers())
def test_it_refuses_the_identifiers_that_we_refuse(oracle: Oracle, question: Question) -> None:
    text = question.fields["text"]
    assume("\0" not in text and _is_text(text))
    COUNTS["identifiers for skel"] += 1
    env: dict[str, str] = dict(_DELETION)
    request: dict[str, Any] = {"cniVersion": "1.0.0", "name": "net"}
    match question.op:
        case "validate_container_id":
            env["CNI_CONTAINERID"] = text
        case "validate_interface_name":
            env["CNI_IFNAME"] = text
        case _:
            request["name"] = text
    skel = oracle.answer(ask("skel", env=env, data=json.dumps(request).encode()))
    ours = our_answer(question)
    if not text:
        # The skeleton has its own error text for an empty identifier.
        assert skel.error is not None
        assert ours.error is not None
        return
    assert canonical(skel) == canonical(ours)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

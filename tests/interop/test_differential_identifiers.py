"""Both libraries accept the same container IDs, network names and interface names."""

from __future__ import annotations

import pytest
from hypothesis import given

from .cases import cases
from .compare import ask_both, check, require_same
from .oracle import Oracle
from .strategies import words
from .wire import Answer, Question, ask


@cases(share=5)
@given(words.identifiers())
def test_identifiers(oracle: Oracle, question: Question) -> None:
    check(oracle, question, "identifiers")


@pytest.mark.parametrize("what", ["container_id", "network_name", "interface_name"])
def test_every_character_of_the_basic_plane(oracle: Oracle, what: str) -> None:
    """Both agree on every character that could be an exception, and on a sample of the rest."""
    characters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    odd = [char for char in characters if char.isspace() or char in "/:._-%" or ord(char) < 0x100]
    for char in odd:
        for text in (char, f"a{char}", f"a{char}b"):
            require_same(*_asked(oracle, f"validate_{what}", text))
    rest = sorted(set(characters) - set(odd))
    for char in rest[::61]:
        require_same(*_asked(oracle, f"validate_{what}", f"a{char}"))


def _asked(oracle: Oracle, op: str, text: str) -> tuple[Question, Answer, Answer]:
    question = ask(op, text=text)
    return question, *ask_both(oracle, question)

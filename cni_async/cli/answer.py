"""The outcome of a command, before it is printed."""

import json
from typing import TypeAlias

import msgspec

from cni_async import NetworkAttachment, Result


class Added(msgspec.Struct, frozen=True):
    """The result of an ADD."""

    network: str
    result: Result


Shown: TypeAlias = str | Added | list[NetworkAttachment]


class Answer(msgspec.Struct, frozen=True):
    """The output of a command.

    Attributes:
        json: the output for programs; may be empty.
        shown: the output for people.
        done: lines for stderr if the output cannot be printed.
    """

    json: str
    shown: Shown
    done: str = ""


def message(text: str) -> Answer:
    """Return a sentence for people; programs get only the exit code, as from cnitool."""
    return Answer("", text)


def as_json(document: object) -> str:
    """Return a document as programs get it."""
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"

"""Files of questions with libcni's answers, one case a line, in ASCII."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from .wire import BYTES, Answer, Failure, Question

FOLDER: Final = Path(__file__).parent / "vectors"
# The fields of questions whose values are bytes.
_DOCUMENTS: Final = frozenset({"data", "stdout", "stderr"})

Vector = tuple[Question, Answer]


def read(family: str) -> list[Vector]:
    """Read a family's file."""
    lines: list[dict[str, Any]] = json.loads((FOLDER / f"{family}.json").read_text())
    return [(_question(line), _answer(line["answer"])) for line in lines]


def write(family: str, vectors: Sequence[Vector]) -> None:
    """Replace a family's file."""
    lines = sorted(json.dumps(_line(question, answer)) for question, answer in vectors)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{family}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _line(question: Question, answer: Answer) -> dict[str, Any]:
    line: dict[str, Any] = {"op": question.op, **_shown(question.fields)}
    if question.files is not None:
        line["files"] = {name: _shown_file(each) for name, each in question.files.items()}
    if answer.error is not None:
        error = {key: value for key, value in asdict(answer.error).items() if value}
        return {**line, "answer": {"error": error}}
    if answer.panic:
        return {**line, "answer": {"panic": answer.panic}}
    return {**line, "answer": {"result": _shown(answer.result)}}


def _question(line: Mapping[str, Any]) -> Question:
    fields = {
        key: _bytes(value) if key in _DOCUMENTS else _read_back(value)
        for key, value in line.items()
        if key not in {"op", "files", "answer"}
    }
    files = line.get("files")
    if files is not None:
        files = {name: _file(each) for name, each in files.items()}
    return Question(line["op"], fields, files)


def _answer(shown: Mapping[str, Any]) -> Answer:
    if "error" in shown:
        return Answer(error=Failure(**{"text": "", **shown["error"]}))
    return Answer(_read_back(shown.get("result")), panic=shown.get("panic", ""))


def _shown(value: Any) -> Any:
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}
        case str():
            data = value.encode("utf-8", "surrogateescape")
            return _shown(data)
        case list() | tuple():
            return [_shown(member) for member in value]
        case Mapping():
            return {key: _shown(member) for key, member in value.items()}
        case _:
            return value


def _shown_file(content: bytes | str | None) -> Any:
    return {"link": content} if isinstance(content, str) else _shown(content)


def _file(shown: Any) -> bytes | str | None:
    if shown is None:
        return None
    link: str | None = shown.get("link") if isinstance(shown, dict) else None
    return _bytes(shown) if link is None else link


def _bytes(shown: Any) -> bytes:
    return shown.encode() if isinstance(shown, str) else base64.b64decode(shown["base64"])


def _read_back(value: Any, key: str = "") -> Any:
    if key in BYTES:
        return _bytes(value)
    match value:
        case {"base64": _, **rest} if not rest:
            return _bytes(value).decode("utf-8", "surrogateescape")
        case dict():
            return {name: _read_back(member, name) for name, member in value.items()}
        case list():
            return [_read_back(member) for member in value]
        case _:
            return value

"""Go's notation of quoted strings and lists, which libcni's error texts use."""

import re
from collections.abc import Iterable
from typing import Final

_UNDECODED: Final = re.compile("[\udc80-\udcff]")

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


# Characters or bytes. libcni quotes the whole text; this much is enough to recognise it in a log.
LONGEST: Final = 64 * 1024


def quote(text: str | bytes) -> str:
    """Quote text as Go's ``%q`` does, so that error texts can be compared with libcni's.

    Of a long text only the beginning is quoted, and the length is added.
    """
    if len(text) > LONGEST:
        what = "bytes" if isinstance(text, bytes) else "characters"
        return f"{quote(text[:LONGEST])}... ({len(text)} {what})"
    if isinstance(text, bytes):
        # surrogateescape keeps each undecodable byte recognisable as U+DC80..U+DCFF
        text = text.decode("utf-8", "surrogateescape")
    return '"' + "".join(map(_quote_char, text)) + '"'


def shorten(text: str) -> str:
    """Shorten an error's text to its first `LONGEST` characters, and add its length."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}... ({len(text)} characters)"


def _quote_char(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    # The only space that Go regards as printable is U+0020, as in Python.
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def as_written(text: str) -> str:
    """Replace the bytes that Python could not decode (PEP 383), as Go does in JSON.

    Args:
        text: from the environment or a path; plugins get its bytes unchanged in these.

    Returns:
        the text with a U+FFFD for each such byte.
    """
    return text if text.isascii() else _UNDECODED.sub("\ufffd", text)


def lower(text: str) -> str:
    """Return text in lower case as Go's ``strings.ToLower`` does: letter by letter."""
    # U+0130 is the one letter that becomes two, of which Go keeps the first.
    return "".join(char.lower()[0] for char in text)


def plain_list(items: Iterable[object]) -> str:
    """Return a list as Go's ``%v`` prints it: ``[a b c]``."""
    return "[" + " ".join(map(str, items)) + "]"


def quoted_list(items: Iterable[str]) -> str:
    """Return a list as Go's ``%q`` prints it: ``["a" "b"]``."""
    return plain_list(map(quote, items))

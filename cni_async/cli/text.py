"""Texts from records, plugins and files, made fit for a terminal or a shell."""

import shlex


def visible(text: str, *, keep: str = "") -> str:
    """Write what a terminal would act upon, or hide, as an escape sequence of Go's and Python's.

    Args:
        text: may hold anything, also bytes that are not text (surrogateescape).
        keep: characters to leave as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def visible_json(text: str) -> str:
    """Do the same for a JSON document, which stays one and says the same."""
    # Line breaks are between its values; within strings they are escaped already.
    return "".join(char if char.isprintable() or char == "\n" else _json(char) for char in text)


def shell_word(word: str) -> str:
    """Quote a word for bash, zsh and ksh such that a terminal shows all of it."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_in_dollar_quotes, word)) + "'"


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not text
        return f"\\x{code - 0xDC00:02x}"
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs)


def _in_dollar_quotes(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

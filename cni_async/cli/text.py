"""Make texts from records, plugins and files safe for a terminal or a shell."""

import shlex


def visible(text: str, *, keep: str = "") -> str:
    """Return a text with escapes, as in Go and Python, for what a terminal would obey or hide.

    Args:
        text: any text, even with undecodable bytes (surrogateescape).
        keep: characters to leave as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def visible_json(text: str) -> str:
    """Return a JSON document with JSON escapes for such characters; its meaning stays the same."""
    # Line breaks stand only between values; within strings they are already escaped.
    return "".join(char if char.isprintable() or char == "\n" else _json(char) for char in text)


def shell_word(word: str) -> str:
    """Return a word quoted for bash, zsh and ksh, so that a terminal shows all of it."""
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

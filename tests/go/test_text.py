"""Go's spelling of quoted strings and lists."""

import pytest

from cni_async.go.quote import plain_list, quote, quoted_list


# The output of Go's %q.
@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ('"\\', '"\\"\\\\"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\0\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("é世😀", '"é世😀"'),
        ("\u0085\u00a0\u200b", '"\\u0085\\u00a0\\u200b"'),
        ("\ufffe\U000e0001", '"\\ufffe\\U000e0001"'),
        (b"a\xffb\xc3\xa9", '"a\\xffbé"'),
    ],
)
def test_quote(text: str | bytes, quoted: str) -> None:
    assert quote(text) == quoted


def test_lists() -> None:
    assert plain_list(["a", 1, ""]) == "[a 1 ]"
    assert quoted_list(["a", 'b"', ""]) == '["a" "b\\"" ""]'
    assert plain_list([]) == quoted_list([]) == "[]"

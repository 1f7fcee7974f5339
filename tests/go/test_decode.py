"""Structs are filled as Go's encoding/json fills them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from cni_async.go import json as go_json
from cni_async.go.decode import Decoder, FieldError


class Inner(msgspec.Struct):
    text: str
    flag: bool = False


class Amount:
    def __init__(self, value: object) -> None:
        self.value = value


class Outer(msgspec.Struct, rename="camel"):
    some_text: str = ""
    number: Annotated[int, msgspec.Meta(ge=0)] = 0
    inner: Inner = msgspec.field(default_factory=lambda: Inner(""))
    pointer: Inner | None = None
    inners: list[Inner] = []
    texts: tuple[str, ...] = ()
    flags: dict[str, bool] = {}
    anything: dict[str, Any] = {}
    maybe: dict[str, Any] | None = None
    amount: Amount | None = None
    unread: Amount | None = msgspec.field(name="", default=None)


class Required(msgspec.Struct):
    amount: Amount


def read_amount(value: Any, _former: object) -> Amount:
    if value == "bad":
        raise FieldError(value, reason="a bad amount")
    return Amount(value)


OUTER = Decoder(Outer, {Amount: read_amount})


def read(text: str) -> Outer:
    return OUTER.read(go_json.loads_pairs(text.encode()))


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ('{"SOMETEXT": "a", "\u017fometext": "b", "some_text": "c"}', "some_text", "b"),
        ('{"someText": "a", "someText": null}', "some_text", "a"),
        ('{"number": 9223372036854775807}', "number", 2**63 - 1),
        ('{"number": 1, "number": null}', "number", 1),
        ('{"inner": {"flag": true}}', "inner", Inner("", True)),
        ('{"inner": {"text": "a"}, "Inner": {"flag": true}}', "inner", Inner("a", True)),
        ('{"inner": {"text": "a"}, "inner": null}', "inner", Inner("a")),
        ('{"inner": {"flag": true, "flag": null}}', "inner", Inner("", True)),
        ('{"pointer": {"text": "a"}, "pointer": {"flag": true}}', "pointer", Inner("", True)),
        ('{"pointer": {"text": "a"}, "pointer": null}', "pointer", None),
        ('{"inners": [{"text": "a"}, {}]}', "inners", [Inner("a"), Inner("")]),
        ('{"inners": [{"text": "a"}], "inners": null}', "inners", []),
        ('{"texts": ["a", null]}', "texts", ("a", "")),
        ('{"texts": null}', "texts", ()),
        ('{"flags": {"a": true}, "flags": {"b": null}}', "flags", {"a": True, "b": False}),
        ('{"flags": {"a": true}, "flags": null}', "flags", {}),
        ('{"anything": {"a": 1.0}, "anything": {"b": {}}}', "anything", {"a": 1, "b": {}}),
        ('{"anything": null}', "anything", {}),
        ('{"maybe": {"a": 1}, "maybe": {"b": 2}}', "maybe", {"a": 1, "b": 2}),
        ('{"maybe": {"a": 1}, "maybe": null}', "maybe", None),
        ('{"amount": null}', "amount", None),
        ('{"": "x"}', "unread", None),
    ],
)
def test_reading(text: str, attribute: str, value: object) -> None:
    assert getattr(read(text), attribute) == value


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[]", "", "is of type array, not object"),
        ('{"SOMETEXT": 1}', "someText", "is of type number, not string"),
        ('{"number": 1.0}', "number", "is of type number, not integer"),
        ('{"number": true}', "number", "is of type boolean, not integer"),
        ('{"number": 9223372036854775808}', "number", "is of type number, not integer"),
        ('{"inner": {"flag": "x"}}', "inner.flag", "is of type string, not boolean"),
        ('{"inners": [{}, {"text": 1}]}', "inners[1].text", "is of type number, not string"),
        ('{"inners": [null]}', "inners[0]", "is of type null, not object"),
        ('{"texts": {}}', "texts", "is of type object, not array"),
        ('{"flags": {"a": 1}}', "flags.a", "is of type number, not boolean"),
        ('{"anything": 1}', "anything", "is of type number, not object"),
    ],
)
def test_a_wrong_type_is_reported_with_its_path(text: str, key: str, words: str) -> None:
    with pytest.raises(FieldError) as caught:
        read(text)
    assert (caught.value.key, caught.value.mismatch) == (key, words)


def test_a_hook_reads_its_class() -> None:
    found = read('{"amount": 5}').amount
    assert found is not None
    assert found.value == 5
    with pytest.raises(FieldError) as caught:
        read('{"amount": "bad"}')
    assert (caught.value.key, caught.value.reason) == ("amount", "a bad amount")


def test_a_required_field_that_is_not_a_string_has_to_be_there() -> None:
    decoder = Decoder(Required, {Amount: read_amount})
    assert decoder.read({"amount": None}).amount.value is None
    with pytest.raises(FieldError) as caught:
        decoder.read({})
    assert (caught.value.key, caught.value.wanted, caught.value.reason) == ("amount", "", "")


def test_null_is_an_empty_object_or_the_former_struct() -> None:
    assert OUTER.read(None) == Outer()
    former = Outer("a")
    assert OUTER.read(None, former) is former


@pytest.mark.parametrize(("sorts_keys", "text"), [(False, "upper"), (True, "lower")])
def test_keys_of_a_dict_count_in_its_order_or_sorted(sorts_keys: bool, text: str) -> None:
    decoder = Decoder(Inner, sorts_keys=sorts_keys)
    assert decoder.read({"text": "lower", "TEXT": "upper"}).text == text


def test_variants_are_keys_in_other_letter_case() -> None:
    decoder = Decoder(Inner)
    assert not decoder.has_variants({"text": 1, "other": 2})
    assert decoder.has_variants({"text": 1, "Flag": 2})

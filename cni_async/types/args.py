"""Read CNI_ARGS, for plugins (types.LoadArgs).

CNI_ARGS is the environment variable in which a runtime passes key-value pairs to all plugins of a
network: ``IgnoreUnknown=1;K8S_POD_NAME=web``.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

import msgspec

from cni_async._arguments import require_text
from cni_async.errors import ArgsError, ResultError
from cni_async.go.quote import lower, quote, quoted_list

from .common import parse_ip

_BOOLEANS: Final = {"1": True, "true": True, "0": False, "false": False}
_IGNORE_UNKNOWN: Final = "IgnoreUnknown"


class CommonArgs(msgspec.Struct):
    """A base for containers of CNI_ARGS (types.CommonArgs).

    Attributes:
        IgnoreUnknown: whether to ignore keys that have no field.
    """

    IgnoreUnknown: bool = False


def load_args(text: str, container: object) -> None:
    """Set the attributes that CNI_ARGS names (types.LoadArgs).

    Args:
        text: ``KEY=VALUE`` pairs, separated by semicolons. The last of equal keys wins.
        container: an instance of a class with annotated attributes, such as a dataclass or a
            msgspec Struct. An annotation is str, bool, IPv4Address, IPv6Address or a union of
            these addresses; in a union with None, an empty value means None. The text may set
            the container's IgnoreUnknown.

    Raises:
        ArgsError: the text is malformed or does not fit; the container is unchanged then.
    """
    require_text(text, "text")
    if not text:
        return
    hints = get_type_hints(type(container))
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for pair in text.split(";"):
        key, separator, value = pair.partition("=")
        if not separator or "=" in value:
            raise ArgsError(f"ARGS: invalid pair {quote(pair)}")
        if key not in hints:
            unknown.append(pair)
            continue
        parse = _parser(key, hints[key])
        try:
            values[key] = parse(value)
        except ValueError as error:
            raise ArgsError(f"ARGS: error parsing value of pair {quote(pair)}: {error}") from None
    if unknown and not values.get(_IGNORE_UNKNOWN, getattr(container, _IGNORE_UNKNOWN, False)):
        raise ArgsError(f"ARGS: unknown args {quoted_list(unknown)}")
    for key, value in values.items():
        setattr(container, key, value)


def _parser(key: str, hint: Any) -> Callable[[str], Any]:
    if hint is str:
        return str
    if hint is bool:
        return _parse_bool
    kinds = get_args(hint) or (hint,)
    if not set(kinds) <= {IPv4Address, IPv6Address, NoneType}:
        name = hint.__name__ if isinstance(hint, type) else hint
        raise ArgsError(
            f"ARGS: cannot unmarshal into field '{key}' - type '{name}' has no text parser"
        )

    def parse_address(text: str) -> Any:
        address = parse_ip(text)
        if not isinstance(address, kinds):
            raise ResultError(f"invalid IP address: {text}")
        return address

    return parse_address


def _parse_bool(text: str) -> bool:
    lowered = lower(text)
    if lowered not in _BOOLEANS:
        raise ValueError(f"boolean unmarshal error: invalid input {lowered}")
    return _BOOLEANS[lowered]

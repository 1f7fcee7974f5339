"""CNI_ARGS.

See items 313-319 of docs/maintainers/conformance.md.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

import msgspec
import pytest

from cni_async.errors import ArgsError
from cni_async.types.args import CommonArgs, load_args


class Args(CommonArgs):
    NAME: str = ""
    FLAG: bool = False
    IP: IPv4Address | IPv6Address | None = None
    IP4: IPv4Address = IPv4Address("0.0.0.0")
    CIDR: IPv4Interface | None = None
    COUNT: int = 0


@dataclass
class Plain:
    NAME: str = ""


class Bare(msgspec.Struct):
    NAME: str = ""


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("", Args()),  # 313
        ("NAME=a", Args(NAME="a")),
        ("NAME=a;FLAG=1", Args(NAME="a", FLAG=True)),
        ("NAME=a;NAME=b", Args(NAME="b")),  # 314
        ("NAME=", Args()),
        ("IP=1.2.3.4", Args(IP=IPv4Address("1.2.3.4"))),
        ("IP=::1", Args(IP=IPv6Address("::1"))),
        ("IP=::ffff:1.2.3.4", Args(IP=IPv4Address("1.2.3.4"))),
        ("IP=", Args()),
        ("IP4=1.2.3.4", Args(IP4=IPv4Address("1.2.3.4"))),
        # 315
        ("IgnoreUnknown=1;Unk=1", Args(IgnoreUnknown=True)),
        ("Unk=1;NAME=a;IgnoreUnknown=true", Args(IgnoreUnknown=True, NAME="a")),
        ("name=x;IgnoreUnknown=TRUE", Args(IgnoreUnknown=True)),  # 314
    ],
)
def test_load(text: str, args: Args) -> None:
    loaded = Args()
    load_args(text, loaded)
    assert loaded == args


@pytest.mark.parametrize(
    ("text", "flag"), [("1", True), ("true", True), ("tRuE", True), ("0", False), ("FALSE", False)]
)
def test_booleans(text: str, flag: bool) -> None:  # 316
    args = Args(FLAG=not flag)
    load_args(f"FLAG={text}", args)
    assert args.FLAG is flag


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # 313
        ("K=a=b", 'ARGS: invalid pair "K=a=b"'),
        ("NAME", 'ARGS: invalid pair "NAME"'),
        ("NAME=a;", 'ARGS: invalid pair ""'),
        (";", 'ARGS: invalid pair ""'),
        ("IgnoreUnknown=1;K=a=b", 'ARGS: invalid pair "K=a=b"'),  # 319
        # 315
        ("Unk=1;NAME=a;Foo=2", 'ARGS: unknown args ["Unk=1" "Foo=2"]'),
        ("name=a", 'ARGS: unknown args ["name=a"]'),  # 314
        ("__class__=a", 'ARGS: unknown args ["__class__=a"]'),
        ("IgnoreUnknown=1;Unk=1;IgnoreUnknown=0", 'ARGS: unknown args ["Unk=1"]'),
        # 316
        (
            "IgnoreUnknown=yes",
            'ARGS: error parsing value of pair "IgnoreUnknown=yes": '
            "boolean unmarshal error: invalid input yes",
        ),
        (
            "FLAG=YES",
            'ARGS: error parsing value of pair "FLAG=YES": '
            "boolean unmarshal error: invalid input yes",
        ),
        ("IP=1.2.3", 'ARGS: error parsing value of pair "IP=1.2.3": invalid IP address: 1.2.3'),
        ("IP4=::1", 'ARGS: error parsing value of pair "IP4=::1": invalid IP address: ::1'),
        ("IP4=", 'ARGS: error parsing value of pair "IP4=": invalid IP address: '),
        # 317
        (
            "COUNT=1",
            "ARGS: cannot unmarshal into field 'COUNT' - type 'int' has no text parser",
        ),
        (
            "CIDR=1.2.3.4/8",
            "ARGS: cannot unmarshal into field 'CIDR' - "
            "type 'ipaddress.IPv4Interface | None' has no text parser",
        ),
    ],
)
@pytest.mark.parametrize("before", ["", "NAME=x;"], ids=["alone", "after-a-known-one"])
def test_errors(text: str, message: str, before: str) -> None:
    args = Args()
    with pytest.raises(ArgsError) as caught:
        load_args(before + text, args)
    assert str(caught.value) == message
    assert args == Args()


@pytest.mark.parametrize("container", [Plain(), Bare()])
def test_containers_without_ignore_unknown(container: Plain | Bare) -> None:  # 318
    load_args("NAME=a", container)
    assert container.NAME == "a"
    with pytest.raises(ArgsError, match=r'^ARGS: unknown args \["Unk=1"\]$'):
        load_args("NAME=b;Unk=1", container)
    with pytest.raises(ArgsError, match=r'^ARGS: unknown args \["IgnoreUnknown=1"\]$'):
        load_args("IgnoreUnknown=1", container)
    assert container.NAME == "a"


def test_unknown_keys_are_ignored_from_the_start() -> None:
    args = Args(IgnoreUnknown=True)
    load_args("Unk=1;NAME=a", args)
    assert args.NAME == "a"

"""Identifiers.

See items 304-312 of docs/maintainers/conformance.md.
"""

import pytest

from cni_async.errors import CNIError, InvalidIdentifierError, PluginError
from cni_async.validate import validate_container_id, validate_interface_name, validate_network_name

GOOD = ["a", "0", "a.b-c_d", "A..", "x" * 10_000]  # 307
BAD = [".a", "-a", "_a", "a/b", "a b", "a\n", "\na", "é", "aé", "a\0", "../a", "\u0661", "a:"]


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:  # 304
    validate_container_id(name)
    validate_network_name(name)


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:  # 304
    with pytest.raises(InvalidIdentifierError) as of_container:
        validate_container_id(name)
    assert of_container.value.code == 4  # 305
    assert of_container.value.msg == "invalid characters in containerID"
    assert of_container.value.details == name
    assert str(of_container.value) == f"invalid characters in containerID; {name}"
    with pytest.raises(InvalidIdentifierError) as of_network:
        validate_network_name(name)
    assert of_network.value.code == 7  # 306
    assert of_network.value.msg == "invalid characters found in network name"
    assert of_network.value.details == name


def test_missing() -> None:
    with pytest.raises(InvalidIdentifierError) as of_container:
        validate_container_id("")
    assert of_container.value.code == 3  # 305
    assert str(of_container.value) == "missing containerID"
    with pytest.raises(InvalidIdentifierError) as of_network:
        validate_network_name("")
    assert of_network.value.code == 7  # 306
    assert str(of_network.value) == "missing network name:"


@pytest.mark.parametrize(
    "name",
    [
        "eth0",
        "x" * 15,
        "é" * 7,
        "...",  # 312
        "a\0",
        "%d",
        "\x1b",
        "\x1c\x1d\x1e\x1f",  # 311: not spaces to Go
        "\u200b",
        "-",
        "..a",
    ],
)
def test_good_interface(name: str) -> None:
    validate_interface_name(name)


@pytest.mark.parametrize(
    ("name", "msg", "details"),
    [
        ("", "interface name is empty", ""),  # 308
        *(
            (
                name,
                "interface name is too long",
                "interface name should be less than 16 characters",
            )
            for name in ["x" * 16, "é" * 8, "\ud800" * 6, "a/" * 8]  # 309: bytes, not characters
        ),
        (".", "interface name is . or ..", ""),  # 310
        ("..", "interface name is . or ..", ""),
        *(
            (name, "interface name contains / or : or whitespace characters", "")
            for name in [  # 311
                "a/b",
                "a:b",
                "a b",
                *"\t\n\v\f\r \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000",
            ]
        ),
    ],
)
def test_bad_interface(name: str, msg: str, details: str) -> None:
    with pytest.raises(InvalidIdentifierError) as caught:
        validate_interface_name(name)
    assert caught.value.code == 4
    assert caught.value.msg == msg
    assert caught.value.details == details


@pytest.mark.parametrize(
    "validate", [validate_container_id, validate_network_name, validate_interface_name]
)
@pytest.mark.parametrize("kind", [PluginError, CNIError, ValueError])
def test_kinds(validate: object, kind: type[Exception]) -> None:
    assert callable(validate)
    with pytest.raises(kind):
        validate("")

"""Validation of a network, and VERSION.

The tests cover section N of docs/maintainers/conformance.md;
their names contain the numbers.
"""

from __future__ import annotations

import pytest

from cni_async import (
    CNIError,
    PluginError,
    PluginInfo,
    PluginNotFoundError,
    PluginTimeoutError,
    ValidationError,
    VersionError,
)
from tests.support.chains import Blocker, failure, network, runtime, single

pytestmark = pytest.mark.anyio

OLD = {"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}


async def test_item_154_the_version_has_to_be_among_the_plugins() -> None:
    fake = runtime({("a", "VERSION"): OLD})
    assert await fake.cni.validate_network(single(version="0.4.0")) == []
    assert await fake.cni.validate_network_list(network("a", version="0.4.0")) == []
    words = 'plugin a does not support config version "broken"'
    with pytest.raises(VersionError) as caught:
        await fake.cni.validate_network(single(version="broken"))
    assert str(caught.value) == words
    with pytest.raises(ValidationError) as several:
        await fake.cni.validate_network_list(network("a", version="broken"))
    assert str(several.value) == f"[{words}]"


async def test_item_154_a_missing_plugin() -> None:
    fake = runtime(missing=["a"])
    with pytest.raises(PluginNotFoundError, match=r"^failed to find plugin"):
        await fake.cni.validate_network(single())
    assert not fake.exec.calls


async def test_item_155_an_empty_version_means_0_1_0() -> None:
    fake = runtime({("new", "VERSION"): OLD})
    assert await fake.cni.validate_network(single(version="")) == []
    with pytest.raises(VersionError) as caught:
        await fake.cni.validate_network(single("new", version=""))
    assert str(caught.value) == 'plugin new does not support config version "0.1.0"'


async def test_item_156_versions_are_compared_letter_by_letter() -> None:
    with pytest.raises(VersionError, match=r'does not support config version "1.0"'):
        await runtime().cni.validate_network(single(version="1.0"))


async def test_items_157_and_158_every_plugin_is_checked_and_every_error_kept() -> None:
    answers = {("b", "VERSION"): OLD, ("c", "VERSION"): failure("crash")}
    fake = runtime(answers, missing=["a"])
    with pytest.raises(ValidationError) as caught:
        await fake.cni.validate_network_list(network("b", "a", "c", "good", "b"))
    unsupported = 'plugin b does not support config version "1.1.0"'
    assert str(caught.value) == (
        f'[{unsupported} failed to find plugin "a" in path [/bin1 /bin2] crash {unsupported}]'
    )
    assert [type(error) for error in caught.value.errors] == [
        VersionError,
        PluginNotFoundError,
        PluginError,
        VersionError,
    ]
    assert all(isinstance(error, CNIError) for error in caught.value.errors)
    assert sorted(fake.order) == ["b VERSION", "c VERSION", "good VERSION"]


async def test_items_159_and_160_capabilities_in_order_of_appearance() -> None:
    first = {"type": "a", "capabilities": {"z": True, "off": False, "a": True}}
    second = {"type": "b", "capabilities": {"m": True, "z": True, "nothing": None}}
    fake = runtime()
    enabled = await fake.cni.validate_network_list(network(first, second))
    assert enabled == ["z", "a", "m"]
    assert await fake.cni.validate_network(single(capabilities=first["capabilities"])) == [
        "z",
        "a",
    ]


async def test_item_161_only_versions_are_asked_for_and_names_do_not_matter() -> None:
    fake = runtime(fail_on=["prepare", "load", "attachments"])
    await fake.cni.validate_network_list(network("a", "b", "a", name="../.."))
    assert sorted(fake.order) == ["a VERSION", "b VERSION"]
    assert fake.configs("VERSION") == [{"cniVersion": "1.1.0"}] * 2


async def test_plugins_are_asked_at_the_same_time() -> None:
    first, second = Blocker(), Blocker()
    fake = runtime({("a", "VERSION"): first, ("b", "VERSION"): second})

    async def validate() -> None:
        await fake.cni.validate_network_list(network("a", "b"))

    await second.cancel(validate)
    assert first.started.is_set()


async def test_cancelled_while_a_plugin_runs() -> None:
    blocker = Blocker()
    fake = runtime({("a", "VERSION"): blocker})
    await blocker.cancel(lambda: fake.cni.validate_network(single()))
    assert fake.order == ["a VERSION"]


async def test_a_plugin_that_does_not_answer_in_time() -> None:
    fake = runtime({("a", "VERSION"): Blocker()}, timeout=0.5)
    with pytest.raises(ValidationError) as caught:
        await fake.cni.validate_network_list(network("a", "b"))
    [error] = caught.value.errors
    assert isinstance(error, PluginTimeoutError)
    assert (error.plugin, error.command) == ("a", "VERSION")


async def test_get_version_info() -> None:
    fake = runtime({("a", "VERSION"): OLD}, missing=["b"])
    assert await fake.cni.get_version_info("a") == PluginInfo(("0.3.1", "0.4.0"), "0.4.0")
    with pytest.raises(PluginNotFoundError, match=r'^failed to find plugin "b"'):
        await fake.cni.get_version_info("b")
    [call] = fake.exec.calls
    assert {key: value for key, value in call.environ.items() if key.startswith("CNI_")} == {
        "CNI_COMMAND": "VERSION",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "dummy",
        "CNI_IFNAME": "dummy",
        "CNI_ARGS": "",
        "CNI_PATH": "dummy",
    }

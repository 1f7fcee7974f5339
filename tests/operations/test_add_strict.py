"""With `strict`, ADD refuses an attachment that the cache knows in another form."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from cni_async import (
    AlreadyAttachedError,
    NetworkConfigList,
    RuntimeConf,
    conf_list_from_bytes,
)
from tests.support.chains import RT, Runtime, network, runtime, single

pytestmark = pytest.mark.anyio

NET = network("a", "b")
OTHER = network("a", "b", version="1.0.0")
ELSEWHERE = msgspec.structs.replace(RT, netns="/run/netns/elsewhere")
ROLLBACK = pytest.mark.parametrize("rollback", [False, True])


async def attached(**options: Any) -> Runtime:
    """Return a strict runtime whose cache knows `RT` on `NET`, without the calls so far."""
    fake = runtime(strict=True, **options)
    await fake.added(NET)
    return fake


async def refused(fake: Runtime, net: NetworkConfigList, rt: RuntimeConf) -> AlreadyAttachedError:
    records = dict(fake.cache.records)
    with pytest.raises(AlreadyAttachedError) as caught:
        await fake.cni.add_network_list(net, rt)
    assert not fake.exec.calls
    assert fake.cache.records == records
    return caught.value


@ROLLBACK
async def test_another_configuration(rollback: bool) -> None:
    error = await refused(await attached(rollback=rollback), OTHER, RT)
    assert str(error) == (
        "container c1 is already attached to network net as eth0, with another configuration: "
        "DEL it first"
    )
    assert (error.config, error.netns) == (NET.raw, RT.netns)
    assert error.rollback_error is None


@ROLLBACK
async def test_another_namespace(rollback: bool) -> None:
    error = await refused(await attached(rollback=rollback), NET, ELSEWHERE)
    assert str(error) == (
        "container c1 is already attached to network net as eth0, "
        f'in the network namespace "{RT.netns}": DEL it first'
    )
    assert (error.config, error.netns) == (NET.raw, RT.netns)


async def test_an_attachment_block() -> None:
    """The block does not run, and the attachment of before is not deleted."""
    fake = await attached()
    with pytest.raises(AlreadyAttachedError):
        async with fake.cni.attachment(OTHER, RT):
            pytest.fail("the block runs")
    assert not fake.exec.calls
    assert len(fake.cache.records) == 1


@ROLLBACK
@pytest.mark.parametrize(
    "net",
    [
        pytest.param(NET, id="same"),
        pytest.param(
            conf_list_from_bytes(json.dumps(json.loads(NET.raw), indent=4).encode()), id="laid-out"
        ),
    ],
)
async def test_the_same_once_more(net: NetworkConfigList, rollback: bool) -> None:
    """Libcni allows it; a configuration with other white space is the same one."""
    fake = await attached(rollback=rollback)
    await fake.cni.add_network_list(net, RT)
    assert fake.order == ["a ADD", "b ADD"]


async def test_other_attachments_do_not_matter() -> None:
    fake = await attached()
    await fake.cni.add_network_list(OTHER, msgspec.structs.replace(RT, ifname="eth1"))
    await fake.cni.add_network_list(network("a", name="net2"), ELSEWHERE)
    assert fake.order == ["a ADD", "b ADD", "a ADD"]


async def test_after_a_del() -> None:
    fake = await attached()
    await fake.cni.del_network_list(NET, RT)
    await fake.cni.add_network_list(OTHER, ELSEWHERE)
    assert fake.order == ["b DEL", "a DEL", "a ADD", "b ADD"]


async def test_a_single_plugin_after_a_list() -> None:
    fake = await attached()
    with pytest.raises(AlreadyAttachedError):
        await fake.cni.add_network(single("a"), RT)
    assert not fake.exec.calls


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"result": None, "netns": "/run/netns/x"}, id="unfinished"),
        pytest.param({"netns": None}, id="no-namespace"),
        pytest.param({"kind": "other"}, id="another-kind"),
    ],
)
async def test_records_that_do_not_say_how_it_is_attached(keys: dict[str, Any]) -> None:
    fake = await attached()
    [(key, data)] = fake.cache.records.items()
    record = {**json.loads(data), **keys}
    named = {name: value for name, value in record.items() if value is not None}
    fake.cache.records[key] = json.dumps(named).encode()
    await fake.cni.add_network_list(NET, RT)
    assert fake.order == ["a ADD", "b ADD"]


async def test_a_record_that_cannot_be_read() -> None:
    fake = await attached()
    [key] = fake.cache.records
    fake.cache.records[key] = b'{"kind": "cni'
    await fake.cni.add_network_list(OTHER, ELSEWHERE)
    assert fake.order == ["a ADD", "b ADD"]


async def test_a_configuration_that_is_not_json() -> None:
    fake = await attached()
    [(key, data)] = fake.cache.records.items()
    fake.cache.records[key] = json.dumps({**json.loads(data), "config": "e30K/w=="}).encode()
    await refused(fake, NET, RT)


async def test_libcnis_way_is_the_default() -> None:
    fake = runtime()
    await fake.added(NET)
    await fake.cni.add_network_list(OTHER, ELSEWHERE)
    assert fake.order == ["a ADD", "b ADD"]


async def test_true_is_not_one() -> None:
    """In Python they are equal; to a plugin they are not."""
    fake = runtime(strict=True)
    await fake.added(network({"type": "a", "isGateway": True}))
    await refused(fake, network({"type": "a", "isGateway": 1}), RT)


async def test_the_same_namespace_at_another_spelling_of_its_path() -> None:
    fake = await attached()
    await fake.cni.add_network_list(NET, msgspec.structs.replace(RT, netns=f"{RT.netns}/."))
    assert fake.order == ["a ADD", "b ADD"]


async def test_a_network_without_plugins() -> None:
    """Its ADD calls no plugin, but it replaces a record."""
    fake = await attached()
    await refused(fake, NetworkConfigList("net", "1.1.0", plugins=(), raw=b"{}"), RT)


async def test_a_record_of_before_libcni_0_8() -> None:
    """It is a bare result, so the configuration of its ADD is unknown."""
    fake = await attached()
    fake.cache.records = dict.fromkeys(fake.cache.records, b'{"cniVersion": "0.4.0"}')
    await fake.cni.add_network_list(NET, RT)
    assert fake.order == ["a ADD", "b ADD"]

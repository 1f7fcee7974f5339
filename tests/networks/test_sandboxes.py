"""Sandboxes on several networks: order, names, undoing, teardown, hot plug, status and GC."""

from __future__ import annotations

import warnings
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import Any

import anyio
import pytest

from cni_async import (
    AggregateError,
    CNIConfig,
    CNIError,
    InvalidIdentifierError,
    NoConfigsFoundError,
    NotFoundError,
    PluginError,
    ValidationError,
)
from cni_async.networks import (
    DuplicateInterfaceError,
    Networks,
    NetworkSelection,
    Pod,
    Sandbox,
    SandboxExistsError,
    UnusedCapabilityError,
    UnusedCapabilityWarning,
)
from cni_async.testing import FakeExec
from tests.networks.conftest import BLUE, Node, box
from tests.support.chains import Blocker, address, failure, network
from tests.support.steps import cancelled_after

pytestmark = pytest.mark.anyio

TWO = ["a1 ADD eth0", "a2 ADD eth0", "b1 ADD eth1", "b2 ADD eth1"]
UNDO_TWO = ["b2 DEL eth1", "b1 DEL eth1", "a2 DEL eth0", "a1 DEL eth0"]


async def test_setup_and_teardown() -> None:
    node = Node({("a2", "ADD"): address(1), ("b2", "ADD"): address(2)})
    done = await node.nets.setup(box("a", "b"))
    assert node.order == TWO
    assert list(done.results) == [("a", "eth0"), ("b", "eth1")]
    assert [(one.network, one.name) for one in done.interfaces] == [("a", "eth0"), ("b", "eth1")]
    assert done["eth1"].addresses[0].interface == ip_interface("10.0.0.2/24")
    assert done.ip() == ip_address("10.0.0.1")
    with pytest.raises(KeyError):
        done["eth2"]
    node.forget()
    await node.nets.teardown("c1")
    assert node.order == UNDO_TWO
    assert not node.runtime.cache.records
    node.forget()
    await node.nets.teardown("c1")
    assert node.order == []


async def test_the_default_networks() -> None:
    node = Node()
    await node.nets.setup(box())
    assert node.order == ["a1 ADD eth0", "a2 ADD eth0"]
    assert node.nets.default.name == "a"
    node = Node(default="c")
    assert node.nets.default.name == "c"
    await node.nets.setup(box())
    assert node.order == ["c1 ADD eth0"]
    node = Node(default_count=0)
    await node.nets.setup(box())
    assert [each.split()[-1] for each in node.order] == ["eth0", "eth0", "eth1", "eth1", "eth2"]
    node = Node(default_count=2, default="c", prefix="net")
    await node.nets.setup(box())
    assert node.order == ["c1 ADD net0", "a1 ADD net1", "a2 ADD net1"]


async def test_explicit_names_are_claimed_first() -> None:
    node = Node()
    await node.nets.setup(box("a", NetworkSelection("b", ifname="eth0"), "c"))
    assert [each for each in node.order if each[1] == "1"] == [
        "a1 ADD eth1",
        "b1 ADD eth0",
        "c1 ADD eth2",
    ]


@pytest.mark.parametrize("name", ["eth0", "lo"])
async def test_a_duplicate_name(name: str) -> None:
    node = Node()
    again = NetworkSelection("b", ifname=name)
    with pytest.raises(DuplicateInterfaceError, match=f"has two interfaces {name}") as caught:
        await node.nets.setup(box(NetworkSelection("a", ifname="eth0"), again))
    assert caught.value.container_id == "c1"
    assert node.order == []


@pytest.mark.parametrize("ifname", ["", "a/b", "x" * 16, "a b", "."])
async def test_a_name_that_the_kernel_refuses(ifname: str) -> None:
    node = Node()
    with pytest.raises(InvalidIdentifierError):
        await node.nets.setup(box(NetworkSelection("a", ifname=ifname)))
    assert node.order == []


async def test_an_id_that_cannot_be_used() -> None:
    node = Node()
    with pytest.raises(InvalidIdentifierError, match="containerID"):
        await node.nets.setup(box("a", container_id="a/b"))
    assert node.order == []


async def test_an_unknown_network() -> None:
    node = Node()
    with pytest.raises(NotFoundError, match='no net configuration with name "bb"') as caught:
        await node.nets.setup(box("a", "bb"))
    assert caught.value.__notes__ == ["did you mean network 'b'?"]
    assert node.order == []


async def test_no_networks_at_all() -> None:
    nets = Networks.of([], cni=CNIConfig(["/bin"], exec=FakeExec()))
    with pytest.raises(NoConfigsFoundError):
        await nets.setup(box())
    with pytest.raises(NoConfigsFoundError):
        await nets.ready()


async def test_a_second_sandbox_with_this_id() -> None:
    node = Node()
    await node.nets.setup(box("a"))
    node.forget()
    with pytest.raises(SandboxExistsError) as caught:
        await node.nets.setup(box("b"))
    assert str(caught.value) == ("sandbox c1 is attached already (eth0 on a): tear it down first")
    assert node.order == []
    await node.nets.setup(box("b", container_id="c2"))


@pytest.mark.parametrize("plugin", ["a1", "a2", "b1", "b2", "c1"])
@pytest.mark.parametrize("undo_fails", [False, True])
async def test_a_failure_anywhere_leaves_nothing(plugin: str, *, undo_fails: bool) -> None:
    answers: dict[tuple[str, str], Any] = {(plugin, "ADD"): failure("no")}
    if undo_fails:
        answers |= {(each, "DEL"): failure("stuck") for each in ("a1", "b1")}
    node = Node(answers)
    with pytest.raises(PluginError, match="no") as caught:
        await node.nets.setup(box("a", "b", "c"))
    added = [each.split()[0] for each in node.order if " ADD " in each]
    deleted = [each.split()[0] for each in node.order if " DEL " in each]
    assert added[-1] == plugin
    if not undo_fails:
        assert deleted == added[::-1]
        assert not node.runtime.cache.records
        assert caught.value.rollback_error is None
        return
    notes = "\n".join(getattr(caught.value, "__notes__", []))
    for stuck in {"a1", "b1"} & set(added):
        assert f'plugin type="{stuck}" failed (delete): stuck' in notes
    # An attachment that could not be undone stays known, and teardown can be called again.
    left = {key.network for key in node.runtime.cache.records}
    assert left == {each[0] for each in {"a1", "b1"} & set(added)}


async def test_cancelled_after_any_step() -> None:
    """At every await point: all of it is there, or nothing."""
    for step in range(1, 200):
        node = Node()
        outcome = await cancelled_after(step, partial(node.nets.setup, box("a", "b", "c")))
        assert outcome.error is None
        attached = {key.network for key in node.runtime.cache.records}
        if outcome.cancelled:
            assert attached == set()
            added = [each for each in node.order if " ADD " in each]
            deleted = [each for each in node.order if " DEL " in each]
            # A plugin whose ADD was about to be called may get a DEL, too.
            wanted = [each.replace("ADD", "DEL") for each in added[::-1]]
            assert [each for each in deleted if each in wanted] == wanted
        else:
            assert attached == {"a", "b", "c"}
        if not outcome.reached:
            return
    pytest.fail("it takes more steps")


async def test_cancelled_in_a_block_after_any_step() -> None:
    async def block() -> None:
        async with node.nets.sandbox(box("a", "b")):
            await anyio.sleep(0)

    for step in range(1, 200):
        node = Node()
        outcome = await cancelled_after(step, block)
        assert outcome.error is None
        assert not node.runtime.cache.records
        if not outcome.reached:
            return
    pytest.fail("it takes more steps")


async def test_a_block() -> None:
    node = Node()
    async with node.nets.sandbox(box("a", "b")) as done:
        assert list(done.results) == [("a", "eth0"), ("b", "eth1")]
        node.forget()
    assert node.order == UNDO_TWO
    with pytest.raises(LookupError):
        async with node.nets.sandbox(box("a")):
            raise LookupError
    assert not node.runtime.cache.records


async def test_teardown_goes_on_after_errors() -> None:
    node = Node({("b2", "DEL"): failure("stuck"), ("c1", "DEL"): failure("stuck, too")})
    await node.nets.setup(box("a", "b", "c"))
    node.forget()
    with pytest.raises(AggregateError) as caught:
        await node.nets.teardown("c1")
    assert list(map(str, caught.value.errors)) == [
        'eth2 on c: plugin type="c1" failed (delete): stuck, too',
        'eth1 on b: plugin type="b2" failed (delete): stuck',
    ]
    assert node.order == ["c1 DEL eth2", "b2 DEL eth1", "a2 DEL eth0", "a1 DEL eth0"]
    assert {key.network for key in node.runtime.cache.records} == {"b", "c"}


async def test_teardown_of_a_sandbox_deletes_what_no_record_has() -> None:
    node = Node()
    await node.nets.setup(box("a"))
    node.forget()
    await node.nets.teardown(box("a", "b"))
    assert node.order == [*["a2 DEL eth0", "a1 DEL eth0"], *["b2 DEL eth1", "b1 DEL eth1"]]


async def test_teardown_uses_the_configuration_of_the_setup() -> None:
    node = Node()
    await node.nets.setup(box("a"))
    node.forget()
    later = Networks.of([network("other", name="a")], cni=node.runtime.cni)
    await later.teardown("c1")
    assert node.order == ["a2 DEL eth0", "a1 DEL eth0"]


async def test_teardown_of_a_record_without_a_configuration() -> None:
    node = Node()
    await node.nets.setup(box("a"))
    [(key, data)] = node.runtime.cache.records.items()
    node.runtime.cache.records[key] = data.replace(b'"config":"', b'"config":null,"x":"')
    node.forget()
    await node.nets.teardown("c1")
    assert node.order == ["a2 DEL eth0", "a1 DEL eth0"]


async def test_hot_plug() -> None:
    node = Node()
    sandbox = box("a")
    await node.nets.setup(sandbox)
    done = await node.nets.attach(sandbox, NetworkSelection("b"))
    assert list(done.results) == [("b", "eth1")]
    with pytest.raises(DuplicateInterfaceError):
        await node.nets.attach(sandbox, NetworkSelection("c", ifname="eth0"))
    await node.nets.attach(sandbox, NetworkSelection("c", ifname="net1"))
    node.forget()
    await node.nets.detach("c1", ifname="eth1")
    await node.nets.detach("c1", ifname="eth1")
    assert node.order == ["b2 DEL eth1", "b1 DEL eth1"]
    node.forget()
    await node.nets.teardown("c1")
    assert node.order == ["c1 DEL net1", "a2 DEL eth0", "a1 DEL eth0"]


async def test_operations_on_one_sandbox_wait_for_each_other() -> None:
    blocker = Blocker()
    node = Node({("b1", "ADD"): blocker})
    async with anyio.create_task_group() as group:
        group.start_soon(node.nets.setup, box("a", "b"))
        await blocker.started.wait()
        group.start_soon(node.nets.teardown, "c1")
        await anyio.wait_all_tasks_blocked()
        assert node.order[-1] == "b1 ADD eth1"
        await node.nets.setup(box("a", container_id="c2"))  # another sandbox does not wait
        group.cancel_scope.cancel()
    assert {key.container_id for key in node.runtime.cache.records} == {"c2"}


async def test_loopback_by_a_plugin() -> None:
    node = Node(loopback="plugin")
    done = await node.nets.setup(box("a"))
    assert node.order == ["loopback ADD lo", "a1 ADD eth0", "a2 ADD eth0"]
    assert list(done.results) == [("a", "eth0")]
    node.forget()
    await node.nets.teardown("c1")
    assert node.order == ["a2 DEL eth0", "a1 DEL eth0", "loopback DEL lo"]


# -- args and capabilities


def environ(node: Node, plugin: str = "a1") -> dict[str, str]:
    """Return the environment of a plugin's ADD."""
    [call] = [one for one in node.runtime.exec.calls if one.plugin == plugin]
    return dict(call.environ)


async def test_args() -> None:
    node = Node()
    selection = NetworkSelection("a", args={"B": "2", "A": "3"})
    await node.nets.setup(box(selection, "b", args=[("A", "1"), ("Z", "0")]))
    assert environ(node)["CNI_ARGS"] == "A=3;Z=0;B=2"
    assert environ(node, "b1")["CNI_ARGS"] == "A=1;Z=0"


async def test_a_pod() -> None:
    node = Node()
    await node.nets.setup(box("a", kubernetes=Pod("default", "web", "uid-1")))
    assert environ(node)["CNI_ARGS"] == (
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
        "K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=uid-1"
    )


async def test_the_annotations_of_a_pod() -> None:
    capability = "io.kubernetes.cri.pod-annotations"
    node = Node()
    net = network({"type": "p", "capabilities": {capability: True}}, "q", name="n")
    nets = Networks.of([net], cni=node.runtime.cni)
    await nets.setup(box("n", kubernetes=Pod("default", "web", annotations={"a": "b"})))
    p, q = node.runtime.exec.calls
    assert p.config["runtimeConfig"] == {capability: {"a": "b"}}
    assert "runtimeConfig" not in q.config


async def test_addresses_that_a_selection_asks_for() -> None:
    node = Node()
    asked: dict[str, Any] = {"ips": ["10.0.0.5", "10.0.0.6"], "mac": "02:00:00:00:00:05"}
    await node.nets.setup(box(NetworkSelection("a", **asked), NetworkSelection("b", **asked)))
    assert environ(node)["CNI_ARGS"] == "IgnoreUnknown=1;IP=10.0.0.5;MAC=02:00:00:00:00:05"
    assert environ(node, "b1")["CNI_ARGS"] == ""
    [b1] = [one for one in node.runtime.exec.calls if one.plugin == "b1"]
    assert b1.config["runtimeConfig"] == asked


PORTS = {"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]}


@pytest.mark.parametrize(
    "sandbox",
    [box("a", "b", capability_args=PORTS), box(NetworkSelection("a", capability_args=PORTS), "c")],
)
async def test_a_capability_that_reaches_no_plugin(sandbox: Sandbox) -> None:
    node = Node()
    with pytest.warns(UnusedCapabilityWarning, match="no plugin declares the capability portMap"):
        await node.nets.setup(sandbox)
    node = Node(unused_capabilities="error")
    with pytest.raises(UnusedCapabilityError, match="portMappings"):
        await node.nets.setup(sandbox)
    assert node.order == []
    node = Node(unused_capabilities="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await node.nets.setup(sandbox)
        await node.nets.teardown(sandbox)


async def test_a_capability_that_reaches_a_plugin() -> None:
    node = Node(unused_capabilities="error")
    await node.nets.setup(box("a", "c", capability_args=PORTS))
    [c1] = [one for one in node.runtime.exec.calls if one.plugin == "c1"]
    assert c1.config["runtimeConfig"] == PORTS


# -- status, check, ready, gc


async def test_status_and_check() -> None:
    node = Node({("a2", "ADD"): address(1), ("b1", "CHECK"): failure("gone")})
    sandbox = box("a", "b")
    await node.nets.setup(sandbox)
    a, b = await node.nets.status("c1")
    assert (a.network, a.ifname, a.error) == ("a", "eth0", None)
    assert a.result is not None
    assert a.result.view().ips[0].address == ip_interface("10.0.0.1/24")
    assert str(b.error) == "eth1 on b: gone"
    with pytest.raises(AggregateError) as caught:
        await node.nets.check(sandbox)
    assert str(caught.value) == str(b.error)
    with pytest.raises(AggregateError, match="no record of c1 eth2 on c"):
        await node.nets.check(box("a", NetworkSelection("b", ifname="eth1"), "c"))


async def test_check_of_an_old_version() -> None:
    node = Node()
    nets = Networks.of([network("a", name="old", version="0.3.1")], cni=node.runtime.cni)
    await nets.setup(box("old"))
    await nets.check(box("old"))
    with pytest.raises(AggregateError):
        await nets.check(box("old", container_id="c2"))


async def test_ready() -> None:
    node = Node()
    await node.nets.ready()
    assert sorted(node.order[:2]) == ["a1 VERSION dummy", "a2 VERSION dummy"]
    assert node.order[2:] == ["a1 STATUS", "a2 STATUS"]
    node = Node({("b1", "STATUS"): PluginError("wait", code=50)})
    with pytest.raises(PluginError) as caught:
        await node.nets.ready("b")
    assert caught.value.code == 50
    with pytest.raises(NotFoundError):
        await node.nets.ready("x")
    node = Node(missing=["a2"])
    with pytest.raises(ValidationError):
        await node.nets.ready()


async def test_gc() -> None:
    node = Node()
    for container in ("c1", "c2"):
        await node.nets.setup(box("a", "b", container_id=container))
    gone = Networks.of([network("g", name="gone")], cni=node.runtime.cni)
    await gone.setup(box("gone", container_id="c3"))
    node.forget()
    stale = await node.nets.gc(["c1"], dry_run=True)
    assert node.order == []
    assert [(one.container_id, one.network) for one in stale] == [
        ("c2", "a"),
        ("c2", "b"),
        ("c3", "gone"),
    ]
    assert await node.nets.gc([box("a", container_id="c1")]) == stale
    assert {key.container_id for key in node.runtime.cache.records} == {"c1"}
    assert [each for each in node.order if " GC" in each] == [
        *("a1 GC", "a2 GC", "b1 GC", "b2 GC", "g GC", "c1 GC")
    ]
    with pytest.raises(TypeError, match="living must be a collection"):
        await node.nets.gc("c1")


async def test_gc_goes_on_after_errors() -> None:
    node = Node({("a1", "GC"): failure("no")})
    with pytest.raises(AggregateError, match="failed to collect network a"):
        await node.nets.gc([])
    assert node.order == ["a1 GC", "a2 GC", "b1 GC", "b2 GC", "c1 GC"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"default_count": -1}, ValueError),
        ({"unused_capabilities": "no"}, ValueError),
        ({"loopback": "yes"}, ValueError),
        ({"default": 1}, TypeError),
        ({"folders": 1}, TypeError),
        ({"cni": "x"}, TypeError),
    ],
)
def test_arguments(wrong: dict[str, Any], error: type[Exception]) -> None:
    options: dict[str, Any] = {"cni": CNIConfig(["/bin"], exec=FakeExec()), **wrong}
    with pytest.raises(error):
        Networks(**options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NetworkSelection(1),  # type: ignore[arg-type]
        lambda: NetworkSelection("a", ips="10.0.0.1"),
        lambda: NetworkSelection("a", args="A=1"),  # type: ignore[arg-type]
        lambda: NetworkSelection("a", capability_args=[]),  # type: ignore[arg-type]
        lambda: Sandbox("c1", 5),  # type: ignore[arg-type]
        lambda: Sandbox("c1", BLUE, ["a"]),  # type: ignore[list-item]
        lambda: Sandbox("c1", BLUE, kubernetes="pod"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_data(make: Any) -> None:
    with pytest.raises(TypeError):
        make()
    assert issubclass(DuplicateInterfaceError, CNIError)

"""Order among tasks: one at a time for a container, GC alone on its network; fair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from cni_async.operations.order import Locks
from tests.support.crowd import Crowd, Hold, attachment, collection, container, nobody_left

pytestmark = pytest.mark.anyio

asyncio_only = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
)


@pytest.fixture(params=["here", "file"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Locks:
    """Provide the order within this event loop and that of a file, which must behave the same."""
    return Locks(tmp_path / "lock" if request.param == "file" else None)


@pytest.fixture(autouse=True)
async def nothing_left(anyio_backend: object) -> AsyncIterator[None]:
    async with nobody_left():
        yield


async def is_free(locks: Locks, hold: Hold) -> None:
    with anyio.fail_after(10):
        async with hold(locks):
            pass


# -- operations that may be inside together


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        pytest.param(attachment(), attachment(), False, id="same-container"),
        pytest.param(attachment(), attachment("m"), False, id="same-container-other-network"),
        pytest.param(attachment(), attachment("n", "d"), True, id="other-container"),
        pytest.param(attachment(), container(), False, id="check"),
        pytest.param(container(), container(), False, id="two-checks"),
        pytest.param(container(), container("d"), True, id="checks-of-two"),
        pytest.param(attachment(), collection(), False, id="gc"),
        pytest.param(collection(), attachment(), False, id="add-while-gc"),
        pytest.param(collection(), collection(), False, id="two-gcs"),
        pytest.param(collection(), collection("m"), True, id="gcs-of-two"),
        pytest.param(collection(), attachment("m"), True, id="other-network"),
        pytest.param(collection(), container(), True, id="check-while-gc"),
        pytest.param(collection("c"), container("c"), True, id="same-name-other-kind"),
    ],
)
async def test_who_may_be_in_together(
    locks: Locks, first: Hold, second: Hold, together: bool
) -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        await crowd.arrive("first", first)
        await crowd.has_inside("first")
        await crowd.arrive("second", second)
        await crowd.has_inside("first", *["second"] * together)
        crowd.tell("first")
        await crowd.has_inside("second")
        crowd.tell("second")


async def test_caches_do_not_exclude_each_other() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks())
        await crowd.arrive("one", attachment(scope="one"))
        await crowd.arrive("two", attachment(scope="two"))
        await crowd.arrive("three", collection(scope="three"))
        await crowd.has_inside("one", "two", "three")
        await crowd.end()


async def test_a_file_has_no_scopes(tmp_path: Path) -> None:
    """Callers that name the same file want one order, whatever the cache is called."""
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks(tmp_path / "lock"))
        await crowd.arrive("one", attachment(scope="one"))
        await crowd.has_inside("one")
        await crowd.arrive("two", attachment(scope="two"))
        await crowd.has_inside("one")
        await crowd.end("two")
        assert crowd.came == ["one", "two"]


async def test_whatever_fails_inside_lets_the_next_in(locks: Locks) -> None:
    with pytest.raises(LookupError):
        async with attachment()(locks):
            raise LookupError
    await is_free(locks, attachment())
    await is_free(locks, collection())


# -- first come, first served


async def test_in_the_order_of_coming() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks())
        names = [str(number) for number in range(10)]
        for name in names:
            await crowd.arrive(name, attachment())
        for name in names:
            await crowd.has_inside(name)
            crowd.tell(name)
        assert crowd.came == names


async def test_a_collection_is_not_overtaken() -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks())
        await crowd.arrive("add 1", attachment("n", "c1"))
        await crowd.arrive("add 2", attachment("n", "c2"))
        await crowd.arrive("gc", collection())
        await crowd.arrive("add 3", attachment("n", "c3"))
        await crowd.arrive("add 4", attachment("n", "c4"))
        await crowd.arrive("gc 2", collection())
        await crowd.arrive("add 5", attachment("n", "c5"))
        await crowd.has_inside("add 1", "add 2")
        crowd.tell("add 1")
        await crowd.has_inside("add 2")
        crowd.tell("add 2")
        await crowd.has_inside("gc")
        crowd.tell("gc")
        await crowd.has_inside("add 3", "add 4")
        crowd.tell("add 3", "add 4")
        await crowd.has_inside("gc 2")
        crowd.tell("gc 2")
        await crowd.has_inside("add 5")
        crowd.tell("add 5")


# -- cancelled while waiting


async def test_who_is_cancelled_was_never_there(locks: Locks) -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        await crowd.arrive("first", attachment())
        await crowd.has_inside("first")
        await crowd.arrive("second", attachment())
        await crowd.arrive("third", attachment())
        crowd.cancel("second")
        await crowd.has_inside("first")
        crowd.tell("first")
        await crowd.has_inside("third")
        crowd.tell("third")
        assert crowd.came == ["first", "third"]


async def test_who_waited_behind_a_collection_that_is_cancelled() -> None:
    """They may share with the operations inside, and need not wait for them."""
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks())
        await crowd.arrive("add 1", attachment("n", "c1"))
        await crowd.arrive("gc", collection())
        await crowd.arrive("add 2", attachment("n", "c2"))
        await crowd.arrive("add 3", attachment("n", "c3"))
        await crowd.has_inside("add 1")
        crowd.cancel("gc")
        await crowd.has_inside("add 1", "add 2", "add 3")
        await crowd.end()


async def test_cancelled_in_the_middle_of_two(locks: Locks) -> None:
    """An attachment already holds its network while it waits for its container."""
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        await crowd.arrive("check", container())
        await crowd.has_inside("check")
        await crowd.arrive("add", attachment())
        await crowd.arrive("gc", collection())
        await crowd.has_inside("check")
        crowd.cancel("add")
        await crowd.has_inside("check", "gc")
        await crowd.end()


@pytest.mark.parametrize("turn_first", [True, False])
async def test_cancelled_at_the_moment_of_its_turn(turn_first: bool) -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, Locks())
        for name in ("first", "second", "third"):
            await crowd.arrive(name, attachment())
        await crowd.has_inside("first")
        if turn_first:
            crowd.tell("first")
            crowd.cancel("second")
        else:
            crowd.cancel("second")
            crowd.tell("first")
        await crowd.has_inside("third")
        crowd.tell("third")


async def _stay(locks: Locks, hold: Hold) -> None:
    async with hold(locks):
        await anyio.sleep_forever()


@asyncio_only
@pytest.mark.parametrize("ticks", range(6))
async def test_task_cancel_around_the_moment_of_its_turn(ticks: int) -> None:
    locks = Locks()
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        await crowd.arrive("first", attachment())
        second = asyncio.ensure_future(_stay(locks, attachment()))
        await crowd.has_inside("first")
        crowd.tell("first")
        for _ in range(ticks):
            await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await crowd.has_inside()
        await is_free(locks, attachment())


@asyncio_only
async def test_task_cancel_when_its_turn_has_come_already() -> None:
    """The task had its turn but was not woken yet. It releases what it was granted."""
    locks = Locks()
    entered = asyncio.Event()

    async def first() -> None:
        async with attachment()(locks):
            entered.set()
            for _ in range(3):  # the second task begins to wait meanwhile
                await asyncio.sleep(0)
        second.cancel()

    one = asyncio.ensure_future(first())
    await entered.wait()
    second = asyncio.ensure_future(_stay(locks, attachment()))
    await one
    with pytest.raises(asyncio.CancelledError):
        await second
    await is_free(locks, attachment())


# -- is anything happening to a container?


async def test_busy(locks: Locks) -> None:
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        assert not locks.is_busy("s", "c")
        await crowd.arrive("first", attachment())
        await crowd.has_inside("first")
        assert locks.is_busy("s", "c")
        assert not locks.is_busy("s", "d")
        crowd.tell("first")
        await crowd.has_inside()
        assert not locks.is_busy("s", "c")
        await crowd.arrive("gc", collection())
        await crowd.has_inside("gc")
        assert not locks.is_busy("s", "c")
        crowd.tell("gc")


async def test_busy_while_one_waits_for_its_network(locks: Locks) -> None:
    """An operation that waits for a GC has not begun with its container."""
    async with anyio.create_task_group() as group:
        crowd = Crowd(group, locks)
        await crowd.arrive("gc", collection())
        await crowd.has_inside("gc")
        await crowd.arrive("add", attachment())
        await crowd.has_inside("gc")
        assert not locks.is_busy("s", "c")
        await crowd.end("add")


async def test_busy_in_another_scope(tmp_path: Path) -> None:
    async with container(scope="other")(Locks()):
        assert not Locks().is_busy("s", "c")
    locks = Locks(tmp_path / "lock")
    async with container(scope="other")(locks):
        assert locks.is_busy("s", "c")
        assert not locks.is_busy("s", "d")


# -- all at once


async def test_a_crowd_comes_to_its_end(locks: Locks) -> None:
    """Many of all kinds, some cancelled: never two of a container, and a GC is always alone."""
    inside: set[tuple[str, str]] = set()

    async def one(number: int) -> None:
        net, container_id = f"n{number % 3}", f"c{number % 5}"
        is_gc = number % 11 == 0
        hold = collection(net) if is_gc else attachment(net, container_id)
        with anyio.move_on_after(0.002 if number % 7 == 0 else 60):
            async with hold(locks):
                if is_gc:
                    assert not [each for each in inside if each[0] == net]
                else:
                    assert not [
                        each for each in inside if each[1] == container_id or each == (net, "")
                    ]
                me = (net, "" if is_gc else container_id)
                inside.add(me)
                try:
                    for _ in range(number % 4):
                        await anyio.lowlevel.checkpoint()
                finally:
                    inside.remove(me)

    with anyio.fail_after(50):
        async with anyio.create_task_group() as group:
            for number in range(60 if locks._file else 300):
                group.start_soon(one, number)

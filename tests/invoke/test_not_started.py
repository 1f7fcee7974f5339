"""An ADD whose first plugin is not started has done nothing: there is nothing to take back."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cni_async import ArgsError, CNIConfig, PluginError, RuntimeConf
from cni_async.invoke.failure import start_error
from cni_async.invoke.pipes import Pipes
from cni_async.invoke.process import UntrackedError
from tests.support.chains import network, runtime, single
from tests.support.recorder import Answer, Recorder

MOST = 32 * os.sysconf("SC_PAGE_SIZE")
anyio_test = pytest.mark.anyio


def at(netns: str = "/n", **more: Any) -> RuntimeConf:
    return RuntimeConf("c1", netns, "eth0", **more)


def _surrogate_error(text: str) -> str:
    with pytest.raises(UnicodeEncodeError) as caught:
        os.fsencode(text)
    return str(caught.value)


# -- values that no environment can carry are refused before anything is recorded


UNFIT = {
    "nul-in-netns": (at("/n\0x"), 'CNI_NETNS cannot carry "/n\\x00x": it contains a NUL'),
    "nul-in-args": (at(args=[("A", "b\0")]), 'CNI_ARGS cannot carry "A=b\\x00": it contains a NUL'),
    "nul-in-ifname": (
        RuntimeConf("c1", "/n", "e\0"),
        'CNI_IFNAME cannot carry "e\\x00": it contains a NUL',
    ),
    "half-a-character": (
        at("/\ud800"),
        'CNI_NETNS cannot carry "/\\ud800": ' + _surrogate_error("/\ud800"),
    ),
    "long-args": (
        at(args=[("A", "b" * MOST)]),
        f"CNI_ARGS cannot carry {MOST + 2} bytes: the system takes {MOST - 10}",
    ),
    "long-netns": (
        at("/" * MOST),
        f"CNI_NETNS cannot carry {MOST} bytes: the system takes {MOST - 11}",
    ),
}
unfit = pytest.mark.parametrize(("rt", "words"), UNFIT.values(), ids=UNFIT)


@anyio_test
@unfit
@pytest.mark.parametrize("rollback", [True, False])
async def test_refused_before_anything_is_recorded(
    rt: RuntimeConf, words: str, rollback: bool, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=rollback)
    with pytest.raises(ArgsError) as caught:
        await cni.add_network_list(network("a"), rt)
    assert str(caught.value) == f'plugin type="a" failed (add): {words}'
    with pytest.raises(ArgsError) as caught:
        await cni.add_network(single("a"), rt)
    assert str(caught.value) == words
    with pytest.raises(ArgsError):
        async with cni.attachment(network("a"), rt):
            raise AssertionError
    assert not recorder.calls()
    assert not (tmp_path / "cache").exists()


@anyio_test
@unfit
async def test_an_earlier_attempt_stays_as_it_is(rt: RuntimeConf, words: str) -> None:
    fake = runtime(rollback=True)
    await fake.added()
    before = dict(fake.cache.records)
    with pytest.raises(ArgsError):
        await fake.cni.add_network_list(network("a"), rt)
    assert fake.cache.records == before
    assert not fake.exec.calls


@anyio_test
async def test_the_longest_that_is_carried(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache")
    rt = at(args=[("A", "b" * (MOST - len("CNI_ARGS=A=\0")))])
    await cni.add_network_list(network("a"), rt)
    [call] = recorder.calls()
    assert len(f"CNI_ARGS={call.environ['CNI_ARGS']}\0") == MOST
    longer = at(args=[("A", rt.args[0][1] + "b")])
    with pytest.raises(ArgsError):
        await cni.add_network_list(network("a"), longer)


@anyio_test
async def test_bytes_count() -> None:
    fake = runtime()
    with pytest.raises(ArgsError, match=f"{MOST} bytes"):
        await fake.cni.add_network_list(network("a"), at("\u00e9" * (MOST // 2)))


@anyio_test
async def test_directories_of_plugins_too() -> None:
    fake = runtime()
    cni = CNIConfig(["/bin\0"], exec=fake.exec, cache=fake.cache)
    with pytest.raises(ArgsError, match="CNI_PATH cannot carry"):
        await cni.add_network_list(network("a"), at())
    assert not fake.cache.records


# -- a plugin that the system refuses to start has done nothing


def missing_interpreter(script: Path) -> None:
    script.write_bytes(b"#!/bin/sh\r\n")


def not_executable(script: Path) -> None:
    script.chmod(0o644)


def no_program(script: Path) -> None:
    script.write_text("echo\n")


def empty(script: Path) -> None:
    script.write_text("")


unstartable = pytest.mark.parametrize(
    "spoil", [missing_interpreter, not_executable, no_program, empty]
)


@anyio_test
@unstartable
async def test_the_first_plugin_is_not_started(
    spoil: Callable[[Path], None], recorder: Recorder, tmp_path: Path
) -> None:
    spoil(recorder.plugin("a"))
    recorder.plugin("b")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    with pytest.raises(PluginError) as caught:
        await cni.add_network_list(network("a", "b"), at())
    assert not caught.value.started
    assert caught.value.rollback_error is None
    assert not recorder.calls()
    assert await cni.recover() == []
    assert await cni.get_cached_attachments() == []


@anyio_test
@unstartable
async def test_a_later_plugin_is_not_started(
    spoil: Callable[[Path], None], recorder: Recorder, tmp_path: Path
) -> None:
    recorder.plugin("a")
    spoil(recorder.plugin("b"))
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    with pytest.raises(PluginError) as caught:
        await cni.add_network_list(network("a", "b", "c"), at())
    assert not caught.value.started
    assert caught.value.rollback_error is None
    assert recorder.order() == ["a ADD", "a DEL"]
    assert await cni.get_cached_attachments() == []


@contextmanager
def little_stack() -> Iterator[None]:
    """Lower the stack limit: the kernel accepts arguments and environment up to a quarter of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (512 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


@anyio_test
async def test_an_environment_that_is_too_long_altogether(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.plugin("a")
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    half = 100 * 1024
    with little_stack(), pytest.raises(PluginError, match="argument list too long") as caught:
        await cni.add_network_list(network("a"), at("/" * half, args=[("A", "b" * half)]))
    assert not caught.value.started
    assert not recorder.calls()
    assert await cni.get_cached_attachments() == []


@anyio_test
async def test_what_an_earlier_add_has_begun_is_still_to_be_taken_back(
    recorder: Recorder, tmp_path: Path
) -> None:
    """The first ADD's plugin may have done something, although the second ADD started none."""
    recorder.plugin("a", {"ADD": Answer(exit_code=1), "DEL": Answer(exit_code=1)})
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    with pytest.raises(PluginError):
        await cni.add_network_list(network("a"), at())
    [left] = await cni.recover()
    not_executable(recorder.folder / "a")
    with pytest.raises(PluginError):
        await cni.add_network_list(network("a"), at())
    assert await cni.recover() == [left]


@anyio_test
async def test_a_plugin_that_was_started_is_deleted(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plugin("a", {"ADD": Answer(exit_code=126)})
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    with pytest.raises(PluginError) as caught:
        await cni.add_network_list(network("a"), at())
    assert caught.value.started
    assert recorder.order() == ["a ADD", "a DEL"]


@anyio_test
async def test_losing_track_of_a_plugin_does_not_look_like_a_failed_start(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(self: Pipes) -> bool:
        await recorder.wait_for_calls(1)
        monkeypatch.undo()
        raise FileNotFoundError(errno.ENOENT, "no such file or directory")  # epoll's text

    recorder.plugin("a", {"ADD": Answer(sleep=60)})
    cni = CNIConfig(recorder.path, cache_dir=tmp_path / "cache", rollback=True)
    monkeypatch.setattr(Pipes, "wait", wait)
    with pytest.raises(PluginError) as caught:
        await cni.add_network_list(network("a"), at())
    assert caught.value.started
    assert recorder.order() == ["a ADD", "a DEL"]
    assert await cni.get_cached_attachments() == []


@pytest.mark.parametrize(
    ("number", "started"),
    [
        (errno.E2BIG, False),
        (errno.ENOENT, False),
        (errno.EACCES, False),
        (errno.ENOEXEC, False),
        (errno.ENOTDIR, False),
        (errno.ETXTBSY, False),
        # The event loop can fail like this, too, when it watches a process that already runs.
        (errno.EMFILE, True),
        (errno.EAGAIN, True),
        (errno.ENOMEM, True),
        (errno.EPERM, True),
    ],
)
def test_which_errors_say_that_nothing_runs(number: int, started: bool) -> None:
    assert start_error("/p", OSError(number, os.strerror(number))).started is started
    assert start_error("/p", UntrackedError(number, os.strerror(number))).started


def test_others_are_about_what_has_run() -> None:
    assert PluginError().started

"""Loading the networks of folders: what changed, what failed, and what stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cni_async import CNIConfig, ConfigError, NetworkConfigList, NotFoundError, ValidationError
from cni_async.networks import LoadReport, Networks
from cni_async.testing import FakeCache, FakeExec
from tests.networks.conftest import box

pytestmark = pytest.mark.anyio


def write(folder: Path, file: str, name: str, *plugins: str) -> Path:
    """Write the configuration of a network, or of a plugin if the file is not a list."""
    folder.mkdir(exist_ok=True)
    path = folder / file
    document: dict[str, object] = {"cniVersion": "1.1.0", "name": name}
    if file.endswith(".conflist"):
        document["plugins"] = [{"type": plugin} for plugin in plugins or ("p",)]
    else:
        [document["type"]] = plugins or ("p",)
    path.write_text(json.dumps(document))
    return path


def cni(missing: tuple[str, ...] = ()) -> CNIConfig:
    """Return a `CNIConfig` with fakes."""
    return CNIConfig(["/bin"], exec=FakeExec(missing=missing), cache=FakeCache())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a folder with the networks a, b and c, in files of all kinds."""
    write(tmp_path, "10-a.conflist", "a")
    write(tmp_path, "20-b.conf", "b")
    write(tmp_path, "30-c.json", "c")
    write(tmp_path, "40-no.txt", "no")
    return tmp_path


def types(net: NetworkConfigList) -> list[str]:
    """Return the types of a network's plugins."""
    return [plugin.network.type for plugin in net.plugins]


async def test_load(folder: Path) -> None:
    nets = Networks(cni(), folder)
    assert nets.networks == {}
    report = await nets.load()
    assert report == LoadReport(added=("a", "b", "c"))
    assert report
    assert list(nets.networks) == ["a", "b", "c"]
    assert nets.default is nets["a"]
    assert nets.source("b") == str(folder / "20-b.conf")
    assert nets.source("x") is None
    assert not await nets.load()


async def test_the_first_use_loads(folder: Path) -> None:
    nets = Networks(cni(), str(folder))
    await nets.setup(box("b"))
    # A network that was added later is found without a call of `load`.
    write(folder, "50-d.conflist", "d")
    await nets.setup(box("d", container_id="c2"))
    with pytest.raises(NotFoundError, match=f'no net configuration with name "e" in {folder}'):
        await nets.setup(box("e", container_id="c3"))


async def test_what_has_changed(folder: Path) -> None:
    nets = Networks(cni(), folder)
    await nets.load()
    write(folder, "10-a.conflist", "a", "other")
    (folder / "20-b.conf").unlink()
    write(folder, "05-d.conflist", "d")
    report = await nets.load()
    assert report == LoadReport(added=("d",), removed=("b",), changed=("a",))
    assert nets.default.name == "d"
    assert types(nets["a"]) == ["other"]


async def test_a_file_that_is_bad_now_changes_nothing(folder: Path) -> None:
    nets = Networks(cni(), folder)
    await nets.load()
    path = folder / "10-a.conflist"
    path.write_text('{"cniVersion": "1.1.0", "na')  # written in two halves
    report = await nets.load()
    assert not report
    [(failed, error)] = report.failed.items()
    assert failed == str(path)
    assert isinstance(error, ConfigError)
    assert types(nets["a"]) == ["p"]
    assert nets.default.name == "a"
    write(folder, "10-a.conflist", "a", "q")
    assert await nets.load() == LoadReport(changed=("a",))


async def test_a_file_that_was_always_bad(folder: Path) -> None:
    (folder / "15-x.conflist").write_text("[]")
    report = await Networks(cni(), folder).load()
    assert report.added == ("a", "b", "c")
    assert list(report.failed) == [str(folder / "15-x.conflist")]


async def test_networks_of_one_name(folder: Path, tmp_path: Path) -> None:
    write(folder, "15-again.conflist", "a", "second")
    other = tmp_path / "more"
    write(other, "01-a.conflist", "a", "third")
    write(other, "02-e.conflist", "e")
    nets = Networks(cni(), [folder, other])
    report = await nets.load()
    assert report.added == ("a", "b", "c", "e")
    assert report.shadowed == {
        str(folder / "15-again.conflist"): "a",
        str(other / "01-a.conflist"): "a",
    }
    assert types(nets["a"]) == ["p"]
    (folder / "10-a.conflist").unlink()
    assert (await nets.load()).changed == ("a",)
    assert types(nets["a"]) == ["second"]


async def test_drop_in_plugins(folder: Path) -> None:
    write(folder / "a", "50-extra.conf", "a", "extra")
    nets = Networks(cni(), folder)
    await nets.load()
    assert types(nets["a"]) == ["p", "extra"]


async def test_a_missing_folder_has_no_networks(folder: Path) -> None:
    nets = Networks(cni(), [folder / "missing", folder])
    assert (await nets.load()).added == ("a", "b", "c")
    for path in folder.glob("*.*"):
        path.unlink()
    assert (await nets.load()).removed == ("a", "b", "c")


async def test_a_folder_that_cannot_be_read_keeps_its_networks(
    folder: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "net.d"
    write(conf, "10-z.conflist", "z")
    nets = Networks(cni(), [conf, folder])
    await nets.load()
    (conf / "10-z.conflist").unlink()
    conf.rmdir()
    conf.write_text("a file")
    report = await nets.load()
    assert list(report.failed) == [str(conf)]
    assert not report
    assert nets.default.name == "z"


async def test_plugins_that_are_missing(folder: Path) -> None:
    write(folder, "05-m.conflist", "m", "missing")
    nets = Networks(cni(missing=("missing",)), folder)
    report = await nets.load()
    assert report.added == ("a", "b", "c")
    [error] = report.failed.values()
    assert isinstance(error, ValidationError)
    nets = Networks(cni(missing=("missing",)), folder, validate=False)
    assert (await nets.load()).added == ("m", "a", "b", "c")
    assert not (await nets.load()).failed

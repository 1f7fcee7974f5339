"""Questions about directories of configurations and of plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.interop.tree import ROOT
from tests.interop.wire import Question

from .configurations import lists, plugins
from .documents import Document, mostly, or_odd, seldom, string

Files = dict[str, bytes | str | None]

_NAMES: Final = ("n", "net", "m")
_names = st.sampled_from(_NAMES)
_asked = mostly(_names, st.sampled_from(["", "other", 'no"pe', "../evil", "é"]), one_in=8)

_singles: Document = st.builds(
    b'{"name":%s,"type":"%s","cniVersion":"1.0.0"}'.__mod__,
    st.tuples(_names.map(string), st.sampled_from([b"bridge", b"t"])),
)
_plain_lists: Document = st.builds(
    b'{"name":%s,"cniVersion":"1.0.0"%s}'.__mod__,
    st.tuples(
        _names.map(string),
        st.sampled_from(
            [
                b',"plugins":[{"type":"a"}]',
                b',"plugins":[{"type":"a"},{"type":"b"}]',
                b',"plugins":[{"type":"a"}],"loadOnlyInlinedPlugins":true',
                b',"loadOnlyInlinedPlugins":true',
                b',"plugins":[]',
                b"",
            ]
        ),
    ),
)
_odd: Document = st.one_of(or_odd(lists), or_odd(plugins), st.sampled_from([b"", b"{}", b"null"]))
_stems = st.sampled_from(["", "a", "b", "10-x", "Z", "é", ".h", "a.b"])
_extensions = st.sampled_from(
    [".conf", ".conflist", ".json", ".conflist", ".conf", ".CONF", ".conf~", ".conf.bak", ""]
)
_file_names = st.builds(str.__add__, _stems, _extensions).filter(lambda name: name not in {"", "."})


@st.composite
def _trees(draw: st.DrawFn) -> Files:
    def content(name: str) -> bytes:
        usual = _plain_lists if name.endswith(".conflist") else _singles
        return draw(mostly(usual, _odd, one_in=10))

    files: Files = {f"d/{name}": content(name) for name in draw(st.sets(_file_names, max_size=5))}
    if draw(seldom()):
        target = draw(st.sampled_from([f"{ROOT}/d", f"{ROOT}/missing", "missing.conf", "."]))
        files.setdefault(f"d/{draw(_file_names)}", target)
    for network in draw(st.lists(st.sampled_from([*_NAMES, "sub.conf"]), max_size=2)):
        for name in draw(st.sets(_file_names, max_size=3)):
            files[f"d/{network}/{name}"] = content(name)
    if draw(seldom(6)):
        files["evil/x.conf"] = draw(_singles)
    if not files or draw(seldom()):
        files["d/nothing"] = None
    return {name: content for name, content in files.items() if not _is_below(name, files)}


def _is_below(name: str, files: Files) -> bool:
    """Return whether one of the directories in a file's path is a file or a link."""
    parts = name.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return any(files.get(path) is not None for path in above)


@st.composite
def directories(draw: st.DrawFn) -> Question:
    """Ask to list or to load the configurations in a directory."""
    files = draw(_trees())
    odd = [f"{ROOT}/missing", f"{ROOT}/d/nothing/..", f"{ROOT}/d/", f"{ROOT}/d/nothing"]
    folder = draw(mostly(st.just(f"{ROOT}/d"), st.sampled_from(odd)))
    paths = [f"{ROOT}/{name}" for name in files]
    op = draw(
        st.sampled_from(
            ["conf_files", "load_conf", "load_conf_list", "load_conf_list", "load_network_conf"] * 2
            + [
                "conf_from_file",
                "conf_list_from_file",
                "network_conf_from_file",
                "network_plugin_confs_from_files",
            ]
        )
    )
    match op:
        case "conf_files":
            extensions = draw(st.lists(_extensions, max_size=3))
            return Question(op, {"text": folder, "strings": extensions}, files)
        case "conf_from_file" | "conf_list_from_file" | "network_conf_from_file":
            path = draw(st.sampled_from([*paths, folder, f"{folder}/missing.conf"]))
            return Question(op, {"text": path}, files)
        case _:
            return Question(op, {"text": folder, "other": draw(_asked)}, files)


@st.composite
def plugin_paths(draw: st.DrawFn) -> Question:
    """Ask to find a plugin."""
    name = st.sampled_from(["p", "q", "..", ".", "a b", "p\\q"])
    files: Files = {}
    for folder in draw(st.lists(st.sampled_from(["x", "y", "z z"]), max_size=3)):
        kind = draw(st.integers(0, 5))
        content = None if kind == 0 else f"{ROOT}/x/p" if kind == 1 else b"#!"
        plain = draw(name.filter(lambda each: each not in {".", ".."}))
        files[f"{folder}/{plain}"] = content
    asked = draw(st.one_of(name, st.sampled_from(["", "a/b", "/", "missing", "p\0", 'q"', "é"])))
    folders: Sequence[str] = draw(
        st.lists(
            st.sampled_from(["x", "y", "z z", "missing", "x/p", "x/../y", "x/"]).map(
                lambda folder: f"{ROOT}/{folder}"
            ),
            max_size=3,
        )
    )
    return Question("find_in_path", {"text": asked, "strings": list(folders)}, files)


def questions() -> SearchStrategy[Question]:
    """Ask about configurations or plugins."""
    return st.one_of(directories(), directories(), directories(), plugin_paths())

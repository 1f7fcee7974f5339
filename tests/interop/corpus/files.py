"""Questions about directories of configurations and of plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.interop.tree import ROOT
from tests.interop.wire import Question

_Files = Mapping[str, bytes | str | None]


def _single(name: str, type_: str = "t") -> bytes:
    return f'{{"cniVersion":"1.0.0","name":"{name}","type":"{type_}"}}'.encode()


def _list(name: str, more: str = ',"plugins":[{"type":"t"}]') -> bytes:
    return f'{{"cniVersion":"1.0.0","name":"{name}"{more}}}'.encode()


_MIXED: Final[_Files] = {
    "d/10-a.conf": _single("a"),
    "d/20-b.json": _single("b"),
    "d/30-a.conflist": _list("a"),
    "d/40-c.conflist": _list("c"),
    "d/.conf": _single("hidden"),
    "d/.h.conflist": _list("h"),
    "d/x.CONF": _single("upper"),
    "d/x.conf~": _single("backup"),
    "d/x.conf.bak": _single("backup"),
    "d/x": _single("bare"),
    "d/\u00e9.conf": _single("\u00e9"),
    "d/sub.conf/a.conf": _single("deep"),
    "d/sub/a.conf": _single("deeper"),
    "d/link.conf": f"{ROOT}/d/10-a.conf",
}
_WITH_BAD: Final[_Files] = {
    "d/10-a.conf": _single("a"),
    "d/20-bad.conf": b"{",
    "d/30-c.conf": _single("c"),
    "d/10-a.conflist": _list("la"),
    "d/20-bad.conflist": b"[]",
    "d/30-c.conflist": _list("lc"),
}
_LISTS_ONLY: Final[_Files] = {"d/a.conflist": _list("a")}
_LIST_AS_CONF: Final[_Files] = {"d/a.conf": _list("a"), "d/b.conf": _single("b")}
_DIRECTORY_LINK: Final[_Files] = {"d/a.conf": f"{ROOT}/d", "d/b.conflist": "missing"}
_EMPTY: Final[_Files] = {"d": None}
_DROP_INS: Final[_Files] = {
    "d/a.conflist": _list("a"),
    "d/a/10.conf": _single("x", "first"),
    "d/a/20.conf": b'{"type":"second","mtu":1500.0}',
    "d/a/30.json": _single("x", "ignored"),
    "d/a/sub/40.conf": _single("x", "ignored"),
    "d/b.conflist": _list("b", ""),
    "d/b/10.conf": _single("x", "only"),
    "d/c.conflist": _list("c", ',"plugins":[{"type":"t"}],"loadOnlyInlinedPlugins":true'),
    "d/c/10.conf": _single("x", "ignored"),
}
_BAD_DROP_IN: Final[_Files] = {"d/a.conflist": _list("a"), "d/a/10.conf": b"{}"}
_NO_PLUGINS: Final[_Files] = {"d/a.conflist": _list("a", "")}
_OUTSIDE: Final[_Files] = {
    "d/a.conflist": _list("../evil"),
    "evil/10.conf": _single("x", "evil"),
    "d/10.conf": _single("x", "self"),
}
_PLUGINS: Final[_Files] = {
    "x/p": b"#!",
    "y/p": b"#!",
    "y/q": b"#!",
    "x/q": None,
    "z z/r": f"{ROOT}/y/q",
    "z z/s": "missing",
}


def _load(op: str, files: _Files, name: str, folder: str = "d") -> Question:
    return Question(op, {"text": f"{ROOT}/{folder}", "other": name}, files)


def _read(op: str, files: _Files, path: str) -> Question:
    return Question(op, {"text": f"{ROOT}/{path}"}, files)


def _list_files(files: _Files, extensions: list[str], folder: str = "d") -> Question:
    return Question("conf_files", {"text": f"{ROOT}/{folder}", "strings": extensions}, files)


def _find(plugin: str, *folders: str) -> Question:
    paths = [f"{ROOT}/{folder}" for folder in folders]
    return Question("find_in_path", {"text": plugin, "strings": paths}, _PLUGINS)


FILES: Final[list[Question]] = [
    *(
        _list_files(_MIXED, extensions)
        for extensions in (
            [".conf"],
            [".conf", ".json"],
            [".json", ".conf"],
            [".conf", ".conf"],
            [""],
            [],
        )
    ),
    _list_files(_EMPTY, [".conf"]),
    _list_files(_EMPTY, [".conf"], "missing"),
    _list_files(_MIXED, [".conf"], "d/10-a.conf"),
    _list_files(_MIXED, [".conf"], "d/10-a.conf/x"),
    _list_files(_MIXED, [".conf"], "d/"),
    _list_files(_MIXED, [".conf"], "d/sub/.."),
    _load("load_conf", _DIRECTORY_LINK, "a", "d/../d"),
    *(
        _load("load_conf", _MIXED, name)
        for name in ("a", "b", "hidden", "upper", "deep", "\u00e9", "")
    ),
    *(_load("load_conf_list", _MIXED, name) for name in ("a", "b", "c", "h", "bare", 'no"pe')),
    *(_load("load_conf", _WITH_BAD, name) for name in ("a", "c")),
    *(_load("load_conf_list", _WITH_BAD, name) for name in ("la", "lc", "a")),
    *(
        _load(op, files, "z", folder)
        for op in ("load_conf", "load_conf_list", "load_network_conf")
        for files, folder in (
            (_LISTS_ONLY, "d"),
            (_EMPTY, "d"),
            (_EMPTY, "missing"),
            (_LIST_AS_CONF, "d"),
            (_DIRECTORY_LINK, "d"),
            (_MIXED, "d/10-a.conf"),
        )
    ),
    *(
        _read(op, _MIXED, path)
        for op in ("conf_from_file", "conf_list_from_file", "network_conf_from_file")
        for path in ("d/10-a.conf", "d/40-c.conflist", "missing", "d", "d/link.conf", "d/x.conf~/y")
    ),
    *(_load("load_network_conf", _DROP_INS, name) for name in ("a", "b", "c")),
    *(_read("network_conf_from_file", _DROP_INS, f"d/{name}.conflist") for name in "abc"),
    *(_load("network_plugin_confs_from_files", _DROP_INS, name) for name in ("a", "b", "missing")),
    _load("load_network_conf", _BAD_DROP_IN, "a"),
    _load("network_plugin_confs_from_files", _BAD_DROP_IN, "a"),
    _load("network_plugin_confs_from_files", _OUTSIDE, "../evil"),
    _load("load_network_conf", _NO_PLUGINS, "a"),
    _load("load_network_conf", _OUTSIDE, "../evil"),
    _load("load_network_conf", _MIXED, "b"),
    _find("p", "x", "y"),
    _find("p", "y", "x"),
    _find("q", "x", "y"),
    _find("r", "z z"),
    _find("s", "z z"),
    _find("p"),
    _find(""),
    _find("", "x"),
    _find("a/b", "x"),
    _find("missing", "x", "z z"),
    _find('q"', "x"),
    _find("..", "x"),
    _find("p", "x/../y"),
    _find("p", "x/p", "x"),
]

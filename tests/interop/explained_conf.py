"""The chosen differences in reading configurations; see `explained`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any, Final

from cni_async.conf import network_conf_from_bytes
from cni_async.errors import CNIError

from .canonical import canonical, document
from .case import SAME, Case, Pairs, Rewrite, Same, fold, pairs

_LISTS: Final = frozenset(
    {
        "conf_list_from_bytes",
        "conf_list_from_file",
        "load_conf_list",
        "network_conf_from_bytes",
        "network_conf_from_file",
        "load_network_conf",
    }
)
_VERSION: Final = re.compile(r"[+-]?\d+(?:\.[+-]?\d+){0,2}")


def _file_named(case: Case) -> Same | None:
    """Our error names the file at its end."""
    error = case.ours.error
    if error is None or "{root}" in case.go_text:
        return None
    named = re.fullmatch(r"(.*) \(in \{root\}/[^()]*\)", error.text, re.DOTALL)
    if named is None:
        return None
    return case.go_form, canonical(replace(case.ours, error=replace(error, text=named[1])))


def _dot_dot(case: Case) -> Same | None:
    """Go removes ``..`` from the paths of files without a look at the file system."""
    folder = case.question.fields.get("text")
    if not isinstance(folder, str) or "/.." not in folder:
        return None
    return _with_text(case.go_form, folder), _with_text(case.our_form, folder)


def _with_text(form: Any, folder: str) -> Any:
    match form:
        case str():
            return form.replace(folder, os.path.normpath(folder))
        case tuple() | list():
            return type(form)(_with_text(member, folder) for member in form)
        case dict():
            return {key: _with_text(member, folder) for key, member in form.items()}
        case _:
            return form


def without_precision(form: Any) -> Any:
    """Round integers as float64 does."""
    match form:
        case ("integer", int(value)):
            return _as_float64(value)
        case str():
            return re.sub(
                r"(?<=: )-?\d{16,}(?=[,\n}]|\Z)", lambda found: _digits(int(found[0])), form
            )
        case tuple() | list():
            return type(form)(without_precision(member) for member in form)
        case dict():
            return {key: without_precision(member) for key, member in form.items()}
        case _:
            return form


def _as_float64(value: int) -> Any:
    try:
        if abs(value) <= 2**53:
            return ("integer", value)
        if abs(value) >= 1e21:
            return ("float", float(value))
        return ("integer", int(_digits(value)))
    except OverflowError:
        return ("integer", value)


def _digits(value: int) -> str:
    """Return the float64 nearest to an integer as Go writes it: shortest digits, then zeros."""
    mantissa, _, exponent = f"{float(value)!r}".partition("e+")
    if not exponent:
        return mantissa.removesuffix(".0")
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.removesuffix("0" if fraction == "0" else "").ljust(int(exponent), "0")


def _big_integers(case: Case) -> Same | None:
    """Go rounds integers to the precision of float64, and we keep them."""
    rewritten = without_precision(case.go_form), without_precision(case.our_form)
    return rewritten if rewritten != (case.go_form, case.our_form) else None


def _huge_numbers(case: Case) -> Same | None:
    """We refuse a number beyond float64, even where Go reports another error or none."""
    refused = re.search(r"json: cannot unmarshal number -?[\d.eE+-]+ into Go value", case.our_text)
    return SAME if refused and case.has_huge_number() else None


def _number(version: Any) -> tuple[int, int, int] | None:
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return None
    parts = [int(part) for part in version.split(".")]
    major, minor, micro = parts + [0] * (3 - len(parts))
    return major, minor, micro


def _unsupported_versions(case: Case) -> Same | None:
    """We refuse a list with only unsupported versions; Go uses 0.1.0 or the unsupported one."""
    if ": no supported version among [" not in case.our_text:
        return None
    if case.go.error is not None:
        return SAME  # Go reports an error later in the document
    version = case.go.result["cniVersion"]
    return SAME if version == "" or (_number(version) or (0,)) > (1, 1, 0) else None


def _version_spelling(case: Case) -> Same | None:
    """Of versions that are numerically equal we choose the known spelling."""
    if case.go_form[0] != "result" or case.our_form[0] != "result" or case.op not in _LISTS:
        return None
    go, ours = case.go_form[1], case.our_form[1]
    number = _number(go["cniVersion"] or "0.1.0")
    if number is None or number != _number(ours["cniVersion"] or "0.1.0"):
        return None
    if ours["cniVersion"] != "{}.{}.{}".format(*number) and len(set(_offered(case))) < 2:
        return None
    return ("result", {**go, "cniVersion": number}), ("result", {**ours, "cniVersion": number})


def _offered(case: Case) -> list[str]:
    """Return the spellings of versions in a list."""
    for data in case.inputs:
        found = pairs(data)
        if isinstance(found, Pairs) and isinstance(found.get("cniVersions"), list):
            return [*found.get("cniVersions"), found.get("cniVersion") or ""]
    return []


_RESERVED: Final = frozenset({"cniVersion", "name", "prevResult", "runtimeConfig"})


def _case_variants(case: Case) -> Same | None:
    """Go keeps other spellings of the keys that the runtime sets, and may read their values."""
    if case.op != "inject_conf" or not isinstance(case.document, Pairs):
        return None
    injected = _RESERVED.intersection(case.question.fields["values"])
    folded = {fold(key) for key in injected}
    variants = {key for key, _ in case.document if fold(key) in folded and key not in injected}
    if not variants:
        return None
    if case.go_form[0] == "error":
        # The variant's value does not have the key's type.
        return SAME if case.words[0].startswith("error parsing configuration: <type ") else None
    if case.our_form[0] == "error":
        return None
    return _without(case.go_form, variants), _without(case.our_form, variants)


def _without(form: Any, variants: set[str]) -> Any:
    """Remove keys from a configuration, and the reserved fields from libcni's view of it."""
    kind, conf = form
    _, members = conf["bytes"]
    kept = [(key, value) for key, value in members if key not in variants]
    seen = [(key, value) for key, value in conf["network"] if key not in _RESERVED]
    return kind, {"bytes": kept, "network": seen}


def _null_configuration(case: Case) -> Same | None:
    """InjectConf panics on null, or first reports an error in the values."""
    is_null = case.op == "inject_conf" and case.question.fields["data"].strip() == b"null"
    ours = "unmarshal existing network bytes: the document must be an object, not null"
    return SAME if is_null and case.our_text == ours else None


def _repeated_arrays(case: Case) -> Same | None:
    """Go merges the members of an array with those of an earlier array of the same key."""
    if case.go_form[0] != "result" or case.our_form[0] != "result":
        return None
    documents = [pairs(data) for data in case.inputs]
    if case.op == "inject_conf":
        values = json.dumps(case.question.fields["values"]).encode()
        documents = [Pairs([*documents[0], *pairs(values)])]
    if not any(map(_has_merging_arrays, documents)):
        return None
    return _without_arrays(case.go_form), _without_arrays(case.our_form)


_ARRAYS: Final = frozenset(
    map(
        fold,
        (
            "nameservers",
            "search",
            "options",
            "cni.dev/valid-attachments",
            "ips",
            "routes",
            "interfaces",
            "supportedVersions",
        ),
    )
)


def _has_merging_arrays(value: Any) -> bool:
    """Return whether an array is repeated, with members in the later one that can merge."""
    if isinstance(value, list) and not isinstance(value, Pairs):
        return any(map(_has_merging_arrays, value))
    if not isinstance(value, Pairs):
        return False
    objects = [(fold(key), member) for key, member in value if isinstance(member, Pairs)]
    # Go merges a repeated object, so its arrays are repeated, too.
    together: dict[str, Pairs] = {}
    for key, member in objects:
        together.setdefault(key, Pairs()).extend(member)
    for key in _ARRAYS:
        arrays = [each for each in value.all(key) if isinstance(each, list)]
        if any(
            member is None or isinstance(member, Pairs) for each in arrays[1:] for member in each
        ):
            return True
    return any(_has_merging_arrays(member) for _, member in value) or any(
        map(_has_merging_arrays, together.values())
    )


def _without_arrays(form: Any) -> Any:
    match form:
        case dict():
            return {
                key: _without_arrays(document(member.encode()) if key == "text" else member)
                for key, member in form.items()
                if fold(key) not in _ARRAYS and key != "versions"
            }
        case tuple() | list():
            kept = [member for member in form if not _is_array_member(member)]
            return type(form)(map(_without_arrays, kept))
        case _:
            return form


def _is_array_member(member: Any) -> bool:
    return (
        isinstance(member, tuple)
        and len(member) == 2
        and isinstance(member[0], str)
        and fold(member[0]) in _ARRAYS
    )


_FROM_FILES: Final = frozenset({"network_conf_from_file", "load_network_conf"})


def _drop_ins_in_bytes(case: Case) -> Same | None:
    """Our list's bytes include the plugins of the network's folder."""
    if case.op not in _FROM_FILES or case.go.error or case.ours.error:
        return None
    go, ours = case.go_form[1], case.our_form[1]
    whole = json.loads(case.ours.result["bytes"])
    plugins = [json.loads(plugin["bytes"]) for plugin in case.ours.result["plugins"]]
    if whole["plugins"] != plugins:
        return None
    return ("result", {**go, "bytes": None}), ("result", {**ours, "bytes": None})


def _names_checked(case: Case) -> Same | None:
    """We refuse a network whose name cannot name a directory."""
    refused = re.search(
        r"(?:missing network name:|invalid characters found in network name; )", case.our_text
    )
    ops = {*_FROM_FILES, "network_plugin_confs_from_files"}
    return SAME if case.op in ops and refused else None


def _other_networks(case: Case) -> Same | None:
    """We complete only the requested network; Go, asked without the others, agrees."""
    files = case.question.files
    if case.op != "load_network_conf" or files is None or case.ask is None:
        return None
    asked = case.question.fields["other"]
    fewer = {name: _harmless(name, content, asked) for name, content in files.items()}
    if fewer == files:
        return None
    go = canonical(case.ask(replace(case.question, files=fewer)))
    again = _drop_ins_in_bytes(case.with_canonical(go, case.our_form))
    go, ours = again or (go, case.our_form)
    return (go, ours) if go == ours else None


def _harmless(name: str, content: bytes | str | None, asked: str) -> bytes | str | None:
    """Replace another network's list by one that loads nothing from a folder."""
    if not name.endswith(".conflist") or not isinstance(content, bytes):
        return content
    try:
        net = network_conf_from_bytes(content)
    except CNIError:
        return content
    if net.name == asked:
        return content
    return b'{"name":"","plugins":[{"type":"x"}],"loadOnlyInlinedPlugins":true}'


def _depth(case: Case) -> Same | None:
    """We accept less deeply nested documents than Go."""
    deep = any(data.count(b"[") + data.count(b"{") > 500 for data in case.inputs)
    return SAME if deep and case.our_text.endswith("exceeded max depth") else None


REWRITES: Final[tuple[tuple[str, Rewrite], ...]] = (
    ("file-named", _file_named),
    ("dot-dot", _dot_dot),
    ("big-integers", _big_integers),
    ("huge-numbers", _huge_numbers),
    ("unsupported-versions", _unsupported_versions),
    ("version-spelling", _version_spelling),
    ("case-variants", _case_variants),
    ("panics", _null_configuration),
    ("repeated-arrays", _repeated_arrays),
    ("one-network", _drop_ins_in_bytes),
    ("one-network", _names_checked),
    ("one-network", _other_networks),
    ("depth", _depth),
)

"""The chosen differences in results, versions, arguments and errors; see `explained`."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Any, Final

from .case import SAME, Case, Pairs, Rewrite, Same

# Faults in one member of a result.
_MEMBER_FAULT: Final = re.compile(
    r"(?:could not parse prevResult: )?(?:<type \w+>|invalid (?:CIDR|IP) address: .*)", re.DOTALL
)
_MISSING: Final = re.compile(
    r"(?:could not parse prevResult: )?"
    r"result key [\w.\[\]]+ (?:is missing|is of type null, not object)"
)
_WITH_ADDRESSES: Final = ("ip4", "ip6", "ips", "routes")
_MAPPED: Final = re.compile(
    r"(?:could not parse prevResult: )?invalid CIDR address: (\S+)/(\d+) \([\w.\[\]]+\)"
)


def _missing_address(case: Case) -> Same | None:
    """We refuse a missing address, or null in a list; Go accepts it, and panics later."""
    if not _MISSING.fullmatch(case.our_text):
        return None
    if case.op.startswith("create_result") and case.our_text.endswith("missing") and case.go.result:
        nil = "\\u003cnil\\u003e" in case.go.result["text"]
        return SAME if nil or _repeats_addresses(case.document) else None
    return SAME


def _repeats_addresses(value: Any) -> bool:
    """Return whether a key that can hold addresses is repeated."""
    if isinstance(value, Pairs):
        if any(len(value.all(key)) > 1 for key in _WITH_ADDRESSES):
            return True
        return any(_repeats_addresses(member) for _, member in value)
    return isinstance(value, list) and any(map(_repeats_addresses, value))


def _mapped_prefix(case: Case) -> Same | None:
    """We refuse an IPv4-mapped IPv6 address with a prefix below 96."""
    found = _MAPPED.fullmatch(case.our_text)
    if found is None:
        return None
    try:
        mapped = IPv6Address(found[1]).ipv4_mapped is not None
    except ValueError:
        return None
    return SAME if mapped and int(found[2]) < 96 and case.go_text != case.our_text else None


# An IPv4 address with the mask of an IPv6 one.
_IPV6_MASK: Final = re.compile(r"(?<={Dst:{IP:)(\d+(?:\.\d+){3}) Mask:f{24}(?=[0-9a-f]{8}})")


def _mapped_mask(case: Case) -> Same | None:
    """We show an IPv4 mask for an IPv4-mapped address; only this text shows the mask."""
    if case.op != "route_texts" or case.go_form[0] != "result":
        return None
    texts = [_IPV6_MASK.sub(r"\1 Mask:", text) for text in case.go_form[1]]
    return ("result", texts), case.our_form


def _first_mistake(case: Case) -> Same | None:
    """Of several mistakes Go reports addresses first, and we the first in the document."""
    if case.question.single_fault:
        return None
    return SAME if all(map(_MEMBER_FAULT.fullmatch, case.words)) else None


def _empty_prev_version(case: Case) -> Same | None:
    """We read a prevResult with an empty version in the configuration's version."""
    refused = re.fullmatch(
        r"could not parse prevResult: result type supports \[.*\] "
        r'but unmarshalled CNIVersion is ""',
        case.go_text,
    )
    return SAME if case.op == "parse_prev_result" and refused else None


def _load_args_panics(case: Case) -> Same | None:
    """LoadArgs panics without a field IgnoreUnknown."""
    return SAME if case.op == "load_args_without_ignore_unknown" and case.go.panic else None


def _no_versions(case: Case) -> Same | None:
    """Go panics if a plugin supports no version; we raise ValueError."""
    panics = case.go.panic == "programmer error: you must support at least one version"
    ours = case.ours.error is not None and case.ours.error.kind == "ValueError"
    return SAME if panics and ours else None


def _empty_error(case: Case) -> Same | None:
    """We report how the plugin ended if its error object has no message."""
    if case.op != "exec_plugin" or case.go.error is None or case.ours.error is None:
        return None
    if case.go.error.text or not case.our_text.startswith("netplugin failed"):
        return None
    kind, _, type_, code, _, details = case.our_form
    return case.go_form, (kind, "", type_, code, "", details)


_UNREADABLE: Final = re.compile(
    r'netplugin failed but error parsing its diagnostic message "(?:[^"\\]|\\.)*": '
    r"(json: cannot unmarshal .*)",
    re.DOTALL,
)


_MORE_THAN_JSON: Final = re.compile(
    r'netplugin failed but error parsing its diagnostic message "(?:[^"\\]|\\.)*code'
    r'(?:[^"\\]|\\.)*": (?:invalid character .*|unexpected end of JSON input)',
    re.DOTALL,
)


def _odd_code(case: Case) -> Same | None:
    """We keep the message of an error object whose code is not a uint."""
    unreadable = _UNREADABLE.fullmatch(case.go_text)
    if case.op != "exec_plugin" or unreadable is None:
        return None
    return SAME if "Go struct field Error.code of type uint" in unreadable[1] else None


def _odd_code_besides(case: Case) -> Same | None:
    """We do so, too, if Go rejects another member of the object first."""
    if case.op != "exec_plugin" or not isinstance(case.document, Pairs):
        return None
    if not (case.go_form[0] == case.our_form[0] == "error"):
        return None
    codes = [code for code in case.document.all("code") if code is not None]
    if all(type(code) is int and code in range(2**64) for code in codes):
        return None
    return _without_code(case.go_form), _without_code(case.our_form)


def _among_output(case: Case) -> Same | None:
    """We read the code of an error object that is not all of stdout."""
    if case.op != "exec_plugin" or not (case.go_form[0] == case.our_form[0] == "error"):
        return None
    if not _MORE_THAN_JSON.fullmatch(case.go_text) or case.go_form[3] or not case.our_form[3]:
        return None
    return _without_code(case.go_form), _without_code(case.our_form)


def _without_code(form: Any) -> Any:
    kind, text, type_, _, *rest = form
    return (kind, text, type_, 0, *rest)


REWRITES: Final[tuple[tuple[str, Rewrite], ...]] = (
    ("missing-address", _missing_address),
    ("mapped-prefix", _mapped_prefix),
    ("mapped-prefix", _mapped_mask),
    ("empty-prev-version", _empty_prev_version),
    ("panics", _load_args_panics),
    ("panics", _no_versions),
    ("error-objects", _empty_error),
    ("error-objects", _odd_code),
    ("error-objects", _odd_code_besides),
    ("among-output", _among_output),
    ("first-mistake", _first_mistake),
)

"""Questions about versions, identifiers, CNI_ARGS and errors of plugins."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.interop.wire import Question, ask

from .documents import (
    Document,
    anything,
    arrays,
    characters,
    documents,
    member,
    mostly,
    numbers,
    or_odd,
    string,
    strings,
)

_KNOWN: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

known_versions: SearchStrategy[str] = st.sampled_from(_KNOWN)
_odd_versions = st.sampled_from(
    [
        "",
        "1",
        "1.0",
        "1.1",
        "0.4",
        "1.0.1",
        "0.5.0",
        "1.2.0",
        "2.0.0",
        "99.0.0",
        "01.0.0",
        "+1.0.0",
        "1.00.0",
        "0.-42.0",
        "-1",
        "1.-2.3",
        "1.0.f",
        "bad",
        "1.0.0-rc1",
        "v1.0.0",
        " 1.0.0",
        "1.0.0 ",
        "1.0.0\n",
        "1_0.0.0",
        "\u0661.0.0",
        "0x1.0",
        "1..0",
        ".",
        "..",
        "...",
        "1.",
        ".1",
        "1.2.3.4",
        "1.2.3.4.5",
        "9223372036854775807",
        "9223372036854775808.0.0",
        "-9223372036854775808",
        "-9223372036854775809",
        "0" * 25 + "1",
        "1.0.0\0",
        "+",
        "-",
        "+-1",
        "1.é.0",
        "1.0.\u202e",
    ]
)
versions: SearchStrategy[str] = mostly(
    known_versions, st.one_of(_odd_versions, st.text("0123456789.+-a", max_size=8)), one_in=2
)
_any_version = st.one_of(versions, st.text(characters, max_size=6))


def comparisons() -> SearchStrategy[Question]:
    """Ask to parse, compare or reconcile versions."""
    one = st.builds(
        lambda op, text: ask(op, text=text),
        st.sampled_from(["parse_version", "versions_starting_from"]),
        _any_version,
    )
    two = st.builds(
        lambda op, text, other: ask(op, text=text, other=other),
        st.sampled_from(["greater_than", "greater_than_or_equal_to"]),
        _any_version,
        _any_version,
    )
    supports = st.builds(
        lambda op, text, many: ask(op, text=text, strings=many),
        st.just("reconcile"),
        _any_version,
        st.lists(_any_version, max_size=4),
    )
    plain = st.lists(_any_version, max_size=4).map(
        lambda many: ask("plugin_supports", strings=many)
    )
    return st.one_of(one, two, two, supports, plain)


def plugin_info() -> SearchStrategy[Question]:
    """Ask to decode an answer to VERSION, or the version of a configuration."""
    version = versions.map(string)
    info = documents(
        ("cniVersion", version),
        ("supportedVersions", arrays(mostly(version, anything), max_size=4)),
        members=(
            member("cniVersion", version),
            member("supportedVersions", arrays(version)),
            st.tuples(strings, anything),
        ),
        max_size=2,
    )
    ops = st.sampled_from(["decode_plugin_info", "decode_plugin_info", "decode_config_version"])
    return st.builds(lambda op, data: ask(op, data=data), ops, or_odd(info))


_spaces = (
    "\t\n\v\f\r \x1c\x1f\x85\xa0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_raw_bytes = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))
_identifiers = st.one_of(
    st.text("abzAZ09_.-", max_size=20),
    st.text("abzAZ09_.-/:% \n\0é" + _spaces, max_size=18),
    st.text(max_size=17),
    st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*", fullmatch=True),
    st.sampled_from(
        [
            "",
            ".",
            "..",
            "...",
            "eth0",
            "a" * 15,
            "a" * 16,
            "é" * 7,
            "é" * 8,
            "a\n",
            "/",
            "a/../b",
            "\uff41",
            "\u0660",
            "a" * 300,
        ]
    ),
    _raw_bytes,
)


def identifiers() -> SearchStrategy[Question]:
    """Ask whether an identifier is valid."""
    ops = [f"validate_{what}" for what in ("container_id", "network_name", "interface_name")]
    return st.builds(
        lambda op, text: ask(op, text=text), st.sampled_from([*ops, ops[-1]]), _identifiers
    )


_arg_values = st.one_of(
    st.sampled_from(
        [
            "1",
            "0",
            "true",
            "TRUE",
            "False",
            "",
            "yes",
            "t",
            "10.0.0.1",
            "::1",
            "::ffff:1.2.3.4",
            "1.2.3",
            "fe80::1%x",
            "web",
            "K\u017f",
            "é",
            "\u0130",
            "\u03a3\u03a3",
        ]
    ),
    st.text(characters, max_size=5).map(lambda text: text.replace(";", "").replace("=", "")),
)
_arg_keys = st.sampled_from(
    [
        "IgnoreUnknown",
        "IgnoreUnknown",
        "K8S_POD_NAME",
        "FLAG",
        "FLAG",
        "IP",
        "IP",
        "Unk",
        "ignoreunknown",
        "",
        "K8S_POD_NAME ",
        "é",
    ]
)
_pairs = mostly(
    st.one_of(
        st.sampled_from(["IgnoreUnknown=1", "IgnoreUnknown=true", "FLAG=0", "FLAG=TRUE", "IP="]),
        st.builds("K8S_POD_NAME={}".format, _arg_values),
        st.builds("IP={}".format, st.ip_addresses()),
    ),
    st.builds("{}={}".format, _arg_keys, _arg_values),
    one_in=4,
)
_no_pairs = st.one_of(
    st.sampled_from(["", "=", "a", "K8S_POD_NAME", "a=b=c", " ", "NOT_TEXT=1"]),
    st.text(characters, max_size=4),
)
_arg_texts = mostly(
    st.lists(mostly(_pairs, _no_pairs), max_size=4).map(";".join),
    _raw_bytes.filter(lambda text: "\0" not in text),
    one_in=10,
)


def loaded_args() -> SearchStrategy[Question]:
    """Ask what a plugin reads from CNI_ARGS."""
    ops = st.sampled_from(["load_args"] * 4 + ["load_args_without_ignore_unknown"])
    return st.builds(lambda op, text: ask(op, text=text), ops, _arg_texts)


_env_words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
_env_keys = st.one_of(
    st.sampled_from(["PATH", "CNI_ARGS", "CNI_COMMAND", "CNI_IFNAME", "CNI_X", "cni_args", "HOME"]),
    st.text("ABab_09é", min_size=1, max_size=4),
)


def environments() -> SearchStrategy[Question]:
    """Ask for the environment of a plugin."""
    env = st.dictionaries(_env_keys, _env_words, max_size=4)
    command = st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", ""])

    def args_env(
        command: str,
        env: dict[str, str],
        words: list[str],
        args: list[tuple[str, str]],
        text: str,
        path: list[str],
    ) -> Question:
        container_id, netns, ifname = words
        runtime = {
            "containerID": container_id,
            "netns": netns,
            "ifname": ifname,
            "args": [list(pair) for pair in args],
        }
        return ask("args_env", text=command, env=env, runtime=runtime, other=text, path=path)

    whole = st.builds(
        args_env,
        command,
        env,
        st.lists(_env_words, min_size=3, max_size=3),
        st.lists(st.tuples(_env_words, _env_words), max_size=3),
        st.one_of(st.just(""), _env_words),
        st.lists(_env_words, max_size=3),
    )
    delegated = st.builds(lambda text, env: ask("delegate_env", text=text, env=env), command, env)
    return st.one_of(whole, whole, whole, delegated)


_codes: Document = mostly(
    st.sampled_from([b"0", b"3", b"7", b"11", b"50", b"51", b"100", b"999"]), numbers, one_in=4
)


def failures() -> SearchStrategy[Question]:
    """Ask for the error of a plugin that failed."""
    error = documents(
        ("code", _codes),
        ("msg", strings),
        members=(
            member("details", strings),
            member("msg", strings),
            member("code", _codes),
            member("cniVersion", strings),
            st.tuples(strings, anything),
        ),
        max_size=3,
    )
    nothing = st.sampled_from([b"", b"", b"null", b"{}", b" ", b"[]"])
    stdout = mostly(or_odd(error), st.one_of(nothing, st.binary(max_size=10)), one_in=5)
    stderr = st.one_of(
        st.just(b""), st.binary(max_size=10), st.text(characters, max_size=10).map(str.encode)
    )
    status = st.one_of(
        st.integers(1, 255).map(lambda code: (code, 0)),
        st.sampled_from([1, 2, 6, 9, 10, 12, 13, 15, 24, 30, 34, 64]).map(
            lambda number: (0, number)
        ),
    )

    def question(stdout: bytes, stderr: bytes, status: tuple[int, int]) -> Question:
        return ask("exec_plugin", stdout=stdout, stderr=stderr, code=status[0], signal=status[1])

    return st.builds(question, stdout, stderr, status)


def quotations() -> SearchStrategy[Question]:
    """Ask how an error's text quotes bytes."""
    data = st.one_of(st.text(characters, max_size=8).map(str.encode), st.binary(max_size=8))
    return data.map(lambda each: ask("quote", data=each))


@st.composite
def error_objects(draw: st.DrawFn) -> Question:
    """Ask how an error is written as JSON and as text."""
    code = draw(st.one_of(st.sampled_from([0, 7, 11, 50, 51, 100, 999]), st.integers(0, 2**63)))
    text = st.text(max_size=6).map(string)
    members = [b'"code":%d' % code, b'"msg":' + draw(text)]
    if draw(st.booleans()):
        members.append(b'"details":' + draw(text))
    return ask("error_json", data=b"{" + b",".join(members) + b"}")

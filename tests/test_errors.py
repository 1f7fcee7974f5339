"""The hierarchy of errors, their texts and attributes.

See items 60 and 290-294 of docs/maintainers/conformance.md.
"""

import copy
import pickle

import anyio
import anyio.lowlevel
import pytest

from cni_async import errors
from cni_async.errors import (
    AggregateError,
    AlreadyAttachedError,
    ArgsError,
    CacheError,
    CacheWriteError,
    CheckNotSupportedError,
    CNIError,
    ConfigError,
    CorruptRecordError,
    ErrorCode,
    GCError,
    IncompatibleVersionError,
    InvalidIdentifierError,
    NoConfigsFoundError,
    NotFoundError,
    OutputLimitError,
    PluginError,
    PluginNotFoundError,
    PluginTimeoutError,
    ResultError,
    UnsupportedVersionError,
    ValidationError,
    VersionError,
)
from cni_async.types import v100


def every_error() -> list[type[CNIError]]:
    found = [CNIError]
    for error in found:
        found += error.__subclasses__()
    return found


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (ConfigError, (CNIError, ValueError)),
        (NoConfigsFoundError, (ConfigError,)),
        (NotFoundError, (ConfigError,)),
        (UnsupportedVersionError, (ConfigError,)),
        (VersionError, (CNIError, ValueError)),
        (IncompatibleVersionError, (VersionError,)),
        (CheckNotSupportedError, (CNIError,)),
        (ArgsError, (CNIError, ValueError)),
        (PluginNotFoundError, (CNIError,)),
        (ResultError, (CNIError, ValueError)),
        (CacheError, (CNIError,)),
        (CorruptRecordError, (CacheError,)),
        (CacheWriteError, (CacheError,)),
        (AlreadyAttachedError, (CNIError,)),
        (AggregateError, (CNIError, ExceptionGroup)),
        (ValidationError, (AggregateError,)),
        (GCError, (AggregateError,)),
        (PluginError, (CNIError,)),
        (PluginTimeoutError, (PluginError, TimeoutError)),
        (OutputLimitError, (PluginError,)),
        (InvalidIdentifierError, (PluginError, ValueError)),
    ],
)
def test_tree(error: type[CNIError], kinds: tuple[type[Exception], ...]) -> None:
    assert all(issubclass(error, kind) for kind in kinds)


def test_the_tree_is_drawn() -> None:
    assert errors.__doc__ is not None
    for error in every_error():
        if error.__module__ == errors.__name__:
            assert f" {error.__name__} " in f" {' '.join(errors.__doc__.split())} "


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CNIError("x"), "x"),
        (CNIError(), ""),
        (ConfigError("x"), "x"),
        (ConfigError("x", key="k"), "x"),
        (ConfigError("x", path="/a.conf"), "x (in /a.conf)"),  # 13
        (ConfigError("reading /a.conf: x", path="/a.conf"), "reading /a.conf: x"),
        (NoConfigsFoundError("/d"), "no net configurations found in /d"),  # 59
        (NotFoundError("/d", 'no"pe'), 'no net configuration with name "no"pe" in /d'),  # 60
        (
            CheckNotSupportedError("0.3.1"),
            'configuration version "0.3.1" does not support the CHECK command',
        ),
        (PluginNotFoundError("x", plugin="p", paths=["/a"]), "x"),
        (CacheError("x", path="/p"), "x"),
        (CacheWriteError("x", path="/p"), "x"),
        (ValidationError([ValueError("a"), ConfigError("b")]), "[a b]"),
        (GCError([ValueError("a"), ConfigError("b")]), "a\nb"),
        (PluginError("m"), "m"),
        (PluginError("m", details="d"), "m; d"),
        (PluginError(details="d"), "; d"),
        (PluginTimeoutError("m", details="d"), "m; d"),
    ],
)
def test_text(error: CNIError, text: str) -> None:
    assert str(error) == text
    assert error.in_context("b: ") is error
    assert str(error.in_context("a: ")) == f"a: b: {text}"


def test_attributes() -> None:
    config = ConfigError("x", key="k", path="/p")
    assert (config.key, config.path) == ("k", "/p")
    assert NoConfigsFoundError("/d").dir == "/d"  # 66
    not_found = NotFoundError("/d", "n")
    assert (not_found.dir, not_found.name) == ("/d", "n")
    assert CheckNotSupportedError("0.3.1").version == "0.3.1"
    missing = PluginNotFoundError("x", plugin="p", paths=["/a", "/b"])
    assert (missing.plugin, missing.paths) == ("p", ("/a", "/b"))
    result = v100.Result(cni_version="1.0.0")
    unwritten = CacheWriteError("x", path="/p", result=result)
    assert (unwritten.path, unwritten.result) == ("/p", result)
    inner = [ValueError("a"), KeyError("b")]
    assert AggregateError(inner).errors == AggregateError(inner).exceptions == tuple(inner)
    attached = AlreadyAttachedError("x", config=b"{}", netns="/run/netns/a")
    assert (attached.config, attached.netns) == (b"{}", "/run/netns/a")


def test_an_aggregate_is_a_group() -> None:
    inner = [PluginError("a"), CacheError("b"), PluginError("c")]
    found: list[tuple[Exception, ...]] = []
    try:
        raise GCError(inner)
    except* PluginError as group:
        found.append(group.exceptions)
    except* CacheError as group:
        found.append(group.exceptions)
    assert found == [(inner[0], inner[2]), (inner[1],)]


def test_a_part_of_an_aggregate_says_what_the_whole_says() -> None:
    error = GCError([PluginError("a"), CacheError("b")]).in_context("net: ")
    error.rollback_error = PluginError("c")
    part = error.subgroup(CacheError)
    assert isinstance(part, GCError)
    assert (str(part), part.rollback_error) == ("net: b", error.rollback_error)


@pytest.mark.anyio
async def test_an_aggregate_passes_through_scopes_and_task_groups_as_it_is() -> None:
    error = GCError([PluginError("a"), CacheError("b")])
    with pytest.raises(GCError) as caught, anyio.fail_after(60):  # noqa: PT012
        await anyio.lowlevel.checkpoint()
        raise error
    assert str(caught.value) == "a\nb"
    with pytest.raises(ExceptionGroup) as grouped:
        async with anyio.create_task_group():
            raise error
    [inner] = grouped.value.exceptions
    assert str(inner) == "a\nb"


def test_an_aggregate_of_nothing() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        GCError([])


def test_plugin_error() -> None:
    error = PluginError(
        "m",
        code=11,
        details="d",
        plugin="bridge",
        command="ADD",
        exit_code=1,
        signal=9,
        stderr="oops",
    )
    assert error.code is ErrorCode.TRY_AGAIN_LATER
    assert (error.msg, error.details, error.plugin, error.command) == ("m", "d", "bridge", "ADD")
    assert (error.exit_code, error.signal, error.stderr) == (1, 9, "oops")
    plain = PluginError()
    assert plain.code is ErrorCode.UNKNOWN
    assert (plain.exit_code, plain.signal) == (None, None)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        # 290
        (1, "INCOMPATIBLE_CNI_VERSION"),
        (2, "UNSUPPORTED_FIELD"),
        (3, "UNKNOWN_CONTAINER"),
        (4, "INVALID_ENVIRONMENT_VARIABLES"),
        (5, "IO_FAILURE"),
        (6, "DECODING_FAILURE"),
        (7, "INVALID_NETWORK_CONFIG"),
        (11, "TRY_AGAIN_LATER"),
        (50, "PLUGIN_NOT_AVAILABLE"),  # 362
        (51, "LIMITED_CONNECTIVITY"),
        # 291
        (0, "UNKNOWN"),
        (8, "INVALID_NETNS"),
        (999, "INTERNAL"),
    ],
)
def test_codes(code: int, name: str) -> None:
    assert PluginError(code=code).code is ErrorCode[name]
    assert ErrorCode[name] == code


@pytest.mark.parametrize("code", [9, 100, 2**32 - 1])
def test_codes_of_plugins(code: int) -> None:  # 290
    assert PluginError(code=code).code == code
    assert not isinstance(PluginError(code=code).code, ErrorCode)


@pytest.mark.parametrize("code", [*range(120), 999])
def test_retryable(code: int) -> None:
    assert PluginError(code=code).retryable is (code in {11, 50, 51})
    assert PluginError(code=code, retryable=True).retryable
    assert not PluginError(code=code, retryable=False).retryable


def test_repr() -> None:
    error = PluginError("boom", code=11, plugin="bridge", command="ADD")
    assert repr(error) == "PluginError('boom', code=11, plugin='bridge', command='ADD')"


def test_to_json() -> None:  # 292
    assert PluginError("m", code=7).to_json() == '{"code": 7, "msg": "m"}'
    assert PluginError("é", code=100, details="d").to_json(4) == (
        '{\n    "code": 100,\n    "msg": "é",\n    "details": "d"\n}'
    )


def test_libcni_s_own_failures_have_no_code() -> None:  # 294
    for error in every_error():
        assert issubclass(error, PluginError) or not hasattr(error, "code")


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("x", key="k", path="/p").in_context("c: "),
        NoConfigsFoundError("/d"),
        NotFoundError("/d", "n"),
        IncompatibleVersionError("1", ["2"]),
        CheckNotSupportedError("0.3.1"),
        PluginNotFoundError("x", plugin="p", paths=["/a"]),
        CacheWriteError("x", path="/p"),
        GCError([ValueError("a")]),
        AlreadyAttachedError("m", config=b"{}", netns="/n"),
        PluginError("m", code=7, details="d", plugin="p"),
        PluginTimeoutError("m"),
        InvalidIdentifierError("m", code=4, details="d"),
    ],
)
def test_copies(error: CNIError) -> None:
    for duplicate in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(duplicate) is type(error)
        assert str(duplicate) == str(error)
        assert repr(vars(duplicate)) == repr(vars(error))

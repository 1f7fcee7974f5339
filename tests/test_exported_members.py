"""The importable names: libcni's in Python's spelling, documented, and no others."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

import cni_async
from cni_async import CNI, CNIConfig, ErrorCode
from tests.support.go_names import GO_NAMES

PACKAGE = Path(cni_async.__file__).parent
NAMES: Final[list[str]] = vars(cni_async)["__all__"]  # hidden from type checkers

# Our names without a counterpart in libcni.
BEYOND_LIBCNI: Final = {
    "AggregateError",
    "AlreadyAttachedError",
    "ArgsError",
    "AttachmentKey",
    "CNIError",
    "CacheError",
    "CacheStore",
    "CacheWriteError",
    "CachedConfig",
    "ConfigError",
    "CorruptRecordError",
    "FileCache",
    "ForeignRecordError",
    "GCError",
    "InvalidIdentifierError",
    "MemoryCache",
    "OutputLimitError",
    "PluginNotFoundError",
    "PluginTimeoutError",
    "RecoveryError",
    "ResultError",
    "UnsupportedVersionError",
    "ValidationError",
    "VersionError",
}
# libcni's interface of the same name, letter by letter.
_GO_INTERFACE: Final = """
    AddNetworkList CheckNetworkList DelNetworkList
    GetNetworkListCachedResult GetNetworkListCachedConfig
    AddNetwork CheckNetwork DelNetwork GetNetworkCachedResult GetNetworkCachedConfig
    ValidateNetworkList ValidateNetwork
    GCNetworkList GetStatusNetworkList GetCachedAttachments GetVersionInfo
"""
GO_INTERFACE: Final = _GO_INTERFACE.split()
GO_FIELDS: Final = {
    "RuntimeConf": "ContainerID NetNS IfName Args CapabilityArgs CacheDir",
    "NetworkConfig": "Network Bytes",
    "NetworkConfigList": "Name CNIVersion DisableCheck DisableGC Plugins Bytes",
    "NetworkAttachment": "ContainerID Network IfName Config NetNS CniArgs CapabilityArgs",
    "GCArgs": "ValidAttachments",
    "GCAttachment": "ContainerID IfName",
    "NetConf": "CNIVersion Name Type Capabilities IPAM DNS RawPrevResult PrevResult "
    "ValidAttachments",
    "DNS": "Nameservers Domain Search Options",
    "Route": "Dst GW MTU AdvMSS Priority Table Scope",
}
# `bytes` is a built-in type in Python.
RENAMED: Final = {"bytes": "raw"}


def public_modules() -> list[ModuleType]:
    """Return the package and the modules that users import by name."""
    names = [
        "cache",
        "capabilities",
        "conf",
        "errors",
        "invoke",
        "microvm",
        "netns",
        "networks",
        "testing",
        "types",
        "types.args",
        "validate",
        "version",
    ]
    return [cni_async, *(importlib.import_module(f"cni_async.{name}") for name in names)]


def exported() -> list[tuple[str, Any]]:
    """Return everything that `cni_async` and its public modules export."""
    found = []
    for module in public_modules():
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
        found += [(f"{module.__name__}.{name}", getattr(module, name)) for name in names]
    return found


def snake(go_name: str) -> str:
    """Spell a Go name in Python: AddNetworkList is add_network_list."""
    go_name = go_name.replace("IfName", "Ifname").replace("NetNS", "Netns").replace("MSS", "mss")
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", go_name).lower()


def isort_order(name: str) -> tuple[int, str]:
    """Order names as ruff wants `__all__`: constants, classes, the rest (RUF022)."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_all_is_sorted_and_complete(module: ModuleType) -> None:
    names = getattr(module, "__all__", None)
    if names is None:
        return
    assert len(set(names)) == len(names)
    if module is not cni_async:  # which computes its list
        assert names == sorted(names, key=isort_order)
    assert all(hasattr(module, name) for name in names)


def test_the_package_exports_what_it_imports() -> None:
    """A type checker sees the same imports that the first use of an attribute makes."""
    imports = [
        node
        for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    imported = [(node.module, alias.name) for node in imports for alias in node.names]
    assert sorted(name for _, name in imported) == sorted(NAMES)
    for home, name in imported:
        theirs = importlib.import_module(f"cni_async.{home or name}")
        assert getattr(cni_async, name) is (theirs if home is None else getattr(theirs, name))
    assert set(NAMES) <= set(dir(cni_async))


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match=r"^module 'cni_async' has no attribute 'Nothing'$"):
        cni_async.Nothing  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(cni_async, "__wrapped__")


def test_nothing_is_imported_before_it_is_used() -> None:
    script = "import cni_async, sys; print([name for name in sys.modules if 'cni_async.' in name])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert said.stdout.strip() == b"[]"


@pytest.mark.parametrize(("name", "value"), exported(), ids=[name for name, _ in exported()])
def test_everything_exported_is_documented(name: str, value: object) -> None:
    if not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)):
        return  # constants and aliases
    assert value.__doc__, name
    # A struct or an enum has a generated docstring, which does not count.
    assert not value.__doc__.startswith(f"{name.rpartition('.')[2]}("), name
    if inspect.isclass(value):
        for method, function in inspect.getmembers(value, inspect.isfunction):
            ours = function.__module__.startswith("cni_async")
            if ours and not method.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{method}"


def test_every_exported_name_is_libcnis_or_ours_on_purpose() -> None:
    of_libcni = {name.split(".")[0] for _, names in GO_NAMES for name in names}
    modules = {name for name in NAMES if inspect.ismodule(getattr(cni_async, name))}
    rest = set(NAMES) - of_libcni - modules
    assert rest == BEYOND_LIBCNI
    assert not BEYOND_LIBCNI & of_libcni


def test_item_347_every_method_of_the_interface_is_there() -> None:
    methods = {name for name, _ in inspect.getmembers(CNI, inspect.isfunction) if name[0] != "_"}
    assert methods == {snake(name) for name in GO_INTERFACE}
    table = dict(GO_NAMES)
    assert all(table[name] == (f"CNIConfig.{snake(name)}",) for name in GO_INTERFACE)


@pytest.mark.parametrize("method", [snake(name) for name in GO_INTERFACE])
def test_item_347_cni_config_has_the_interfaces_signatures(method: str) -> None:
    wanted = inspect.signature(getattr(CNI, method), eval_str=True)
    has = inspect.signature(getattr(CNIConfig, method), eval_str=True)
    assert inspect.iscoroutinefunction(getattr(CNI, method))
    assert inspect.iscoroutinefunction(getattr(CNIConfig, method))
    assert has.return_annotation == wanted.return_annotation
    parameters = list(has.parameters.values())
    more = parameters[len(wanted.parameters) :]
    assert parameters[: len(wanted.parameters)] == list(wanted.parameters.values())
    # Callers of the protocol do not know additional parameters.
    for parameter in more:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty


@pytest.mark.parametrize(("name", "fields"), GO_FIELDS.items(), ids=GO_FIELDS)
def test_item_349_structs_have_the_fields_of_go(name: str, fields: str) -> None:
    struct = getattr(cni_async, name)
    wanted = [RENAMED.get(snake(field), snake(field)) for field in fields.split()]
    more = {"load_only_inlined_plugins", "completed"}  # from v1.3.0, and ours
    ours = [field for field in struct.__struct_fields__ if field not in more]
    assert ours == wanted


def test_items_290_291_and_362_error_codes() -> None:
    assert {code.name: code.value for code in ErrorCode} == {
        "UNKNOWN": 0,
        "INCOMPATIBLE_CNI_VERSION": 1,
        "UNSUPPORTED_FIELD": 2,
        "UNKNOWN_CONTAINER": 3,
        "INVALID_ENVIRONMENT_VARIABLES": 4,
        "IO_FAILURE": 5,
        "DECODING_FAILURE": 6,
        "INVALID_NETWORK_CONFIG": 7,
        "INVALID_NETNS": 8,
        "TRY_AGAIN_LATER": 11,
        "PLUGIN_NOT_AVAILABLE": 50,
        "LIMITED_CONNECTIVITY": 51,
        "INTERNAL": 999,
    }


@pytest.mark.parametrize("module", public_modules()[1:], ids=lambda module: module.__name__)
def test_public_modules_are_attributes(module: ModuleType) -> None:
    """The modules are attributes even if no other code has imported them."""
    script = f"import cni_async; print({module.__name__}.__name__)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (said.stdout.strip(), said.stderr) == (module.__name__, "")
    name = module.__name__.split(".")[1]
    assert name in NAMES
    assert name in dir(cni_async)


def test_dir_shows_what_is_public() -> None:
    public = {name for name in dir(cni_async) if not name.startswith("__")}
    assert public == set(NAMES)


def test_version() -> None:
    assert cni_async.__version__ == importlib.metadata.version("cni-async")
    assert "__version__" in dir(cni_async)


def test_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(cni_async), "__version__", raising=False)
    monkeypatch.setattr(cni_async, "_DISTRIBUTION", "not-installed-at-all")
    with pytest.raises(AttributeError, match="is not installed"):
        cni_async.__version__  # noqa: B018

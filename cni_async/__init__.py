"""CNI for asyncio and trio: what Go's libcni does, in Python.

Most programs need only the names here; the modules `cache`, `capabilities`, `conf`, `errors`,
`invoke`, `microvm`, `netns`, `networks`, `testing`, `types`, `validate`, `version` have the rest.
A name is imported on first use, as in anyio: a program need not wait for what it does not use.

Attributes:
    __version__: of the installed package.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (
        cache as cache,
        capabilities as capabilities,
        conf as conf,
        errors as errors,
        invoke as invoke,
        microvm as microvm,
        netns as netns,
        networks as networks,
        testing as testing,
        types as types,
        validate as validate,
        version as version,
    )
    from .api import CNIConfig as CNIConfig
    from .cache import (
        CACHE_DIR as CACHE_DIR,
        CNI_CACHE_V1 as CNI_CACHE_V1,
        AttachmentKey as AttachmentKey,
        CachedConfig as CachedConfig,
        CacheStore as CacheStore,
        FileCache as FileCache,
        MemoryCache as MemoryCache,
        NetworkAttachment as NetworkAttachment,
    )
    from .conf import (
        NetworkConfig as NetworkConfig,
        NetworkConfigList as NetworkConfigList,
        PluginConfig as PluginConfig,
        conf_files as conf_files,
        conf_from_bytes as conf_from_bytes,
        conf_from_file as conf_from_file,
        conf_list_from_bytes as conf_list_from_bytes,
        conf_list_from_conf as conf_list_from_conf,
        conf_list_from_file as conf_list_from_file,
        inject_conf as inject_conf,
        load_conf as load_conf,
        load_conf_list as load_conf_list,
        load_network_conf as load_network_conf,
        network_conf_from_bytes as network_conf_from_bytes,
        network_conf_from_file as network_conf_from_file,
        network_plugin_conf_from_bytes as network_plugin_conf_from_bytes,
        network_plugin_confs_from_files as network_plugin_confs_from_files,
    )
    from .errors import (
        AggregateError as AggregateError,
        AlreadyAttachedError as AlreadyAttachedError,
        ArgsError as ArgsError,
        CacheError as CacheError,
        CacheWriteError as CacheWriteError,
        CheckNotSupportedError as CheckNotSupportedError,
        CNIError as CNIError,
        ConfigError as ConfigError,
        CorruptRecordError as CorruptRecordError,
        ErrorCode as ErrorCode,
        ForeignRecordError as ForeignRecordError,
        GCError as GCError,
        IncompatibleVersionError as IncompatibleVersionError,
        InvalidIdentifierError as InvalidIdentifierError,
        NoConfigsFoundError as NoConfigsFoundError,
        NotFoundError as NotFoundError,
        OutputLimitError as OutputLimitError,
        PluginError as PluginError,
        PluginNotFoundError as PluginNotFoundError,
        PluginTimeoutError as PluginTimeoutError,
        RecoveryError as RecoveryError,
        ResultError as ResultError,
        UnsupportedVersionError as UnsupportedVersionError,
        ValidationError as ValidationError,
        VersionError as VersionError,
    )
    from .invoke import DefaultExec as DefaultExec, Exec as Exec, RawExec as RawExec
    from .model.runtime import GCArgs as GCArgs, RuntimeConf as RuntimeConf
    from .protocol import CNI as CNI
    from .types import (
        DNS as DNS,
        IPAM as IPAM,
        GCAttachment as GCAttachment,
        NetConf as NetConf,
        PluginConf as PluginConf,
        Result as Result,
        Route as Route,
        create_result as create_result,
        create_result_from_bytes as create_result_from_bytes,
    )
    from .version import PluginInfo as PluginInfo

    __version__: str

_DISTRIBUTION = "cni-async"
_SUBMODULES = (
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
    "validate",
    "version",
)
_HOMES = {
    "api": ("CNIConfig",),
    "cache": (
        "CACHE_DIR",
        "CNI_CACHE_V1",
        "AttachmentKey",
        "CachedConfig",
        "CacheStore",
        "FileCache",
        "MemoryCache",
        "NetworkAttachment",
    ),
    "conf": (
        "NetworkConfig",
        "NetworkConfigList",
        "PluginConfig",
        "conf_files",
        "conf_from_bytes",
        "conf_from_file",
        "conf_list_from_bytes",
        "conf_list_from_conf",
        "conf_list_from_file",
        "inject_conf",
        "load_conf",
        "load_conf_list",
        "load_network_conf",
        "network_conf_from_bytes",
        "network_conf_from_file",
        "network_plugin_conf_from_bytes",
        "network_plugin_confs_from_files",
    ),
    "errors": (
        "AggregateError",
        "AlreadyAttachedError",
        "ArgsError",
        "CacheError",
        "CacheWriteError",
        "CheckNotSupportedError",
        "CNIError",
        "ConfigError",
        "CorruptRecordError",
        "ErrorCode",
        "ForeignRecordError",
        "GCError",
        "IncompatibleVersionError",
        "InvalidIdentifierError",
        "NoConfigsFoundError",
        "NotFoundError",
        "OutputLimitError",
        "PluginError",
        "PluginNotFoundError",
        "PluginTimeoutError",
        "RecoveryError",
        "ResultError",
        "UnsupportedVersionError",
        "ValidationError",
        "VersionError",
    ),
    "invoke": (
        "DefaultExec",
        "Exec",
        "RawExec",
    ),
    "protocol": ("CNI",),
    "model.runtime": (
        "GCArgs",
        "RuntimeConf",
    ),
    "types": (
        "DNS",
        "IPAM",
        "GCAttachment",
        "NetConf",
        "PluginConf",
        "Result",
        "Route",
        "create_result",
        "create_result_from_bytes",
    ),
    "version": ("PluginInfo",),
}

if not TYPE_CHECKING:  # type checkers would take any name for one of ours
    from importlib import import_module as _import_module

    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
    __all__ = sorted([*_HOME_OF, *_SUBMODULES])

    def __getattr__(name: str) -> object:
        """Import a name, or a public module, on first use."""
        if name in _SUBMODULES:
            return _import_module(f".{name}", __name__)
        if name == "__version__":
            value = _installed_version()
        elif name in _HOME_OF:
            value = getattr(_import_module(f".{_HOME_OF[name]}", __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def _installed_version() -> str:
        from importlib import metadata

        try:
            return metadata.version(_DISTRIBUTION)
        except metadata.PackageNotFoundError:
            raise AttributeError(f"{_DISTRIBUTION} is not installed, so has no version") from None

    def __dir__() -> list[str]:
        """List what is public."""
        special = (name for name in globals() if name.startswith("__"))
        return sorted({*special, *__all__, "__version__"})

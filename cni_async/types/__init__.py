"""The types of the CNI specification: results, configurations and their parts."""

from . import args, v020, v040, v100
from .common import DNS, Result, Route
from .create import create_result, create_result_from_bytes, parse_prev_result
from .netconf import IPAM, GCAttachment, NetConf, PluginConf

__all__ = [
    "DNS",
    "IPAM",
    "GCAttachment",
    "NetConf",
    "PluginConf",
    "Result",
    "Route",
    "args",
    "create_result",
    "create_result_from_bytes",
    "parse_prev_result",
    "v020",
    "v040",
    "v100",
]

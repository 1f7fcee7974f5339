"""A CNI plugin that only pretends: it assigns addresses, but makes no interface.

The demo uses it on machines without real plugins. It follows the CNI specification, so it also
shows how small a plugin can be: a program that reads a configuration on stdin and its command in
the environment, and prints a result. Configuration: ``subnet`` and ``dataDir``.
"""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from pathlib import Path
from typing import Any

VERSIONS = ["0.4.0", "1.0.0", "1.1.0"]
# Error codes of the specification; plugins define those from 100 on.
INCOMPATIBLE_VERSION, BAD_ENVIRONMENT, BAD_CONFIG, NO_ADDRESS, NOT_THERE = 1, 4, 7, 100, 101


class PluginError(Exception):
    """An error that the plugin reports instead of a result: a code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Ledger:
    """The owners of all addresses: one file per address, which holds its owner."""

    def __init__(self, config: dict[str, Any]) -> None:
        try:
            self.network = ipaddress.ip_network(config["subnet"])
            self.folder = Path(config["dataDir"], config["name"])
        except (KeyError, ValueError) as error:
            raise PluginError(BAD_CONFIG, f"bad configuration: {error!r}") from error
        self.gateway, *self.free = map(str, self.network.hosts())

    def take(self, owner: str) -> str:
        """Reserve the first address that is free."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for address in self.free:
            try:
                # Creating the file is the reservation, so no lock is needed.
                with (self.folder / address).open("x") as file:
                    file.write(owner)
            except FileExistsError:
                continue
            return address
        raise PluginError(NO_ADDRESS, f"no address left in {self.network}")

    def of(self, owner: str) -> list[str]:
        """Return the addresses that an owner has."""
        return [address for address, has in self.owners().items() if has == owner]

    def owners(self) -> dict[str, str]:
        """Return all addresses in use, with their owners."""
        if not self.folder.is_dir():
            return {}
        return {file.name: file.read_text() for file in sorted(self.folder.iterdir())}

    def release(self, address: str) -> None:
        """Release an address; a free address stays free."""
        (self.folder / address).unlink(missing_ok=True)


def add(config: dict[str, Any]) -> dict[str, Any]:
    """Reserve an address and describe an interface that has it."""
    ledger = Ledger(config)
    address = ledger.take(_owner())
    prefix = ledger.network.prefixlen
    ip = {"address": f"{address}/{prefix}", "gateway": ledger.gateway, "interface": 0}
    return {
        "cniVersion": config["cniVersion"],
        "interfaces": [{"name": _variable("CNI_IFNAME"), "sandbox": _variable("CNI_NETNS")}],
        "ips": [ip if config["cniVersion"] != "0.4.0" else {"version": "4", **ip}],
        "routes": [{"dst": "0.0.0.0/0", "gw": ledger.gateway}],
        "dns": {},
    }


def check(config: dict[str, Any]) -> None:
    """Check that the addresses of ADD's result, here in prevResult, are still reserved."""
    given = [ip["address"].partition("/")[0] for ip in config.get("prevResult", {}).get("ips", [])]
    if not given or given != Ledger(config).of(_owner()):
        raise PluginError(NOT_THERE, f"{_owner()} does not have {given or 'an address'}")


def delete(config: dict[str, Any]) -> None:
    """Release the addresses of this attachment, which may have none."""
    ledger = Ledger(config)
    for address in ledger.of(_owner()):
        ledger.release(address)


def collect(config: dict[str, Any]) -> None:
    """Release the addresses of all attachments that are not on the runtime's list."""
    valid = config.get("cni.dev/valid-attachments") or []
    keep = {f"{each['containerID']} {each['ifname']}" for each in valid}
    ledger = Ledger(config)
    for address, owner in ledger.owners().items():
        if owner not in keep:
            ledger.release(address)


def status(config: dict[str, Any]) -> None:
    """Print nothing, which means: ready for ADD."""
    Ledger(config)


def version(config: dict[str, Any]) -> dict[str, Any]:
    """Return the versions of the protocol that this plugin supports."""
    return {"cniVersion": config.get("cniVersion", VERSIONS[-1]), "supportedVersions": VERSIONS}


COMMANDS = {
    "ADD": add,
    "CHECK": check,
    "DEL": delete,
    "GC": collect,
    "STATUS": status,
    "VERSION": version,
}


def _variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise PluginError(BAD_ENVIRONMENT, f"{name} is not set") from None


def _owner() -> str:
    return f"{_variable('CNI_CONTAINERID')} {_variable('CNI_IFNAME')}"


def main() -> int:
    """Answer one call."""
    config: dict[str, Any] = {}
    try:
        command = _variable("CNI_COMMAND")
        if command not in COMMANDS:
            raise PluginError(BAD_ENVIRONMENT, f"unknown CNI_COMMAND {command!r}")
        config = json.load(sys.stdin)
        if command != "VERSION" and config.get("cniVersion") not in VERSIONS:
            raise PluginError(INCOMPATIBLE_VERSION, f"only {', '.join(VERSIONS)} are supported")
        answer = COMMANDS[command](config)
    except PluginError as error:
        spoken = config.get("cniVersion", VERSIONS[-1])
        answer = {"cniVersion": spoken, "code": error.code, "msg": str(error)}
        print(json.dumps(answer))
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Plugins that keep a ledger, and misbehave in the middle of a call on request.

Each plugin is a shell script of one process, because tests make thousands of calls. In the ledger
each plugin has a note for an attachment. ADD makes the note, DEL and GC remove it, and CHECK fails
without it. `FaultyExec` puts the fault of a call into the plugin's environment. A call with a name
there writes its exit status to the file `.ends/<name>`, so the status does not depend on what reaps
the plugin. Without that file, a signal ended the plugin, or it replaced itself by exec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni_async.invoke import DefaultExec

VARIABLE = "CNI_ASYNC_FAULT"
# VERSION receives no CNI_PATH, but its processes must be identifiable too.
FOLDER = "CNI_ASYNC_FOLDER"
# An IPv4 address that no other call has: the answer to ADD, and the name of the file in `.ends`.
CALL = "CNI_ASYNC_CALL"
HANG = 600

# The faults of a plugin, each before its work ("early") or after it ("late").
FAULTS: dict[str, str] = {
    "hangs": f"exec sleep {HANG}",
    "ignores SIGTERM": f"trap '' TERM; exec sleep {HANG}",
    "has a child that ignores SIGTERM": f"(trap '' TERM; exec sleep {HANG}) & exec sleep {HANG}",
    "stops itself": f"kill -STOP $$; exec sleep {HANG}",
    "floods stdout": "exec yes",
    "floods stderr": "exec yes >&2",
    "ignores SIGTERM and floods stdout": "trap '' TERM; exec yes",
    "closes stdin": "exec <&-; exit 3",
    "prints nothing": "exit 0",
    "prints garbage": "printf '\\377{garbage'; exit 0",
    "prints half an answer": 'printf \'{"cniVersion":"1.1.0","ips":[{"addr\'; exit 0',
    "fails with half an answer": 'printf \'{"cniVersion":"1.1.0","code":7,"ms\'; exit 1',
    "fails silently": "exit 2",
    "fails with words": 'printf \'{"code":11,"msg":"try again later"}\'; exit 1',
    "is killed": "kill -KILL $$",
    "crashes": "ulimit -c 0; kill -SEGV $$",
    "is terminated": "kill -TERM $$",
}
# Odd behaviour that is not a failure.
ODDITIES: dict[str, str] = {
    "is slow": "sleep 0.2",
    "forks": "sleep 0.5 &",
    "leaves a daemon that holds stdout": "setsid sleep 0.5 &",
}
# The faults that only a deadline, the limit of output or a cancellation ends.
ENDLESS = [name for name, code in FAULTS.items() if "exec sleep" in code or "exec yes" in code]

_SCRIPT = r"""#!/bin/sh
case $0 in */*) here=${0%/*} ;; esac
plugin=${0##*/}

misbehave() {
    case $1 in
@CASES@
    esac
}

case $@CALL@ in ?*) trap 'echo $? >"$here/.ends/$@CALL@"' EXIT ;; esac
case $@VARIABLE@ in early:*) misbehave "${@VARIABLE@#early:}" ;; esac
IFS= read -r request || :
network=${request#*'"name":"'}
network=${network%%'"'*}
note=$here/.ledger/$network+$CNI_CONTAINERID+$CNI_IFNAME+$plugin
case $CNI_COMMAND in
ADD) : >"$note" ;;
DEL) [ ! -e "$note" ] || rm -f "$note" ;;
CHECK)
    if [ ! -e "$note" ]; then
        echo '{"code":100,"msg":"no note"}'
        exit 1
    fi
    ;;
GC)
    for note in "$here/.ledger/$network+"*"+$plugin"; do
        [ -e "$note" ] || continue
        rest=${note#*"$network+"}
        container=${rest%%+*}
        rest=${rest#*+}
        case $request in
        *'{"containerID":"'"$container"'","ifname":"'"${rest%%+*}"'"}'*) ;;
        *) rm -f "$note" ;;
        esac
    done
    ;;
esac
case $@VARIABLE@ in late:*) misbehave "${@VARIABLE@#late:}" ;; esac
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"'"${@CALL@:-10.0.0.1}"'/24"}]}' ;;
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}' ;;
esac
"""


@dataclass(frozen=True, order=True)
class Note:
    """A plugin's note of one attachment."""

    network: str
    container_id: str
    ifname: str
    plugin: str


class FaultyPlugins:
    """A directory of faulty plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ledger = folder / ".ledger"
        self._ledger.mkdir(parents=True)
        self.ends = folder / ".ends"
        self.ends.mkdir()

    @property
    def path(self) -> list[str]:
        """The directories for `CNIConfig`."""
        return [str(self.folder)]

    def install(self, *names: str) -> None:
        """Install plugins of these types."""
        cases = [f"    '{name}') {code} ;;" for name, code in (FAULTS | ODDITIES).items()]
        script = _SCRIPT.replace("@CASES@", "\n".join(cases)).replace("@VARIABLE@", VARIABLE)
        script = script.replace("@CALL@", CALL)
        for name in names:
            path = self.folder / name
            path.write_text(script)
            path.chmod(0o755)

    def notes(self) -> set[Note]:
        """Return the notes in the ledger."""
        return {Note(*path.name.split("+")) for path in self._ledger.iterdir()}


class FaultyExec(DefaultExec):
    """Runs plugins as processes, with faults in their environment."""

    def __init__(self, steer: Callable[[str, str], str], **bounds: Any) -> None:
        """Choose the faults with a function.

        Args:
            steer: returns, for a plugin and a command, one of `FAULTS` or `ODDITIES` after
                "early:" or "late:", or an empty string.
            bounds: the arguments of `RawExec`.
        """
        super().__init__(**bounds)
        self._steer = steer

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        assert environ is not None
        path = Path(plugin_path)
        fault = self._steer(path.name, environ["CNI_COMMAND"])
        more = {VARIABLE: fault, FOLDER: str(path.parent)}
        return await super().exec_plugin(plugin_path, stdin_data, {**environ, **more})

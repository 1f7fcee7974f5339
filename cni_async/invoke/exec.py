"""The `Exec` protocol, which finds and runs plugins, and libcni's own implementation."""

import errno
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol, get_args

import anyio

from cni_async import version
from cni_async.errors import OutputLimitError, PluginError, PluginTimeoutError
from cni_async.version import PluginInfo

from .answer import Answer, read
from .failure import describe_status, exit_error, lost_error, start_error
from .find import find_in_path
from .process import Outcome, run_process
from .start import Spawn
from .stderr import ProcessStderr, Writer, forwarder

DEFAULT_GRACE: Final = 2.0
DEFAULT_MAX_OUTPUT: Final = 16 * 1024 * 1024
# Seconds. libcni tries six times, a second apart. Most writers need a few milliseconds.
_BUSY_BUDGET: Final = 5.0
_BUSY_FIRST_PAUSE: Final = 0.01
_BUSY_LAST_PAUSE: Final = 1.0
_STDERR_TAIL: Final = 64 * 1024


class Exec(Protocol):
    """Runs plugins (invoke.Exec); implement it for tests or to run plugins in containers."""

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Run a plugin and return its stdout.

        Args:
            plugin_path: the plugin's executable.
            stdin_data: the request configuration.
            environ: the plugin's environment; `None` means this process's own.

        Raises:
            PluginError: the plugin could not be started, or failed.
        """
        ...

    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of a plugin's executable.

        Raises:
            PluginNotFoundError: no directory has the plugin.
        """
        ...

    def decode(self, data: bytes) -> PluginInfo:
        """Return the versions that a plugin's answer to VERSION lists.

        Raises:
            VersionError: the answer is malformed.
        """
        ...


class _BusyRetries:
    """Decides whether to retry an executable that is open for writing (ETXTBSY)."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._pause = _BUSY_FIRST_PAUSE

    def allow(self, error: Exception) -> bool:
        """Return whether to retry after an error."""
        if not isinstance(error, OSError) or error.errno != errno.ETXTBSY:
            return False
        now = anyio.current_time()
        self._deadline = self._deadline or now + _BUSY_BUDGET
        return now < self._deadline

    async def pause(self) -> None:
        """Wait before the next attempt, each time for longer."""
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, _BUSY_LAST_PAUSE)


class RawExec:
    """Runs plugins as processes (invoke.RawExec)."""

    def __init__(
        self,
        *,
        stderr: Writer | None = None,
        timeout: float | None = None,
        grace: float = DEFAULT_GRACE,
        max_output: int = DEFAULT_MAX_OUTPUT,
        limiter: anyio.CapacityLimiter | None = None,
        spawn: Spawn | None = None,
    ) -> None:
        """Set the limits of every call.

        Args:
            stderr: receives a plugin's stderr after the plugin has exited. Output that it does not
                take within a second is dropped, and the log reports that.
            timeout: seconds that a plugin may take; `None` means no limit.
            grace: seconds between SIGTERM and SIGKILL when a plugin is ended.
            max_output: bytes that a plugin may write to each of stdout and stderr.
            limiter: limits the plugins that run at once; by default 100 in each event loop.
            spawn: the way to start plugins: "anyio" (`anyio.open_process`) or "posix"
                (`os.posix_spawn`). By default "anyio" on asyncio and trio, "posix" on uvloop.

        Raises:
            ValueError: an argument is out of range.
        """
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be positive, not {timeout}")
        if not grace >= 0:
            raise ValueError(f"grace must not be negative, as {grace} is")
        if not max_output >= 0:
            raise ValueError(f"max_output must not be negative, as {max_output} is")
        if spawn not in (None, *get_args(Spawn)):
            raise ValueError(f'spawn must be "anyio" or "posix", not {spawn!r}')
        self._stderr = None if stderr is None else forwarder(stderr)
        self._timeout = timeout
        self._grace = grace
        self._max_output = max_output
        self._limiter = limiter
        self._spawn: Spawn | None = spawn

    async def exec_plugin(
        self, plugin_path: str, stdin_data: bytes, environ: Mapping[str, str] | None
    ) -> bytes:
        """Run a plugin and return its stdout (RawExec.ExecPlugin).

        A cancellation or a timeout ends the plugin's whole process group. An executable that is
        open for writing (ETXTBSY) is retried for five seconds.

        Raises:
            PluginError: the plugin could not be started, or failed.
            PluginTimeoutError: the plugin took longer than `timeout`.
            OutputLimitError: the plugin printed more than `max_output`.
        """
        busy = _BusyRetries()
        while True:
            try:
                outcome = await run_process(
                    plugin_path,
                    stdin_data,
                    environ,
                    timeout=self._timeout,
                    grace=self._grace,
                    max_output=self._max_output,
                    limiter=self._limiter,
                    spawn=self._spawn,
                )
                break
            except (OSError, ValueError) as error:
                if not busy.allow(error):
                    failure = start_error(plugin_path, error)
                    raise _with_origin(failure, plugin_path, environ) from error
            await busy.pause()
        return await self._answer(outcome, plugin_path, environ)

    async def _answer(
        self, outcome: Outcome, path: str, environ: Mapping[str, str] | None
    ) -> bytes:
        if self._stderr is not None and outcome.stderr:
            await self._stderr.forward(outcome.stderr)
        failure = None if outcome.succeeded else await self._error(outcome)
        if failure is None and not outcome.stderr:
            return outcome.stdout
        stderr = outcome.stderr[-_STDERR_TAIL:].decode("utf-8", "replace")
        if failure is None:
            answer = Answer(outcome.stdout)
            answer.stderr = stderr  # for the error, if the answer cannot be read
            return answer
        failure.stderr = stderr
        raise _with_origin(failure, path, environ)

    async def find_in_path(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of a plugin's executable (RawExec.FindInPath).

        It uses no thread: starting the plugin looks at the same file, too.

        Raises:
            PluginNotFoundError: no directory has the plugin.
        """
        return find_in_path(plugin, paths)

    async def _error(self, outcome: Outcome) -> PluginError:
        how = describe_status(outcome.returncode)
        if outcome.survived:
            how = "it is still running, SIGKILL did not end it"
        elif outcome.lost:
            how = "its exit status is lost"
        if outcome.timed_out:
            error: PluginError = PluginTimeoutError(
                "netplugin failed with no error message: "
                f"timed out after {self._timeout:g} s ({how})",
                retryable=True,
            )
        elif outcome.flooded:
            error = OutputLimitError(
                "netplugin failed with no error message: "
                f"it printed more than {self._max_output} bytes ({how})"
            )
        elif outcome.lost:
            return await read(lost_error, outcome.stdout)
        else:
            explain = partial(exit_error, outcome.returncode, stderr=outcome.stderr)
            return await read(explain, outcome.stdout)
        if outcome.survived or outcome.lost:
            return error
        if outcome.returncode < 0:
            error.signal = -outcome.returncode
        else:
            error.exit_code = outcome.returncode
        return error


class DefaultExec(RawExec):
    """A `RawExec` that also reads plugins' answers to VERSION (invoke.DefaultExec)."""

    def decode(self, data: bytes) -> PluginInfo:
        """Return the versions that a plugin's answer to VERSION lists (version.PluginDecoder).

        Raises:
            VersionError: the answer is malformed.
        """
        return version.decode_plugin_info(data)


def default_exec() -> DefaultExec:
    """Return libcni's default `Exec`: plugins' stderr goes to this process's stderr."""
    return DefaultExec(stderr=ProcessStderr())


def exec_for(
    own: Exec | None,
    *,
    timeout: float | None,
    grace: float | None,
    limiter: anyio.CapacityLimiter | None,
    spawn: Spawn | None,
) -> Exec:
    """Return the caller's own `Exec`, or a default one with these limits (see `RawExec`).

    Raises:
        ValueError: a limit is out of range, or the caller's own `Exec` would ignore it.
    """
    bounds = {"grace": grace, "limiter": limiter, "spawn": spawn}
    ignored = [name for name, value in bounds.items() if value is not None]
    if own is not None and ignored:
        raise ValueError(f"{ignored[0]} has no effect on an exec of your own: give it to that one")
    # Built even if `own` replaces it: `RawExec` checks the values.
    default = DefaultExec(
        stderr=ProcessStderr(),
        timeout=timeout,
        grace=DEFAULT_GRACE if grace is None else grace,
        limiter=limiter,
        spawn=spawn,
    )
    return default if own is None else own


def _with_origin(error: PluginError, path: str, environ: Mapping[str, str] | None) -> PluginError:
    error.plugin = os.path.basename(path)
    error.command = (os.environ if environ is None else environ).get("CNI_COMMAND", "")
    return error

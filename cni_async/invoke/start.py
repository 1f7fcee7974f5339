"""The interface of the two ways to start a plugin: `start_anyio` and `start_posix`."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from .pipes import Pipes

Spawn: TypeAlias = Literal["anyio", "posix"]


class Started(Protocol):
    """A process that has been started, as the event loop sees it."""

    @property
    def pid(self) -> int:
        """The process ID."""
        ...

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negated signal number, once the event loop reports it.

        If trio or asyncio has started the process, reading this may reap it.
        """
        ...

    def may_report(self, *, gone: bool) -> bool:
        """Return whether the event loop may still report how the process ended.

        Args:
            gone: the process has been reaped.
        """
        ...

    def is_trustworthy(self, returncode: int) -> bool:
        """Return whether the event loop knows the exit code, and did not make it up."""
        ...

    def close(self) -> None:
        """Release the event loop's handle of the process."""
        ...


class Start(Protocol):
    """Starts an executable, without arguments, in a session of its own."""

    async def __call__(
        self,
        path: str,
        environ: Mapping[str, str] | None,
        pipes: Pipes,
        *,
        started: Callable[[Started], None],
        begun: Callable[[], None],
    ) -> None:
        """Start the executable.

        Args:
            path: the executable.
            environ: the process's environment; `None` means this process's own.
            pipes: the child's ends become the process's stdin, stdout and stderr.
            started: called as soon as the process exists, even if the start then fails or is
                cancelled; may be called twice. Not called if something else reaped the process
                before it could be watched.
            begun: lets the next start begin; called one turn of the event loop after the process
                was started.

        Raises:
            OSError, ValueError: the process could not be started, or not be watched.
        """
        ...

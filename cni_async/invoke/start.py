"""The interface of the two ways to start a plugin: `start_anyio` and `start_posix`."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from .pipes import Pipes

Spawn: TypeAlias = Literal["anyio", "posix"]


class Started(Protocol):
    """A process that has been started, as the event loop sees it."""

    @property
    def pid(self) -> int:
        """Its process ID."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit code, or its signal's number negated, once the event loop reports it.

        Where trio or asyncio has started the process, reading this may reap it.
        """
        ...

    def may_report(self, *, gone: bool) -> bool:
        """Return whether the event loop may still report how the process ended.

        Args:
            gone: the process has been reaped.
        """
        ...

    def is_trustworthy(self, returncode: int) -> bool:
        """Tell whether the event loop knows the exit code, and did not make it up."""
        ...

    def close(self) -> None:
        """Let go of what the event loop has of the process."""
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
        """Start it.

        Args:
            path: the executable.
            environ: its environment; None for this process's own.
            pipes: the child's ends become its stdin, stdout and stderr.
            started: is called as soon as the process exists, even if the start then fails or is
                cancelled; it may be called twice. It is not called if the process was reaped
                before anything about it could be known.
            begun: lets the next start begin; is called a turn of the event loop after the process
                was started.

        Raises:
            OSError, ValueError: it could not be started, or not be looked after.
        """
        ...

"""How a coroutine function becomes a command of `cni-async`."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias

import click

from cni_async import CNIConfig

from .answer import Answer
from .options import Given
from .run import PluginStderr, run

Work: TypeAlias = Callable[[Given, CNIConfig], Awaitable[Answer]]
Left: TypeAlias = Callable[[Given, CNIConfig, Exception | None], Awaitable[str]]


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cni-async", message="%(prog)s %(version)s")
def cli() -> None:
    """Attach network namespaces to networks with CNI plugins, as Go's cnitool does.

    Arguments, environment and container IDs are those of cnitool: what one adds, the other
    deletes. On a terminal results are formatted for people; elsewhere they are JSON.
    """


def command(
    name: str,
    *parameters: click.Parameter,
    group: click.Group = cli,
    left: Left | None = None,
) -> Callable[[Work], Work]:
    """Make a coroutine function a command; its docstring is the help.

    Args:
        name: the command's name.
        parameters: the command's arguments and options.
        group: the group of commands that it belongs to.
        left: called after a failure; returns a text on what is left of the command's work.
    """

    def register(work: Work) -> Work:
        def callback(**values: Any) -> None:
            given = Given(**values)
            if given.backend == "trio" and find_spec("trio") is None:
                raise click.UsageError("trio is not installed: pip install 'cni-async[trio]'")
            stderr = PluginStderr()
            cni = given.cni(stderr)
            waiting = f"still ending the plugin, for up to {given.grace:g} s"
            if left is not None:
                bound = given.cleanup_timeout + 2 * given.grace
                waiting = f"still taking back what was added, for up to {bound:g} s"
            run(
                partial(work, given, cni),
                stderr,
                given.backend,
                json=given.json,
                left=None if left is None else partial(left, given, cni),
                waiting=waiting,
            )

        text = inspect.getdoc(work)
        group.add_command(click.Command(name, callback=callback, params=[*parameters], help=text))
        return work

    return register

"""The network namespace of a sandbox, before its first plugin runs."""

from __future__ import annotations

from cni_async.invoke import Exec, RawExec
from cni_async.netns import NetNSError, kernel
from cni_async.netns.namespace import at, in_own_thread, in_words


async def prepare_namespace(path: str, exec: Exec, *, loopback: bool) -> None:
    """Check a sandbox's namespace, and enable its loopback interface.

    An `Exec` of the caller's own may run plugins where other files are, so nothing is done then.

    Raises:
        NetNSError: the path leads to no network namespace, or to this process's own.
    """
    if isinstance(exec, RawExec):
        # The path may be in a file system that never answers: a cancelled caller does not wait.
        await in_own_thread(lambda: _prepare(path, loopback=loopback), abandon_on_cancel=True)


def _prepare(path: str, *, loopback: bool) -> None:
    ns = at(path)
    if ns.inode == kernel.identity(kernel.OWN):
        # Plugins would move the host's interfaces and replace its routes.
        raise NetNSError(f"{path} is this process's own network namespace", path=path)
    if loopback:
        with in_words(f"cannot enable the loopback interface of {path}", path):
            kernel.enter(path)
            kernel.set_loopback_up()

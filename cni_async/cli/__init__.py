"""The command ``cni-async``: cnitool's commands and some more, for people and for scripts."""

import sys
from importlib import import_module
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command; without the extra ``cli``, print how to install it."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        print(f"cni-async needs {names}: pip install 'cni-async[cli]'", file=sys.stderr)
        sys.exit(2)
    for module in ("commands", "namespaces"):  # they register their commands
        import_module(f".{module}", __name__)
    from .group import cli

    cli(prog_name="cni-async")

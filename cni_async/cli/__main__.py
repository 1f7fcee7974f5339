"""``python -m cni_async.cli``: the command, where no script is installed for it."""

from . import main

main()

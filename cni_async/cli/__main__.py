"""``python -m cni_async.cli``: the command, where its script is not installed."""

from . import main

main()

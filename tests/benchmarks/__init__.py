"""Go's libcni and cni_async, measured side by side: ``python -m tests.benchmarks --help``."""

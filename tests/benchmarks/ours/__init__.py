"""The measurements of `tests/benchmarks/go` with cni_async in place of libcni."""

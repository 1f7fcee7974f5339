"""The measurements of the Go program in `tests/benchmarks/go`, made with cni_async."""

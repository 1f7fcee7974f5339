"""What the Go program of `tests/benchmarks/go` does with libcni, done with cni_async."""

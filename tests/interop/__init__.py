"""Comparison of the answers of Go's libcni and of cni_async to the same questions."""

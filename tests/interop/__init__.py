"""The same questions for Go's libcni and for cni_async, and their answers compared."""

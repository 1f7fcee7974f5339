"""End to end: the public API, the reference plugins, real network namespaces."""

"""The operations on networks: the order of their steps."""

"""The operations of `CNIConfig`."""

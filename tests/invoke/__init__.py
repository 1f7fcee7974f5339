"""Plugins as processes."""

"""Shields and concurrency."""

"""Data types: networks, attachments and runtime configurations."""

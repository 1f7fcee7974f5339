"""How Go sees the world: its JSON and its quotation marks."""

"""JSON and quoted text as Go reads and writes them."""

"""Go's JSON and quoting."""

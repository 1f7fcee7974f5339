"""Go's JSON and quotation marks."""

"""Results of every version, and the other types of the specification."""

"""Results of every version, and what else the specification has types for."""

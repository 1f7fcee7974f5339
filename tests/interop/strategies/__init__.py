"""The questions that hypothesis asks: a strategy for each kind."""

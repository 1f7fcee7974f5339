"""What hypothesis asks: a strategy for each kind of question."""

"""What CNIConfig does."""

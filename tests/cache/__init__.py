"""Where attachments are remembered."""

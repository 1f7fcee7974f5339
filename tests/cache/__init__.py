"""The cache of attachments."""

"""What things are: networks, attachments, the runtime's side. Data only."""

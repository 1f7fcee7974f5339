"""Programs that tests run as separate processes, to interrupt, kill or limit them."""

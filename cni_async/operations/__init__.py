"""What happens, in order, when a network is asked for something."""

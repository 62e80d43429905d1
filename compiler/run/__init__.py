"""What happens at each call."""

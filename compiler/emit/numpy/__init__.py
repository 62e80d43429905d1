"""Source on NumPy."""

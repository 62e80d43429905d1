"""From a function to a program."""

"""From a program to source that runs."""

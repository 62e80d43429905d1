"""Source for numba."""

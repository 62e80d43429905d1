"""Source on CuPy, and CUDA graphs."""

"""Where BLAS's products are faster than our kernels: a table that `python -m benchmarks.products table` prints.

A product is left to BLAS where our kernels reach less than LEAST of its speed: each call of BLAS leaves the compiled
part of a step, and its sums need not have the same bits on any number of threads. Where nothing was measured our
kernels are taken, except on Apple's processors, which have a unit for matrices that only BLAS reaches.
"""

import sys

# Our speed as a part of BLAS's on one core: the least of the products with up to so many operations.
# (bits of a vector, dtype) -> (operations, ratio), …; AMD EPYC (Zen 3) with OpenBLAS 0.3.31, 2026-11-25.
RATIOS = {
    (256, "float32"): ((1e5, 23.41), (1e6, 1.24), (1e7, 1.01), (1e8, 0.98), (1e9, 1.01), (1e11, 0.91)),
    (256, "float64"): ((1e5, 12.81), (1e6, 1.06), (1e7, 1.00), (1e8, 1.03), (1e9, 1.04), (1e11, 0.93)),
}
LEAST = 0.8
APPLE_LARGE = 10**6  # operations; not measured


def best(operations: int, dtype: str, bits: int) -> str:
    """Which computes a product of so many operations on one core, "own" or "blas"."""
    if sys.platform == "darwin" and bits == 128 and operations >= APPLE_LARGE:
        return "blas"
    for most, ratio in RATIOS.get((bits, dtype), ()):
        if operations <= most:
            return "own" if ratio >= LEAST else "blas"
    return "own"

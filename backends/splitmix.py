"""Random numbers that are the same on every backend: number i of a draw is a hash of the draw's key and i.

The hash is SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
The highest of its 64 bits are taken, as many as the dtype holds exactly: 11 (float16), 24 (float32), 53 (float64).
"""

from math import prod

import numpy as np

from tapegrad.backends.aliases import DType

GAMMA, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def scramble(z: int) -> int:
    """The hash of one number of 64 bits."""
    z = (z + GAMMA) % 2**64
    z = (z ^ z >> 30) * FIRST % 2**64
    z = (z ^ z >> 27) * SECOND % 2**64
    return z ^ z >> 31


def key_of(seed: int, draw: int) -> int:
    """The key of a draw: of the stream's seed and the draw's number in it."""
    return scramble(seed ^ scramble(draw))


def bits_of(dtype: DType) -> int:
    """How many bits of a number in [0, 1) a dtype holds exactly."""
    return int(np.finfo(dtype).nmant) + 1


def uniform(shape: tuple[int, ...], dtype: DType, seed: int, draw: int) -> np.ndarray:
    """Numbers in [0, 1) as a NumPy array. uint64 wraps around, without a warning in arrays."""
    z = np.arange(1, prod(shape) + 1, dtype=np.uint64)
    z *= np.uint64(GAMMA)
    z += np.uint64(key_of(seed, draw))
    mixed = np.empty_like(z)
    for shift, factor in ((30, FIRST), (27, SECOND), (31, 1)):
        np.right_shift(z, np.uint64(shift), out=mixed)
        z ^= mixed
        z *= np.uint64(factor)
    bits = bits_of(dtype)
    z >>= np.uint64(64 - bits)
    numbers = z.astype(dtype)
    numbers *= numbers.dtype.type(2.0**-bits)
    return numbers.reshape(shape)

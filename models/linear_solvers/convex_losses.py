"""Losses of linear models with their first and second derivatives, on NumPy arrays.

Of scores z (rows, outputs) and targets y each gives:  value, one number for each row;  slope, d value / d z;  curve,
what `curved` multiplies a change of z with;  depth, of a row's value, what its second-order model is at most below it,
slope² / (2 curvature).
"""

from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]
LARGE = 600.0  # exp of more is beyond float64


class Elementwise:
    """A loss of one output, whose curvature is one number for each row."""

    def curved(self, curve: np.ndarray, v: np.ndarray) -> np.ndarray:
        return curve * v

    def blocks(self, curve: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
        """(output, output, the second derivative of each row)."""
        return [(0, 0, curve[:, 0])]

    def depth(self, value: np.ndarray) -> np.ndarray:
        return value


class Logistic(Elementwise):
    """ln(1 + exp(z)) - y z, y of 0 and 1."""

    def value_and_slope(self, z: np.ndarray, y: np.ndarray) -> Arrays:
        small = np.exp(-np.abs(z))
        value = np.log1p(small) + np.maximum(z, 0.0) - y * z
        return value[:, 0], np.where(z >= 0, 1.0, small) / (1.0 + small) - y

    def curve(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(z))
        return small / (1.0 + small) ** 2

    def depth(self, value: np.ndarray) -> np.ndarray:
        return 0.5 * np.expm1(np.minimum(value, LARGE))


class SquaredHinge(Elementwise):
    """max(0, 1 - y z)², y of -1 and 1."""

    def value_and_slope(self, z: np.ndarray, y: np.ndarray) -> Arrays:
        short = np.maximum(1.0 - y * z, 0.0)
        return (short * short)[:, 0], -2.0 * y * short

    def curve(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2.0 * (y * z < 1.0)


class SquaredEpsilon(Elementwise):
    """max(0, |z - y| - epsilon)²."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def value_and_slope(self, z: np.ndarray, y: np.ndarray) -> Arrays:
        error = z - y
        beyond = np.maximum(np.abs(error) - self.epsilon, 0.0)
        return (beyond * beyond)[:, 0], 2.0 * np.sign(error) * beyond

    def curve(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2.0 * (np.abs(z - y) > self.epsilon)


class SquaredError(Elementwise):
    """(z - y)² / 2."""

    def value_and_slope(self, z: np.ndarray, y: np.ndarray) -> Arrays:
        error = z - y
        return 0.5 * (error * error)[:, 0], error

    def curve(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.ones_like(z)


class Multinomial:
    """-ln softmax(z)[y], y of class numbers."""

    def value_and_slope(self, z: np.ndarray, y: np.ndarray) -> Arrays:
        shifted = z - z.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(axis=1, keepdims=True)
        rows = np.arange(len(z))
        value = np.log(total[:, 0]) - shifted[rows, y]
        p /= total
        p[rows, y] -= 1.0
        return value, p

    def curve(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def curved(self, p: np.ndarray, v: np.ndarray) -> np.ndarray:
        return p * (v - (p * v).sum(axis=1, keepdims=True))

    def blocks(self, p: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
        classes = range(p.shape[1])
        return [(k, l, p[:, k] * ((k == l) - p[:, l])) for k in classes for l in classes if l >= k]

    def depth(self, value: np.ndarray) -> np.ndarray:
        return 0.5 * np.expm1(np.minimum(value, LARGE))


Loss: Any = Elementwise | Multinomial

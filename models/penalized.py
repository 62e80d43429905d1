"""Least squares with penalties on columns of any size and however alike: in units in which every column is of size 1,
and from a triangle of the rows, since the products of the columns with each other lose half of the digits."""

import numpy as np

from tapegrad.data.aliases import Features
from tapegrad.models.quadratic import l1_quadratic

ROUNDS = 4


def ridge(x: np.ndarray, y: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The coef with the smallest  |x coef - y|² + alpha |coef|², for each column of y and its alpha."""
    if x.shape[1] > len(x):  # the best coef is a sum of rows: find it in an orthonormal basis of theirs
        basis, square = np.linalg.qr(x.T)
        return np.asarray(basis @ ridge(square.T, y, alpha))
    rows, target, scale = triangle(x, y)
    found = []
    for k in range(y.shape[1]):
        both = np.vstack([rows, np.diag(np.sqrt(alpha[k]) / scale)])
        wanted = np.append(target[:, k], np.zeros(len(scale)))
        size = np.sqrt((both * both).sum(axis=0))
        size[size == 0] = 1.0
        found.append(np.linalg.lstsq(both / size, wanted, rcond=None)[0] / size / scale)
    return np.stack(found, axis=1)


def elastic_net(x: np.ndarray, y: np.ndarray, l1: float, l2: float, positive: bool) -> np.ndarray:
    """The coef with the smallest  |x coef - y|² / 2 + l1 Σ |coef| + l2 |coef|² / 2, for each column of y."""
    rows, target, scale = triangle(x, y)
    if l2:
        rows = np.vstack([rows, np.diag(np.sqrt(l2) / scale)])
        target = np.vstack([target, np.zeros((len(scale), y.shape[1]))])
    h, strength = rows.T @ rows, l1 / scale
    found = []
    for k in range(y.shape[1]):
        best = w = np.zeros(len(scale))
        lowest = np.inf
        # Each round has the digits that the one before lost.
        for _ in range(ROUNDS):
            left = target[:, k] - rows @ w
            value = 0.5 * float(left @ left) + float(strength @ np.abs(w))
            if not value < lowest * (1 - 1e-9):
                break
            best, lowest = w, value
            w = l1_quadratic(h, rows.T @ left + h @ w, strength, w, positive)
        found.append(best / scale)
    return np.stack(found, axis=1)


def triangle(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, target, scale): rows with columns of size 1, and of no more rows than needed for the same products."""
    scale = np.sqrt((x * x).sum(axis=0))
    scale[scale == 0] = 1.0
    rows, target = x / scale, y
    if len(rows) > x.shape[1] + y.shape[1]:
        rows, target = np.split(np.linalg.qr(np.hstack([rows, y]), mode="r"), [x.shape[1]], axis=1)
    return rows, target, scale


def duality_gap(
    x: Features, y: np.ndarray, s: np.ndarray, coef: np.ndarray, l1: float, l2: float, positive: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(by how much the objective  Σ s (x coef + bias - y)² / 2 + l1 Σ |coef| + l2 |coef|² / 2  is at most above its
    minimum, the objective), for each column of y - bias, with an x that is centred where the bias is free."""
    residual = y - x @ coef
    pull = x.T @ (s[:, None] * residual)
    squares, across = s @ residual**2, s @ (residual * y)
    size, square = l1 * np.abs(coef).sum(axis=0), l2 * (coef**2).sum(axis=0)
    # The dual objective at the residuals, scaled until they are allowed there.
    slope = pull - l2 * coef
    allowed = np.minimum(1.0, l1 / np.maximum((slope if positive else np.abs(slope)).max(axis=0), 1e-300))
    gap = 0.5 * (1 + allowed**2) * (squares + square) + size - allowed * across
    if l2:  # all residuals are allowed, at a price
        beyond = np.maximum((pull if positive else np.abs(pull)) - l1, 0.0)
        gap = np.minimum(gap, squares - across + size + 0.5 * square + (beyond**2).sum(axis=0) / (2 * l2))
    return np.maximum(gap, 0.0), 0.5 * (squares + square) + size

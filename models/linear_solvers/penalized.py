"""Least squares with penalties on columns of any size and however alike: in units in which every column is of size 1,
and from a triangle of the rows, since the products of the columns with each other lose half of the digits."""

import numpy as np

from tapegrad.data.aliases import Features
from tapegrad.models.linear_solvers.quadratic import Rows, finished, l1_quadratic, loses_digits, solver_of

ROUNDS = 4
MOVES = 200  # of the last unknowns to reach or leave 0
ROUNDING = 1e-15  # of a sum of products: what float64 loses, some times its precision


def weighted(x: np.ndarray, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets whose squares are those of x and y times s."""
    if (s == 1).all():
        return x, y
    root = np.sqrt(s)[:, None]
    return root * x, root * y


def ridge(x: np.ndarray, y: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, str]:
    """(the coef with the smallest  |x coef - y|² + alpha |coef|², for each column of y and its alpha; how it was found,
    in scikit-learn's words)."""
    if x.shape[1] > len(x):  # the best coef is a sum of rows: find it in an orthonormal basis of theirs
        basis, square = np.linalg.qr(x.T)
        coef, solver = ridge(square.T, y, alpha)
        return np.asarray(basis @ coef), solver
    if (alpha == alpha[0]).all() and (found := by_products(x, y, alpha[0])) is not None:
        return found, "cholesky"
    return by_rows(x, y, alpha), "svd"


def by_rows(x: np.ndarray, y: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The coef of `ridge`, of columns nearly alike, too."""
    rows, target, scale = triangle(x, y)
    found = []
    for k in range(y.shape[1]):
        both = np.vstack([rows, np.diag(np.sqrt(alpha[k]) / scale)])
        wanted = np.append(target[:, k], np.zeros(len(scale)))
        size = np.sqrt((both * both).sum(axis=0))
        size[size == 0] = 1.0
        found.append(np.linalg.lstsq(both / size, wanted, rcond=None)[0] / size / scale)
    return np.stack(found, axis=1)


def by_products(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray | None:
    """The coef of `ridge` by Cholesky's method, a quarter of the work; None where that loses half of the digits."""
    h = x.T @ x
    h[np.diag_indices_from(h)] += alpha
    solve = solver_of(h, 1e-9, singular=False)
    if solve is None:
        return None
    coef = solve(x.T @ y)
    # What the first solution lost to rounding.
    return np.asarray(coef + solve(x.T @ (y - x @ coef) - alpha * coef))


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
        lowest, depth = np.inf, 0.5 * float(target[:, k] @ target[:, k])
        # Each round has the digits that the one before lost.
        for _ in range(ROUNDS):
            left = target[:, k] - rows @ w
            value = 0.5 * float(left @ left) + float(strength @ np.abs(w))
            if not value < lowest * (1 - 1e-9):
                break
            best, lowest = w, value
            w = l1_quadratic(h, rows.T @ left + h @ w, strength, w, depth, positive)
        if loses_digits(h):
            w = finished(Rows(rows, target[:, k]), strength, best, positive, MOVES, False)[0]
            left = target[:, k] - rows @ w
            if 0.5 * float(left @ left) + float(strength @ np.abs(w)) < lowest:
                best = w
        found.append(best / scale)
    return np.stack(found, axis=1)


def triangle(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, target, scale): rows with columns of size 1, and of no more rows than needed for the same products."""
    scale = np.sqrt((x * x).sum(axis=0))
    scale[scale == 0] = 1.0
    rows, target = x / scale, y
    if len(rows) > x.shape[1] + y.shape[1]:
        from scipy.linalg import solve_triangular

        h = rows.T @ rows
        if (np.diag(h) > 0).all() and solver_of(h, 1e-4, singular=False) is not None:
            r = np.linalg.cholesky(h, upper=True)
            return r, solve_triangular(r, rows.T @ y, trans="T"), scale
        rows, target = np.split(np.linalg.qr(np.hstack([rows, y]), mode="r"), [x.shape[1]], axis=1)
    return rows, target, scale


def duality_gap(
    x: Features,
    y: np.ndarray,
    s: np.ndarray,
    coef: np.ndarray,
    l1: float,
    l2: float,
    positive: bool,
    rounding: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """(by how much the objective  Σ s (x coef + bias - y)² / 2 + l1 Σ |coef| + l2 |coef|² / 2  is at most above its
    minimum, the objective), for each column of y - bias, with an x that is centred where the bias is free. The pull of
    a column may be above its penalty by `rounding`."""
    residual = y - x @ coef
    pull = x.T @ (s[:, None] * residual)
    squares, across = s @ residual**2, s @ (residual * y)
    size, square = l1 * np.abs(coef).sum(axis=0), l2 * (coef**2).sum(axis=0)
    # The dual objective at the residuals, scaled until they are allowed there.
    slope = pull - l2 * coef
    most = ((slope if positive else np.abs(slope)) - rounding).max(axis=0)
    allowed = np.minimum(1.0, l1 / np.maximum(most, 1e-300))
    gap = 0.5 * (1 + allowed**2) * (squares + square) + size - allowed * across
    if l2:  # all residuals are allowed, at a price
        beyond = np.maximum((pull if positive else np.abs(pull)) - l1, 0.0)
        gap = np.minimum(gap, squares - across + size + 0.5 * square + (beyond**2).sum(axis=0) / (2 * l2))
    gap -= (rounding * np.abs(coef)).sum(axis=0)
    return np.maximum(gap, 0.0), 0.5 * (squares + square) + size


def pull_rounding(x: Features, y: np.ndarray, s: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """What the pull of each column, xᵀ (s (y - x coef)), loses to rounding: no solution in float64 shows that it is
    nearer than that to a weak penalty."""
    sizes = abs(x)
    return np.asarray(ROUNDING * (sizes.T @ (s[:, None] * (sizes @ np.abs(coef) + np.abs(y)))))

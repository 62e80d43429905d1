"""Least squares on sparse rows: of all solutions that fit equally, the shortest, as `numpy.linalg.lstsq` takes it."""

from typing import Any

import numpy as np

from tapegrad.data.aliases import Features

WORK = 1e11  # multiplications up to which the rows are decomposed, some seconds; beyond, steps of LSQR
BLOCK = 1 << 22  # numbers of dense rows at a time
FEW = 300  # steps of LSQR that are tried first: of columns that are not alike they are enough
SURE, NEAR = 1e-8, 1e-2  # of the coefs: errors allowed after these, and after as many as are needed
EXACT = 1e-13  # of the norms of x and y: where LSQR stops


def shortest_solution(
    x: Features, y: np.ndarray, s: np.ndarray, intercept: bool
) -> tuple[np.ndarray, np.ndarray, bool]:
    """(coef, intercepts, whether they are found to the end) with the smallest Σ s · |x coef + intercepts - y|²."""
    rows, columns = x.shape
    x_mean, y_mean = np.zeros(columns), np.zeros(y.shape[1])
    if intercept:
        x_mean, y_mean = np.asarray(x.T @ s).ravel() / s.sum(), s @ y / s.sum()
    root, y = np.sqrt(s), np.sqrt(s)[:, None] * (y - y_mean)
    coef, found = by_steps(x, y, root, x_mean, FEW, SURE)
    if not found:
        if float(rows) * columns * min(rows, columns) <= WORK:
            coef, found = by_decomposition(x, y, root, x_mean), True
        else:
            coef, found = by_steps(x, y, root, x_mean, 20 * min(x.shape) + 1000, NEAR)
    return coef, y_mean - x_mean @ coef, found


def by_decomposition(x: Features, y: np.ndarray, root: np.ndarray, x_mean: np.ndarray) -> np.ndarray:
    """Through the triangle R of x = Q R, made block by block of dense rows: it has the singular values of x."""
    columns = x.shape[1]
    size = max(BLOCK // max(columns, 1), 2 * columns)
    r, b = np.zeros((0, columns)), np.zeros((0, y.shape[1]))
    for start in range(0, x.shape[0], size):
        part = slice(start, start + size)
        r = np.vstack([r, root[part, None] * (x[part].toarray() - x_mean)])
        b = np.vstack([b, y[part]])
        if len(r) > 2 * columns:
            q, r = np.linalg.qr(r)
            b = q.T @ b
    return np.asarray(np.linalg.lstsq(r, b, rcond=taken_as_0(r, max(x.shape), x_mean, root))[0])


def taken_as_0(x: np.ndarray, longest: int, x_mean: np.ndarray, root: np.ndarray) -> float:
    """Up to which share of the largest singular value one is 0 but for rounding: that of the numbers of x, and that of
    the columns' means, which were subtracted. longest: of x's own lengths; root: the roots of the rows' weights."""
    apart, means = np.linalg.norm(x), np.linalg.norm(x_mean) * np.linalg.norm(root)
    return float(np.finfo(np.float64).eps * longest * (1.0 + means / (apart or 1.0)))


def by_steps(
    x: Features, y: np.ndarray, root: np.ndarray, x_mean: np.ndarray, limit: int, near: float
) -> tuple[np.ndarray, bool]:
    """By LSQR, whose steps from 0 on stay in the span of the rows, where the shortest solution is: (coef, whether it is
    found after at most so many steps, within `near` of its size)."""
    from scipy.sparse.linalg import LinearOperator, lsqr

    def centred(v: Any) -> Any:
        return root * (x @ v.ravel() - x_mean @ v.ravel())

    def transposed(v: Any) -> Any:
        weighted = root * v.ravel()
        return x.T @ weighted - x_mean * weighted.sum()

    operator = LinearOperator(x.shape, matvec=centred, rmatvec=transposed, dtype=np.float64)
    found = [
        lsqr(operator, y[:, k], atol=EXACT, btol=EXACT, conlim=0.0, iter_lim=limit) for k in range(y.shape[1])
    ]
    # [1] is 7 where the limit ended it, and [6] the condition number, which multiplies the error.
    exact = all(each[1] != 7 and EXACT * each[6] < near for each in found)
    return np.stack([each[0] for each in found], axis=1), exact

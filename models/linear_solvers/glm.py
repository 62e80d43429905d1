"""Linear models with a smooth convex loss, fitted to the end on the host: Newton's method with the Hessian of a sample
of the rows where there are many, conjugate gradients where there are many columns.

Everything takes and returns NumPy arrays in float64; x may be a SciPy sparse matrix.
"""

from typing import Any

import numpy as np

from tapegrad.data.aliases import Features
from tapegrad.models.linear_solvers.convex import Fit, conjugate_gradients
from tapegrad.models.linear_solvers.convex_losses import Loss as ConvexLoss
from tapegrad.models.linear_solvers.objective import LinearObjective
from tapegrad.models.linear_solvers.penalized import by_rows
from tapegrad.models.linear_solvers.proximal import proximal
from tapegrad.models.linear_solvers.quadratic import loses_digits, solve_symmetric, solver_of
from tapegrad.models.linear_solvers.weighted import check_squares, with_weight

EXPLICIT = 1200  # unknowns up to which the Hessian is made
NEAR = 1e-4  # of the objective: what a step may still promise where float64 comes no nearer
MANY = 1 << 22  # numbers of x from which on it is not copied


def newton(
    f: LinearObjective, w: np.ndarray, tol: float, max_iter: int, h: Any = None
) -> tuple[Any, list[float], bool, Any]:
    """(w, the values, whether it converged, the last Hessian). `h` is a Hessian to begin with; another one is made when
    it does not bring the gradient down. Where there are many unknowns, steps come from conjugate gradients; where the
    Hessian cannot tell columns apart, the last ones from the rows."""
    value, g = f.value_and_gradient(w)
    values, explicit, from_rows = [value], w.size <= EXPLICIT, False
    keep = h is not None
    for _ in range(max_iter):
        size = abs(g).max()
        if size == 0:
            return w, values, True, h
        if from_rows:
            step, slope = step_of_rows(f, w)
        elif explicit:
            h = h if keep else f.hessian(w)
            step = solve_symmetric(h, -g.ravel()).reshape(w.shape)
            slope = float((g * step).sum())
        else:
            step = conjugate_gradients(f.curvature(w), -g)
            slope = float((g * step).sum())
        ended = done(g, slope, value, tol)
        found = None if ended else line_search(f, w, step, value, slope)
        if found is not None and (found[1] < value or abs(found[2]).max() <= 0.5 * size):
            w, value, g = found
            values.append(value)
            keep = keep and abs(g).max() < 0.5 * size
        elif keep and not ended:
            # The Hessian of another place, or of a part of the rows, was not good enough.
            keep = False
        elif explicit and not from_rows and alike(f, h):
            from_rows = True
        else:  # at the minimum, as near as float64 comes, or not near enough
            near = size <= max(1e3 * tol, 1e-8) and -slope <= NEAR * abs(value)
            return w, values, ended or near, h
    return w, values, bool(abs(g).max() <= tol), h


def alike(f: LinearObjective, h: np.ndarray) -> bool:
    """Whether a Hessian has lost half of its digits, and there are rows of one output to go back to."""
    return f.outputs == 1 and not hasattr(f.x, "toarray") and loses_digits(h)


def step_of_rows(f: LinearObjective, w: np.ndarray) -> tuple[np.ndarray, float]:
    """(Newton's step, the slope along it) by least squares."""
    rows, targets = f.as_least_squares(w)
    step = by_rows(rows, targets[:, None], np.zeros(1))
    return step, -float(((rows @ step) ** 2).sum())


def line_search(f: LinearObjective, w: np.ndarray, step: np.ndarray, value: float, slope: float) -> Any:
    """(new w, its value and gradient) after the step, halved until it lowers f enough; None if it does not."""
    size = 1.0
    while size > 1e-10:
        new = w + size * step
        reached, g = f.value_and_gradient(new)
        if reached <= value + 1e-4 * size * slope and slope < 0:
            return new, reached, g
        size /= 2
    return None


def fit_glm(
    x: Features,
    y: np.ndarray,
    loss: ConvexLoss,
    *,
    outputs: int = 1,
    l2: float,
    l1: float = 0.0,
    weights: np.ndarray | None = None,
    intercept: bool = True,
    tol: float = 1e-4,
    max_iter: int = 100,
    start: np.ndarray | None = None,
) -> Fit:
    """The coef and intercept that minimize  Σ weight · loss / Σ weight + l2/2 Σ coef² + l1 Σ |coef|.

    y       (rows,) class numbers of Multinomial, else (rows, 1)
    start   (features + 1, outputs): where to begin
    """
    weights, x, y = with_weight(weights, x, y)
    if not l1 and x.shape[0] < min(x.shape[1], EXPLICIT) and not hasattr(x, "toarray"):
        # The best coefs are sums of rows: find them in an orthonormal basis of these.
        basis, square = np.linalg.qr(x.T)
        if start is not None:
            start = np.vstack([basis.T @ start[:-1], start[-1:]])
        fit = fit_glm(
            square.T, y, loss, outputs=outputs, l2=l2, weights=weights, intercept=intercept, tol=tol, max_iter=max_iter,
            start=start,
        )  # fmt: skip
        return fit._replace(coef=basis @ fit.coef)
    s = np.ones(x.shape[0]) if weights is None else np.asarray(weights, np.float64)
    s = s / s.sum()
    inputs, mean, scale = scaled(x, s, l2, intercept)
    penalty, strength = np.append(l2 / scale**2, 0.0), np.append(l1 / scale, 0.0)
    f = LinearObjective(inputs, y, s, loss, outputs, penalty, intercept, (penalty == 0) & (strength == 0))
    w = np.zeros((x.shape[1] + 1, outputs))
    if start is not None:
        w[:-1] = start[:-1] * scale[:, None]
        w[-1] = (start[-1] + mean @ start[:-1]) if intercept else 0.0
    if l1:
        w, values, converged = proximal(f, w, strength, 1e-2 * tol, max_iter)
    elif inputs is x and w.size <= EXPLICIT and not hasattr(x, "toarray"):
        w, values, converged = sampled(f, w, tol, max_iter)
    else:
        w, values, converged, _ = newton(f, w, tol, max_iter)
    if outputs > 1 and not (l1 or l2):
        w = w - w.mean(axis=1, keepdims=True)
    elif outputs > 1:  # all classes alike: of no effect, and not penalized
        w[-1] -= w[-1].mean()
    coef = w[:-1] / scale[:, None]
    bias = w[-1] - mean @ coef if intercept else np.zeros(outputs)
    return Fit(coef, bias, values, converged)


def sampled(
    f: LinearObjective, w: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """Newton's method on a part of the rows, and from there on quasi-Newton steps on all of them, which begin with the
    Hessian of a part. Where that does not converge soon, as on ill-conditioned columns, Newton's method on all."""
    rows = f.x.shape[0]
    if rows // 8 < 20 * w.size:
        return newton(f, w, tol, max_iter)[:3]
    w = newton(f.every(rows // (20 * w.size)), w, 1e-2, 20)[0]
    part = f.every(8)
    h = part.hessian(w)
    w = newton(part, w, 1e-3, 2, h)[0]
    w, values, converged = quasi_newton(f, w, h, tol, min(max_iter, 12))
    if converged or max_iter <= 12:
        return w, values, converged
    w, more, converged, _ = newton(f, w, tol, max_iter - 12)
    return w, values + more[1:], converged


def quasi_newton(
    f: LinearObjective, w: np.ndarray, h: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """L-BFGS steps with a Hessian to begin with (J. Nocedal 1980)."""
    solve = solver_of(h)
    value, g = f.value_and_gradient(w)
    values = [value]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(max_iter):
        q, used = -g.ravel(), []
        for change, difference in reversed(pairs):
            used.append(change @ q / (change @ difference))
            q = q - used[-1] * difference
        q = solve(q)
        for (change, difference), a in zip(pairs, reversed(used)):
            q = q + (a - difference @ q / (change @ difference)) * change
        step = q.reshape(w.shape)
        slope = float((g * step).sum())
        if done(g, slope, value, tol):
            return w, values, True
        found = line_search(f, w, step, value, slope)
        if found is None:
            return w, values, False
        pairs.append(((found[0] - w).ravel(), (found[2] - g).ravel()))
        w, value, g = found
        values.append(value)
    return w, values, False


def done(g: np.ndarray, slope: float, value: float, tol: float) -> bool:
    """Whether the gradient is within tol, and a step would gain next to nothing."""
    return bool(abs(g).max() <= tol) and -slope <= 2e-9 * abs(value)


def scaled(x: Features, s: np.ndarray, l2: float, intercept: bool) -> tuple[Features, np.ndarray, np.ndarray]:
    """(x, mean, scale): x with columns of mean 0 and size 1, so that the objective curves about equally in every
    direction. Of a sparse x, columns with zeros are not shifted; many dense rows of harmless size stay as they are."""
    columns = x.shape[1]
    zero, one = np.zeros(columns), np.ones(columns)
    if hasattr(x, "toarray"):
        x, mean = centred_where_full(x, s) if intercept else (x, zero)
        scale = np.sqrt(np.asarray(x.multiply(x).T @ s).ravel() + 4 * l2)
        scale[scale == 0] = 1.0
        from scipy.sparse import diags

        return (x @ diags(1.0 / scale)).tocsr(), mean, scale
    if x.size >= MANY:
        part = x[:: max(1, len(x) // 1000)]
        mean, spread = np.abs(part.mean(axis=0)), part.std(axis=0)
        if (spread > 1e-3 * mean).all() and spread.max() < 1e3 * spread.min():
            return x, zero, one
    mean = s @ x if intercept else zero
    with np.errstate(over="ignore"):
        scale = np.sqrt(s @ (x - mean) ** 2 + 4 * l2)  # a logistic loss curves by at most 1/4
    check_squares(scale)
    constant = ((x == x[:1]).all(axis=0) & intercept) | (scale == 0)
    scale[constant] = 1.0
    inputs = (x - mean) / scale
    inputs[:, constant] = 0.0
    return inputs, mean, scale


def centred_where_full(x: Features, s: np.ndarray) -> tuple[Features, np.ndarray]:
    """(x, mean): a sparse x whose columns have mean 0 that have a number in every row, and what was subtracted. They
    can lie far from 0 and differ by little, as times do; a column with zeros differs by its mean at least."""
    rows, columns = x.shape
    x = x.tocsc(copy=True)
    x.sum_duplicates()
    mean, full = np.zeros(columns), np.diff(x.indptr) == rows
    if full.any():
        here = np.repeat(full, np.diff(x.indptr))
        numbers = x.data[here].reshape(-1, rows)
        mean[full] = numbers @ s
        constant = (numbers == numbers[:, :1]).all(axis=1, keepdims=True)
        x.data[here] = np.where(constant, 0.0, numbers - mean[full, None]).ravel()
    return x, mean

"""Linear models with a smooth convex loss, fitted to the end on the host: Newton's method with the Hessian of a sample
of the rows where there are many, conjugate gradients where there are many columns, proximal steps for an L1 penalty.

Everything takes and returns NumPy arrays in float64; x may be a SciPy sparse matrix.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Index
from tapegrad.data.aliases import Features
from tapegrad.models.convex import Fit
from tapegrad.models.convex_losses import Loss as ConvexLoss
from tapegrad.models.quadratic import l1_quadratic, solve_symmetric, solver_of

EXPLICIT = 1200  # unknowns up to which the Hessian is made
BLOCK = 1 << 15  # numbers of x in a block, which stays in the cache between its two products
MANY = 1 << 22  # numbers of x from which on it is not copied


class Objective:
    """F(w) = Σ s · loss(x w + b, y) + Σ l2 w² / 2, without what a proximal step adds. w is (columns + 1, outputs), its
    last row the intercept b, which stays 0 where there is none. `free` rows of w have no penalty, of any kind."""

    def __init__(
        self, x: Features, y: np.ndarray, s: np.ndarray, loss: ConvexLoss, outputs: int, l2: np.ndarray,
        intercept: bool, free: np.ndarray,
    ) -> None:  # fmt: skip
        self.x, self.y, self.s, self.loss, self.outputs = x, y, s, loss, outputs
        self.l2, self.intercept, self.free = l2, intercept, free
        rows, columns = x.shape
        size = rows if hasattr(x, "toarray") else max(1, BLOCK // max(columns, 1))
        self.blocks = [slice(start, start + size) for start in range(0, rows, size)]

    def every(self, stride: int) -> "Objective":
        """That of a part of the rows, scaled to the same size."""
        s = self.s[::stride]
        x, y = np.ascontiguousarray(self.x[::stride]), self.y[::stride]
        return Objective(x, y, s / s.sum(), self.loss, self.outputs, self.l2, self.intercept, self.free)

    def scores(self, w: np.ndarray, rows: Index = slice(None)) -> np.ndarray:
        return np.asarray(self.x[rows] @ w[:-1]) + w[-1]

    def value_and_gradient(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        penalized = self.l2[:, None] * w
        value, g = 0.5 * float((penalized * w).sum()), penalized
        for rows in self.blocks:
            each, slope = self.loss.value_and_slope(self.scores(w, rows), self.y[rows])
            value += float(self.s[rows] @ each)
            slope *= self.s[rows, None]
            g[:-1] += self.x[rows].T @ slope
            if self.intercept:
                g[-1] += slope.sum(axis=0)
        return value, g

    def hessian(self, w: np.ndarray) -> np.ndarray:
        """(unknowns, unknowns), in the order of w's elements."""
        n = self.x.shape[1] + 1
        found = np.zeros((n, self.outputs, n, self.outputs))
        curve = self.loss.curve(self.scores(w), self.y)
        for k, l, second in self.loss.blocks(curve):
            c = second * self.s
            part = np.zeros((n, n))
            part[:-1, :-1] = weighted_square(self.x, c)
            if self.intercept:
                part[:-1, -1] = part[-1, :-1] = np.asarray(self.x.T @ c)
                part[-1, -1] = c.sum()
            found[:, k, :, l] = part
            found[:, l, :, k] = part
        if self.outputs > 1:  # all classes alike is of no effect on the loss: let it cost something
            for j in np.flatnonzero(self.free):
                found[j, :, j, :] += max(found[j, :, j, :].max(), 1e-300)
        flat = found.reshape(n * self.outputs, -1)
        flat[np.diag_indices_from(flat)] += np.repeat(self.l2, self.outputs)
        return flat

    def curvature(self, w: np.ndarray) -> Any:
        """v -> Hessian · v, at w."""
        curve = self.loss.curve(self.scores(w), self.y)

        def product(v: np.ndarray) -> np.ndarray:
            change = self.loss.curved(curve, self.scores(v)) * self.s[:, None]
            found = self.l2[:, None] * v
            found[:-1] += self.x.T @ change
            if self.intercept:
                found[-1] += change.sum(axis=0)
            return found

        return product


def weighted_square(x: Features, c: np.ndarray) -> np.ndarray:
    """xᵀ diag(c) x, in blocks of rows that stay in the cache."""
    if hasattr(x, "toarray"):
        return np.asarray((x.T @ x.multiply(c[:, None]).tocsr()).toarray())
    rows, columns = x.shape
    size = max(256, BLOCK // max(columns, 1))
    total, same = np.zeros((columns, columns)), bool((c >= 0).all())
    root = np.sqrt(c) if same else c
    for start in range(0, rows, size):
        part = x[start : start + size]
        weighted = part * root[start : start + size, None]
        total += weighted.T @ (weighted if same else part)  # of one matrix with itself: half the work
    return total


def newton(
    f: Objective, w: np.ndarray, tol: float, max_iter: int, h: Any = None
) -> tuple[Any, list[float], bool, Any]:
    """(w, the values, whether it converged, the last Hessian). `h` is a Hessian to begin with; another one is made when
    it does not bring the gradient down. Where there are many unknowns, steps come from conjugate gradients."""
    value, g = f.value_and_gradient(w)
    values, explicit = [value], w.size <= EXPLICIT
    keep = h is not None
    for _ in range(max_iter):
        size = abs(g).max()
        if size == 0:
            return w, values, True, h
        if explicit:
            h = h if keep else f.hessian(w)
            step = solve_symmetric(h, -g.ravel()).reshape(w.shape)
        else:
            step = conjugate_gradients(f.curvature(w), -g)
        slope = float((g * step).sum())
        if done(g, slope, value, tol):
            return w, values, True, h
        found = line_search(f, w, step, value, slope)
        if found is None or (found[1] == value and abs(found[2]).max() > 0.5 * size):
            if keep:  # the Hessian of another place, or of a part of the rows, was not good enough
                keep = False
                continue
            return w, values, size <= max(1e3 * tol, 1e-8), h  # as near as float64 comes, or not near enough
        w, value, g = found
        values.append(value)
        keep = keep and abs(g).max() < 0.5 * size
    return w, values, bool(abs(g).max() <= tol), h


def line_search(f: Objective, w: np.ndarray, step: np.ndarray, value: float, slope: float) -> Any:
    """(new w, its value and gradient) after the step, halved until it lowers f enough; None if it does not."""
    size = 1.0
    while size > 1e-10:
        new = w + size * step
        reached, g = f.value_and_gradient(new)
        if reached <= value + 1e-4 * size * slope and slope < 0:
            return new, reached, g
        size /= 2
    return None


def conjugate_gradients(product: Callable[[np.ndarray], np.ndarray], b: np.ndarray) -> np.ndarray:
    """Solve A x = b for a symmetric A that is not negative, as exactly as Newton can use."""
    x, r = np.zeros_like(b), b.copy()
    p, rr = r, float((r * r).sum())
    first = rr
    for _ in range(10 * b.size):
        ap = product(p)
        curvature = float((p * ap).sum())
        if curvature <= 1e-16 * float((p * p).sum()):
            return x if x.any() else b
        x += rr / curvature * p
        r = r - rr / curvature * ap
        rr, before = float((r * r).sum()), rr
        if rr <= first * min(0.25, first**0.5):
            break
        p = r + rr / before * p
    return x


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
    s = np.ones(x.shape[0]) if weights is None else np.asarray(weights, np.float64)
    s = s / s.sum()
    inputs, mean, scale = scaled(x, s, l2, intercept)
    penalty, strength = np.append(l2 / scale**2, 0.0), np.append(l1 / scale, 0.0)
    f = Objective(inputs, y, s, loss, outputs, penalty, intercept, (penalty == 0) & (strength == 0))
    w = np.zeros((x.shape[1] + 1, outputs))
    if start is not None:
        w[:-1] = start[:-1] * scale[:, None]
        w[-1] = (start[-1] + mean @ start[:-1]) if intercept else 0.0
    if l1:
        w, values, converged = proximal(f, w, strength, tol, max_iter)
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


def sampled(f: Objective, w: np.ndarray, tol: float, max_iter: int) -> tuple[np.ndarray, list[float], bool]:
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
    f: Objective, w: np.ndarray, h: np.ndarray, tol: float, max_iter: int
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
    direction. A sparse x is not shifted, and many rows of harmless size stay as they are."""
    columns = x.shape[1]
    zero, one = np.zeros(columns), np.ones(columns)
    if hasattr(x, "toarray"):
        scale = np.sqrt(np.asarray(x.multiply(x).T @ s).ravel() + 4 * l2)
        scale[scale == 0] = 1.0
        from scipy.sparse import diags

        return (x @ diags(1.0 / scale)).tocsr(), zero, scale
    if x.size >= MANY:
        part = x[:: max(1, len(x) // 1000)]
        mean, spread = np.abs(part.mean(axis=0)), part.std(axis=0)
        if (spread > 1e-3 * mean).all() and spread.max() < 1e3 * spread.min():
            return x, zero, one
    mean = s @ x if intercept else zero
    scale = np.sqrt(s @ (x - mean) ** 2 + 4 * l2)  # a logistic loss curves by at most 1/4
    constant = (x == x[:1]).all(axis=0) if intercept else scale == 0
    scale[constant] = 1.0
    inputs = (x - mean) / scale
    inputs[:, constant] = 0.0
    return inputs, mean, scale


def proximal(
    f: Objective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """Minimize f + Σ l1 |w| by proximal Newton steps, or where there are many unknowns by proximal gradients."""
    if w.size > EXPLICIT:
        return proximal_gradient(f, w, l1, tol, 100 * max_iter)
    strength = np.repeat(l1, f.outputs)
    value, g = f.value_and_gradient(w)
    total = value + float(strength @ np.abs(w.ravel()))
    values = [total]
    for _ in range(max_iter):
        if distance(g.ravel(), w.ravel(), strength) <= tol * 1e-2:
            return w, values, True
        h = f.hessian(w)
        flat = w.ravel()
        step = (l1_quadratic(h, h @ flat - g.ravel(), strength, flat) - flat).reshape(w.shape)
        expected = float((g * step).sum()) + float(strength @ (np.abs((w + step).ravel()) - np.abs(flat)))
        size = 1.0
        while True:
            new = w + size * step
            value, g = f.value_and_gradient(new)
            reached = value + float(strength @ np.abs(new.ravel()))
            if reached <= total + 1e-4 * size * expected or size < 1e-10:
                break
            size /= 2
        w, total = new, reached
        values.append(total)
        if size < 1e-10:
            break
    return w, values, distance(g.ravel(), w.ravel(), strength) <= tol


def distance(g: np.ndarray, w: np.ndarray, l1: np.ndarray) -> float:
    """The largest element of the smallest subgradient: 0 at the minimum."""
    free = np.maximum(np.abs(g) - l1, 0.0)
    return float(np.where(w == 0, free, np.abs(g + l1 * np.sign(w))).max())


def proximal_gradient(
    f: Objective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, with a step size found by
    halving, and begun again where the objective rises (B. O'Donoghue, E. Candès 2015)."""
    l1 = l1[:, None]
    size, momentum, point = 1.0, 1.0, w
    total = f.value_and_gradient(w)[0] + float((l1 * np.abs(w)).sum())
    values = [total]
    for _ in range(max_iter):
        value, g = f.value_and_gradient(point)
        while True:
            moved = point - size * g
            new = np.sign(moved) * np.maximum(np.abs(moved) - size * l1, 0.0)
            step = new - point
            reached, at_new = f.value_and_gradient(new)
            if reached <= value + float((g * step).sum()) + float((step * step).sum()) / (2 * size) + 1e-15:
                break
            size /= 2
        now = reached + float((l1 * np.abs(new)).sum())
        if distance(at_new.ravel(), new.ravel(), np.repeat(l1.ravel(), f.outputs)) <= 0.1 * tol:
            return new, [*values, now], True
        if now > total:
            momentum, point = 1.0, w
            total = np.inf
            continue
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        point = new + (momentum - 1) / next_momentum * (new - w)
        w, total, momentum = new, now, next_momentum
        size *= 1.1
        values.append(total)
    return w, values, False

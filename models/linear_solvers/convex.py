"""Linear models fitted to the end with Tensors, where these are: logistic regression by Newton's method, for the
command line and for LogisticRegression on a GPU; least squares in closed form.

`glm` has the Newton's method of the estimators on the host, which makes Hessians and takes sparse rows. Everything here
takes and returns NumPy arrays in float64.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.autograd.creation import tensor
from tapegrad.autograd.ops import binary_cross_entropy_p, sparse_cross_entropy_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.derivatives import value_and_grad, vjp
from tapegrad.models.linear_solvers.weighted import with_weight


class Fit(NamedTuple):
    coef: np.ndarray  # (features, outputs)
    intercept: np.ndarray  # (outputs,)
    losses: list[float]  # the objective before the first step and after each
    converged: bool


def _first(function: Callable[..., Any], v: Tensor) -> Any:
    return function(v)[0]


def newton(
    f: Callable[[Tensor], Tensor], w: Tensor, tol: float, max_iter: int
) -> tuple[Tensor, list[float], bool]:
    """Minimize a convex f by Newton's method: (w, f before and after each step, whether |gradient| <= tol everywhere).

    Each step solves  Hessian · step = -gradient  by conjugate gradients, which needs only products of the Hessian with
    vectors: the gradient is recorded once per step, and each product is one pass back through it. `tg.jit` would not
    pay: some 20 gradients and 50 products take as long as its two recordings (0.03 to 0.25 s, 455 to 20000 rows).
    """
    both = value_and_grad(f)
    value, g = both(w)
    values = [value.item()]
    for _ in range(max_iter):
        if abs(g).max().item() <= tol:
            return w, values, True
        _, pullback = vjp(lambda at: both(at)[1], w)
        step = conjugate_gradients(partial(_first, pullback), -g)
        slope = (g * step).sum().item()
        size = 1.0
        while True:  # halve the step until it lowers f by a part of what the slope promises
            new = w + size * step
            value, g_new = both(new)
            if value.item() <= values[-1] + 1e-4 * size * slope:
                break
            size /= 2
            if size < 1e-10:  # f is flat to the last bit: this is the minimum as far as float64 can tell
                return w, values, abs(g).max().item() <= 1e3 * tol
        w, g = new, g_new
        values.append(value.item())
    return w, values, abs(g).max().item() <= tol


def conjugate_gradients(product: Callable[[Any], Any], b: Any) -> Any:
    """Solve A x = b for a symmetric A that is not negative, given v -> A v, as exactly as Newton can use; of Tensors or
    of NumPy arrays."""
    x = b * 0.0
    r = p = b
    rr = first = float((r * r).sum())
    for _ in range(10 * b.size):
        ap = product(p)
        curvature = float((p * ap).sum())
        if curvature <= 1e-16 * float((p * p).sum()):
            return x if float((x * x).sum()) else b  # flat in this direction: go down the slope instead
        step = rr / curvature
        x, r = x + step * p, r - step * ap
        rr, previous = float((r * r).sum()), rr
        # |r| <= |b| · min(1/2, sqrt|b|): the nearer the minimum, the more exact.
        if rr <= first * min(0.25, first**0.5):
            break
        p = r + (rr / previous) * p
    return x


def fit_convex(
    loss: Callable[[Tensor, Tensor], Tensor],
    x: np.ndarray,
    y: np.ndarray,
    outputs: int,
    *,
    l2: float,
    weights: np.ndarray | None = None,
    intercept: bool = True,
    tol: float = 1e-9,
    max_iter: int = 100,
    device: str = "cpu",
) -> Fit:
    """The coef and intercept that minimize  Σ weight · loss(x @ coef + intercept, y) / Σ weight + l2/2 · Σ coef².

    loss(z, y) -> one number per row, convex in z (rows, outputs). The intercept is not penalized.
    Inside, the columns are centred and scaled so that the objective curves about equally in every direction, which
    leaves the minimum where it is and takes most of the work out of finding it.
    """
    weights, x, y = with_weight(weights, x, y)
    rows, features = x.shape
    s = np.ones(rows) if weights is None else np.asarray(weights, np.float64)
    mean = np.average(x, axis=0, weights=s) if intercept else np.zeros(features)
    # A logistic loss curves by at most 1/4.
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=s) + 4 * l2)
    scale[scale <= 1e-12 * np.abs(mean)] = 1.0  # a constant column
    inputs = np.concatenate([(x - mean) / scale, np.full((rows, 1), float(intercept))], axis=1)
    penalty = np.append(l2 / scale**2, 0.0)[:, None]
    xs, ys, ss, ps = (tensor(a, device=device) for a in (inputs, y, s / s.sum(), penalty))

    def objective(w: Tensor) -> Tensor:
        return (ss * loss(xs @ w, ys)).sum() + 0.5 * (ps * w * w).sum()

    w, losses, converged = newton(
        objective, tensor(np.zeros((features + 1, outputs)), device=device), tol, max_iter
    )
    found = w.numpy()
    coef = found[:-1] / scale[:, None]
    return Fit(coef, (found[-1] if intercept else 0.0 * found[-1]) - mean @ coef, losses, converged)


def logistic_loss(z: Tensor, y: Tensor) -> Tensor:
    """One output: ln(1 + exp(z)) - y z; several: the cross-entropy of softmax(z) for class numbers y."""
    return binary_cross_entropy_p(z[:, 0], y) if z.shape[1] == 1 else sparse_cross_entropy_p(z, y)


def fit_logistic(x: np.ndarray, y: np.ndarray, classes: int, **options: Any) -> Fit:
    """Logistic regression; y are class numbers. Two classes have one output, more have one each. See `fit_convex`."""
    if classes == 2:
        return fit_convex(logistic_loss, x, y.astype(np.float64), 1, **options)
    return fit_convex(logistic_loss, x, y.astype(np.int64), classes, **options)


def fit_least_squares(x: np.ndarray, y: np.ndarray) -> Fit:
    """The coef and intercept with the smallest Σ |x @ coef + intercept - y|²; of several, the shortest coef.

    y is (rows, outputs). By LAPACK's singular value decomposition, on the host.
    """
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    coef = np.linalg.lstsq(x - x_mean, y - y_mean, rcond=None)[0]
    bias = y_mean - x_mean @ coef
    losses = [float(((prediction - y) ** 2).mean()) for prediction in (y_mean, x @ coef + bias)]
    return Fit(coef, bias, losses, True)


def not_negative(x: np.ndarray, y: np.ndarray, l2: np.ndarray | float = 0.0) -> np.ndarray:
    """The coef >= 0 with the smallest  |x coef - y|² + l2 |coef|², for each column of y and its l2."""
    from scipy.optimize import nnls

    columns, coefs = x.shape[1], []
    for target, strength in zip(y.T, np.broadcast_to(l2, y.shape[1:])):
        rows = np.vstack([x, np.sqrt(strength) * np.eye(columns)])
        coefs.append(nnls(rows, np.append(target, np.zeros(columns)))[0])
    return np.stack(coefs, axis=1)

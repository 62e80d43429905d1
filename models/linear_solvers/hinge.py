"""Linear models with a loss of straight pieces, the hinge and the absolute error: a quadratic problem, solved by an
interior-point method in units in which every column, every target and the sum of the weights are of about 1."""

import numpy as np

from tapegrad.data.aliases import Features
from tapegrad.models.linear_classifiers import with_ones
from tapegrad.models.linear_solvers.convex import Fit
from tapegrad.models.linear_solvers.objective import weighted_square
from tapegrad.models.linear_solvers.quadratic import solver_of
from tapegrad.models.linear_solvers.weighted import check_squares, with_weight

NEAR = 1e-5  # of the objective: what a solution that counts as one may be above the minimum
STEPS = 200


Hinges = list[tuple[np.ndarray, np.ndarray]]  # (sign, target) of the rows: max(0, target - sign · score)


def fit_hinges(
    x: Features, hinges: Hinges, upper: np.ndarray, intercept: float | None, tol: float, max_iter: int
) -> Fit:
    """The coef and bias with the smallest `objective`. An intercept of inf is not penalized; None is no bias."""
    parts = [part for hinge in hinges for part in hinge]
    upper, x, *parts = with_weight(upper, x, *parts)
    hinges = list(zip(parts[::2], parts[1::2]))
    if x.shape[1] > x.shape[0]:  # the best coef is a sum of rows: find it in an orthonormal basis of theirs
        basis, square = np.linalg.qr((x.toarray() if hasattr(x, "toarray") else x).T)
        fit = fit_hinges(square.T, hinges, upper, intercept, tol, max_iter)
        return fit._replace(coef=basis @ fit.coef)
    target = np.concatenate([target for _, target in hinges])
    size, total = float(np.abs(target).max(initial=0.0)) or 1.0, float(upper.sum()) or 1.0
    inputs, mean, scale = centred(x, upper / total, intercept is not None)
    penalty = np.diag(scale**-2.0)
    if intercept is not None:
        # The bias is the score at the mean less the coefs' part of it, and its penalty is of all of them.
        share = np.append(-mean / scale, 1.0) / intercept
        penalty = np.pad(penalty, (0, 1)) + np.outer(share, share)
        inputs = with_ones(inputs, 1.0)
    z, u = signed(inputs, hinges), np.tile(upper / total, len(hinges))
    w, lowest, steps, converged = interior_point(
        z, target / size, u, penalty * (size / total), tol, max(max_iter, STEPS)
    )
    coef = w[: x.shape[1]] * size / scale
    bias = 0.0 if intercept is None else float(w[-1] * size - mean @ coef)
    # Rounding in x @ coef + bias can lose what the centred columns tell apart.
    exact = objective(x, hinges, upper, intercept, coef, bias) <= (1 + NEAR) * lowest * size * total
    return Fit(coef[:, None], np.array([bias]), [0.0] * (steps + 1), converged and exact)


def objective(
    x: Features, hinges: Hinges, upper: np.ndarray, intercept: float | None, coef: np.ndarray, bias: float
) -> float:
    """|coef|² / 2 + bias² / (2 intercept²) + Σ upper · max(0, target - sign · score), summed over rows and hinges."""
    score = np.asarray(x @ coef) + bias
    loss = sum(float(upper @ np.maximum(target - sign * score, 0.0)) for sign, target in hinges)
    return 0.5 * float(coef @ coef) + (0.5 * (bias / intercept) ** 2 if intercept else 0.0) + loss


def centred(x: Features, s: np.ndarray, intercept: bool) -> tuple[Features, np.ndarray, np.ndarray]:
    """(x, mean, scale): x with columns of size 1, and of mean 0 if there is an intercept and x is not sparse."""
    columns = x.shape[1]
    if hasattr(x, "toarray"):
        from scipy.sparse import diags

        scale = np.sqrt(np.asarray(x.multiply(x).T @ s).ravel())
        scale[scale == 0] = 1.0
        return (x @ diags(1.0 / scale)).tocsr(), np.zeros(columns), scale
    mean = s @ x if intercept else np.zeros(columns)
    moved = x - mean
    with np.errstate(over="ignore"):
        scale = np.sqrt(s @ moved**2)
    check_squares(scale)
    constant = scale <= 1e-14 * np.abs(mean)
    scale[constant], moved[:, constant] = 1.0, 0.0
    return moved / scale, mean, scale


def signed(x: Features, hinges: Hinges) -> Features:
    """The rows of x times the signs of the first hinge, then those of the next."""
    if hasattr(x, "toarray"):
        from scipy.sparse import vstack

        return vstack([x.multiply(sign[:, None]) for sign, _ in hinges]).tocsr()
    return np.vstack([x * sign[:, None] for sign, _ in hinges])


def interior_point(
    z: Features, t: np.ndarray, u: np.ndarray, p: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, float, int, bool]:
    """(w, its value, steps, whether it is the minimum) of  wᵀ p w / 2 + Σ u · max(0, t - z w).

    With over and under, the parts of t - z w above and below 0, and duals a of `under` and b = u - a of `over`, the
    minimum has  p w = zᵀ a,  a · under = 0,  b · over = 0.  Steps are Newton's, predicted and corrected (S. Mehrotra,
    "On the implementation of a primal-dual interior point method", 1992). w itself is an unknown, since zᵀ a loses it
    in rounding where a is large.
    """
    w, step, tol = np.zeros(z.shape[1]), 0, max(tol, 1e-12)
    best, lowest, bound = w, float(u @ np.maximum(t, 0.0)), -np.inf
    spread = float(np.abs(t).mean())
    over, under = np.maximum(t, 0.0) + spread, np.maximum(-t, 0.0) + spread
    a, b = 0.5 * u, 0.5 * u
    left, size = np.asarray(z.T @ a).ravel(), 1.0
    # A short step, or no gap: float64 comes no nearer.
    while (
        lowest - max(bound, 0.0) > tol * lowest
        and step < max_iter
        and size > 1e-9
        and a @ under + b @ over > 1e-15 * lowest
    ):
        step += 1
        dw, moves = direction(z, p, left, (a, under, b, over))
        size = min(1.0, 0.995 * min(largest(x, move) for x, move in zip((a, under, b, over), moves)))
        w = w + size * dw
        a, under, b, over = (x + size * move for x, move in zip((a, under, b, over), moves))
        value = 0.5 * float(w @ p @ w) + float(u @ np.maximum(t - np.asarray(z @ w).ravel(), 0.0))
        if value < lowest:
            best, lowest = w, value
        left = np.asarray(z.T @ a).ravel() - p @ w
        if np.abs(left).max(initial=0.0) <= 1e-6:
            bound = max(bound, float(a @ t) - 0.5 * float(w @ p @ w) - float(np.abs(left) @ np.abs(w)))
    return best, lowest, step, lowest - bound <= max(tol, NEAR) * lowest


def direction(
    z: Features, p: np.ndarray, left: np.ndarray, at: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """(the step of w, those of a, under, b and over): towards products of 0, to see how far that gets, and from there
    towards equal ones that are as small as that allows."""
    a, under, b, over = at
    d = under / a + over / b
    solve = solver_of(p + weighted_square(z, 1.0 / d))

    def solved(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        q = first / a - second / b
        dw = solve(left + np.asarray(z.T @ (q / d)).ravel())
        da = (q - np.asarray(z @ dw).ravel()) / d
        return dw, (da, (first - under * da) / a, -da, (second + over * da) / b)

    gap = float(a @ under + b @ over)
    _, (da, du, db, do) = solved(-a * under, -b * over)
    size = min(1.0, *(largest(x, move) for x, move in zip(at, (da, du, db, do))))
    reached = float((a + size * da) @ (under + size * du) + (b + size * db) @ (over + size * do))
    product = gap / (2 * len(a)) * min(1.0, max(reached, 0.0) / gap) ** 3
    return solved(product - a * under - da * du, product - b * over - db * do)


def largest(x: np.ndarray, move: np.ndarray) -> float:
    """The largest step that keeps x + step · move at 0 or above."""
    falling = move < 0
    return float((-x[falling] / move[falling]).min()) if falling.any() else np.inf

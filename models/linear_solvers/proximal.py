"""Linear models with a smooth convex loss and an L1 penalty: Newton's method on the few columns that are not 0 or are
pulled most, and where these are too many for a Hessian, accelerated proximal gradients."""

import warnings

import numpy as np

from tapegrad.models.linear_solvers import l1_hinge
from tapegrad.models.linear_solvers.objective import LinearObjective
from tapegrad.models.linear_solvers.quadratic import ROUNDS, l1_quadratic

LEAST = 100  # columns of a step, or twice as many as are not 0
MOST = 3000  # unknowns of a step up to which the Hessian is made
ENOUGH = 0.1  # of the gain of a step: what a longer search could still gain
# Rounds of a search of more than LEAST unknowns, until a step gains less of the objective.
SHORT, NEAR = 3, 1e-3
# Of a step by coordinates of sparse rows, which ends at such a part of the squares of the targets, too.
SWEEPS, SWEPT_TO = 30, 1e-7
FLAT = 1e-12  # a row's curvature from which on it counts there
STAGE = 3.0  # by which the penalty falls from one stage to the next
ROUGH = 0.1  # of the objective: how near to the minimum of a stage the next one begins
ROUNDING = 1e-12  # of the objective: a step that promises less is none


def proximal(
    f: LinearObjective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """(w, the values, whether it is the minimum) of f + Σ l1 |w|. Ends within tol of the minimum, as a part of it.

    Where there are more columns than rows, begins with a stronger penalty and lowers it in stages: from far away, a
    weak one would bring in more columns than the rows tell apart. Where a squared hinge has no more rows within the
    margin than columns, an interior-point method goes on. The values are those of each stage's objective."""
    l1, factor = l1[:, None], 1.0
    values: list[float] = []
    hinge = l1_hinge.suits(f, l1)
    if f.x.shape[1] > f.x.shape[0]:
        g = f.value_and_gradient(w)[1]
        factor = float((np.abs(g[:-1]) / l1[:-1]).max(initial=1.0))
    while True:
        factor = factor / STAGE if factor > STAGE else 1.0
        last = factor == 1.0
        w, stage, converged = newton_steps(
            f, w, factor * l1, tol if last else ROUGH, max_iter - len(values), hinge
        )
        values += stage if last else stage[1:]
        if hinge and not (converged and last) and l1_hinge.takes_over(f, w, len(stage)):
            w, stage, converged = l1_hinge.interior_point(f, w, l1, tol, max_iter - len(values))
            values += stage
            if converged:
                return w, values, True
            # Newton's method comes nearer where rounding ends the other one.
            hinge, factor = False, 1.0
        elif last:
            return w, values, converged


def newton_steps(
    f: LinearObjective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int, hinge: bool = False
) -> tuple[np.ndarray, list[float], bool]:
    """Proximal Newton steps (J. Lee, Y. Sun, M. Saunders, "Proximal Newton-type methods for minimizing composite
    functions", 2014). Those of a hinge are rough, and end where `l1_hinge` takes over."""
    value, g = f.value_and_gradient(w)
    values = [value + float((l1 * np.abs(w)).sum())]
    for _ in range(max_iter):
        left = subgradient(g, w, l1)
        if above_minimum(left, w, l1, values[-1]) <= tol * values[-1]:
            return w, values, True
        if hinge and l1_hinge.takes_over(f, w, len(values)):
            break
        at = pulled(left, w, f.free)
        if len(at) * f.outputs > MOST:
            w, more, converged = proximal_gradient(f, w, l1, tol, 100 * max_iter)
            return w, values + more[1:], converged
        near = len(values) > 1 and values[-2] - values[-1] <= NEAR * values[-1]
        few = len(at) * f.outputs <= LEAST
        step, promise = newton_step(f, w, g, l1, at, ROUNDS if (near or few) and not hinge else SHORT)
        size = 1.0
        while True:
            new = w + size * step
            value, at_new = f.value_and_gradient(new)
            reached = value + float((l1 * np.abs(new)).sum())
            if reached < values[-1] and reached <= values[-1] - 1e-4 * size * promise:
                break
            size /= 2
            # Neither would move w, or f is flat to the last digits.
            if size < 1e-10 or promise <= ROUNDING * values[-1]:
                others = np.delete(left, np.append(at, len(left) - 1), axis=0)
                return w, values, promise <= 1e-9 * values[-1] and not others.any()
        w, g = new, at_new
        values.append(reached)
    return w, values, False


def newton_step(
    f: LinearObjective, w: np.ndarray, g: np.ndarray, l1: np.ndarray, at: np.ndarray, rounds: int
) -> tuple[np.ndarray, float]:
    """(the step of some columns to the minimum of f's second-order model and the penalty, by how much it promises to
    lower them)."""
    rows = np.append(at, len(w) - 1)
    part, step = f.of_columns(at), np.zeros_like(w)
    if len(at) > LEAST and suits_sweeps(part, l1[rows]):
        step[rows] = by_sweeps(part, w[rows], l1[rows])
        return step, -float((g * step).sum() + (l1 * (np.abs(w + step) - np.abs(w))).sum())
    h = part.hessian(w[rows])
    flat, slope, strength = w[rows].ravel(), g[rows].ravel(), np.repeat(l1[rows], f.outputs)
    b = h @ flat - slope
    depth = part.model_depth(w[rows]) + 0.5 * float(flat @ (b - slope))
    found = l1_quadratic(h, b, strength, flat, depth, enough=ENOUGH, rounds=rounds)
    change = found - flat
    step[rows] = change.reshape(len(rows), -1)
    return step, -float(slope @ change) - float(strength @ (np.abs(found) - np.abs(flat)))


def suits_sweeps(f: LinearObjective, l1: np.ndarray) -> bool:
    """Whether the second-order model of f is one of sparse rows, and a lasso."""
    return bool(hasattr(f.x, "toarray") and f.outputs == 1 and not f.l2.any() and (l1[:-1] > 0).all())


def by_sweeps(f: LinearObjective, w: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """A step towards the minimum of the second-order model of f and the penalty, by scikit-learn's coordinate descent
    over sparse columns, in units in which the penalty is 1: a sweep takes as long as one product with the rows."""
    from scipy.sparse import diags
    from sklearn.linear_model import Lasso

    z, strength = f.scores(w), l1[:-1, 0]
    curve, slope = f.loss.curve(z, f.y)[:, 0], f.loss.value_and_slope(z, f.y)[1][:, 0]
    kept = f.s * curve > FLAT * f.s
    weights, target = (f.s * curve)[kept], z[kept, 0] - slope[kept] / curve[kept]
    lasso = Lasso(
        alpha=1.0 / weights.sum(), fit_intercept=f.intercept, max_iter=SWEEPS, tol=SWEPT_TO, warm_start=True
    )
    lasso.coef_ = w[:-1, 0] * strength
    with warnings.catch_warnings():
        # That the sweeps have not ended at the minimum is expected here.
        warnings.simplefilter("ignore")
        lasso.fit((f.x[kept] @ diags(1.0 / strength)).tocsc(), target, weights)
    return np.append(lasso.coef_ / strength, lasso.intercept_)[:, None] - w


def pulled(left: np.ndarray, w: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The columns of the next step: those that are not 0 or not penalized, and of the others those pulled most."""
    own = (w != 0).any(axis=1) | free
    pull = np.where(own, 0.0, np.abs(left).max(axis=1))[:-1]
    count = max(LEAST, 2 * int(own.sum())) - int(own.sum())
    if np.count_nonzero(pull) > count:
        pull[np.argpartition(pull, -count)[:-count]] = 0.0
    return np.flatnonzero(own[:-1] | (pull > 0))


def subgradient(g: np.ndarray, w: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """The smallest subgradient: 0 at the minimum."""
    at_zero = np.sign(g) * np.maximum(np.abs(g) - l1, 0.0)
    return np.where(w == 0, at_zero, g + l1 * np.sign(w))


def above_minimum(left: np.ndarray, w: np.ndarray, l1: np.ndarray, total: float) -> float:
    """How far total is at most above its minimum:  left · (w - w at the minimum), where Σ l1 |w| is at most total, too,
    since no loss is negative. An intercept without a penalty is taken to be within 1 of its best."""
    pull, penalized = np.abs(left), l1[:, 0] > 0
    bound = float((pull * np.abs(w)).sum()) + float(pull[~penalized].sum())
    return bound + total * float((pull[penalized] / l1[penalized]).max(initial=0.0))


def proximal_gradient(
    f: LinearObjective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, with a step size found by
    halving, and begun again where the objective rises (B. O'Donoghue, E. Candès 2015)."""
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
        if above_minimum(subgradient(at_new, new, l1), new, l1, now) <= tol * now:
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

"""The squared hinge with an L1 penalty, by a primal-dual interior-point method: its steps do not depend on how many
rows are within the margin, which Newton's method loses sight of where there are fewer of them than columns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.data.aliases import Features
from tapegrad.models.linear_solvers.convex_losses import SquaredHinge
from tapegrad.models.linear_solvers.objective import LinearObjective, weighted_square
from tapegrad.models.linear_solvers.quadratic import solve_symmetric

MOST = 3000  # rows or columns, whichever are fewer, up to which their products are made
PATIENCE = 10  # steps of Newton's method in a stage
CROWDED = 0.8  # columns that are not 0, for each row within the margin
GAP = 1e-9  # of the objective, at which it ends
NEAR = 1e-6  # of the objective: from here on it ends, too, where a step does not halve the gap
STEPS = 300  # weights over 12 decades take 150
NEARLY = 0.99  # of the way to the nearest bound
INSIDE = 0.9  # of their bounds, where the dual variables begin
LEAST_PULL = 1e-2  # with that of a row so far within the margin, at least
SHARES = 10.0 ** -np.arange(0, 12, 2)  # of what is compared with a coef: which ones are made 0
ROUNDS = 5  # of `settled`


def suits(f: LinearObjective, l1: np.ndarray) -> bool:
    """Whether an objective is of that kind, and of a size for it."""
    unbounded = f.free[:-1].any() or f.intercept or f.l2.any() or not (l1[:-1] > 0).all()
    return isinstance(f.loss, SquaredHinge) and not unbounded and min(f.x.shape) <= MOST


def takes_over(f: LinearObjective, w: np.ndarray, steps: int) -> bool:
    """Whether Newton's method has made many steps, or the columns that are not 0 are nearly as many as the rows within
    the margin."""
    within = np.count_nonzero(f.loss.curve(f.scores(w), f.y))
    return bool(steps > PATIENCE or np.count_nonzero(w) > CROWDED * within)


class Point(NamedTuple):
    """w = up - down, both above 0; `over` is how far rows are beyond the margin, and `pull` their dual variables."""

    up: np.ndarray
    down: np.ndarray
    over: np.ndarray
    pull: np.ndarray


def interior_point(
    f: LinearObjective, w: np.ndarray, l1: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, list[float], bool]:
    """(w, the values, whether it is within tol of the minimum, as a part of it), from a rough w on:

        minimize    Σ s short² + Σ l1 (up + down)      for  short = 1 + over - a (up - down),  a = y x
        maximize    Σ pull - Σ pull² / (4 s)           for  |aᵀ pull| <= l1

    S. Mehrotra, "On the implementation of a primal-dual interior point method", 1992."""
    kept = f.s > 0
    x, y, s, l1 = f.x[kept], f.y[kept], f.s[kept], l1[:-1, 0]
    a = x.multiply(y).tocsr() if hasattr(x, "toarray") else x * y
    point, values, gap = start(a, s, w[:-1, 0], l1), [], np.inf
    for _ in range(max(1, min(STEPS, max_iter))):
        lowest = bound(s, point.pull)
        values.append(objective(a, s, l1, point.up - point.down))
        before, gap = gap, values[-1] - lowest
        if gap <= GAP * values[-1] or 0.5 * before < gap <= NEAR * values[-1]:
            break
        try:
            point = next_point(a, s, l1, point)
        except (np.linalg.LinAlgError, ValueError):
            # As near as float64 comes: a product has no root, or is not finite.
            break
    coef = with_zeros(a, s, l1, point, tol * values[-1])
    values.append(objective(a, s, l1, coef))
    return np.append(coef, 0.0)[:, None], values, values[-1] - lowest <= tol * values[-1]


def with_zeros(a: Features, s: np.ndarray, l1: np.ndarray, point: Point, slack: float) -> np.ndarray:
    """The coefs, 0 where the minimum is: of two factors whose product is 0 there, the smaller one is. Fewer are made 0
    where that costs more than half of the slack."""
    coef = point.up - point.down
    room = (l1 - np.abs(np.asarray(a.T @ point.pull))) / l1 * np.abs(coef).max(initial=0.0)
    most = objective(a, s, l1, coef) + 0.5 * slack
    for share in SHARES:
        found = settled(a, s, l1, np.where(np.abs(coef) < share * room, 0.0, coef))
        if objective(a, s, l1, found) <= most:
            return found
    return coef


def settled(a: Features, s: np.ndarray, l1: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Where it is lower: the minimum if all signs, and which rows are within the margin, stay as they are."""
    value = objective(a, s, l1, coef)
    for _ in range(ROUNDS):
        at, within = np.flatnonzero(coef), np.flatnonzero(np.asarray(a @ coef) < 1)
        part, weight = a[within][:, at], 2 * s[within]
        pull = np.asarray(part.T @ weight) - l1[at] * np.sign(coef[at])
        new = np.zeros_like(coef)
        new[at] = solve_symmetric(weighted_square(part, weight), pull)
        reached = objective(a, s, l1, new)
        if not reached < value:
            break
        coef, value = new, reached
    return coef


def objective(a: Features, s: np.ndarray, l1: np.ndarray, coef: np.ndarray) -> float:
    return float(s @ np.maximum(1 - np.asarray(a @ coef), 0.0) ** 2 + l1 @ np.abs(coef))


def bound(s: np.ndarray, pull: np.ndarray) -> float:
    """What the objective is at least, by the dual one."""
    return float(pull.sum() - (pull**2 / s).sum() / 4)


def start(a: Features, s: np.ndarray, w: np.ndarray, l1: np.ndarray) -> Point:
    """A point with |aᵀ pull| < l1, whose products are all of about one size."""
    short = np.maximum(1 - np.asarray(a @ w), 0.0)
    pull = 2 * s * (short + LEAST_PULL)
    pull *= INSIDE / max(1.0, float((np.abs(np.asarray(a.T @ pull)) / l1).max()))
    mean = (objective(a, s, l1, w) - bound(s, pull)) / (len(s) + 2 * len(w))
    across = np.asarray(a.T @ pull)
    up = np.maximum(w, 0.0) + mean / (l1 - across)
    down = np.maximum(-w, 0.0) + mean / (l1 + across)
    over = np.maximum(np.asarray(a @ (up - down)) + pull / (2 * s) - 1, mean / pull)
    return Point(up, down, over, pull)


def next_point(a: Features, s: np.ndarray, l1: np.ndarray, point: Point) -> Point:
    """A step to where each product is a part of their mean, by what a step to where all are 0 would leave of it."""
    up, down, over, pull = point
    across = np.asarray(a.T @ pull)
    room_up, room_down = l1 - across, l1 + across
    total = float(up @ room_up + down @ room_down + over @ pull)
    left = 1 + over - np.asarray(a @ (up - down)) - pull / (2 * s)
    solve = solver(a, up / room_up + down / room_down, 1 / (2 * s) + over / pull)

    def direction(to_up: Any, to_down: Any, to_over: Any) -> tuple[Point, np.ndarray]:
        """(the step to where the products are these, by how much it changes aᵀ pull)."""
        change = to_up / room_up - up - to_down / room_down + down
        d, moved = solve(left + to_over / pull - over - np.asarray(a @ change))
        d_up, d_down = (to_up + up * moved) / room_up - up, (to_down - down * moved) / room_down - down
        # By what makes left 0, to the last digit: by its product, d would lose some where pull is near 0.
        return Point(d_up, d_down, np.asarray(a @ (d_up - d_down)) + d / (2 * s) - left, d), moved

    def longest(step: Point, moved: np.ndarray) -> float:
        """The part of the step after which the first factor is 0; at most all of it."""
        values = np.concatenate([*point, room_up, room_down])
        changes = np.concatenate([*step, -moved, moved])
        return float(1 / np.max(-changes / values, initial=1.0))

    step, moved = direction(0.0, 0.0, 0.0)
    t = longest(step, moved)
    after = (up + t * step.up) @ (room_up - t * moved) + (down + t * step.down) @ (room_down + t * moved)
    after += (over + t * step.over) @ (pull + t * step.pull)
    centre = (float(after) / total) ** 3 * total / (len(s) + 2 * len(l1))
    step, moved = direction(
        centre + step.up * moved, centre - step.down * moved, centre - step.over * step.pull
    )
    t = min(1.0, NEARLY * longest(step, moved))
    return Point(*(value + t * change for value, change in zip(point, step)))


def solver(
    a: Features, weight: np.ndarray, curve: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """b -> (x, aᵀ x) for the solution of (a diag(weight) aᵀ + diag(curve)) x = b, by the rows or by the columns,
    whichever are fewer."""
    from scipy.linalg import cho_factor, cho_solve

    if a.shape[0] <= a.shape[1]:
        factor = cho_factor(weighted_square(a.T, weight) + np.diag(curve), overwrite_a=True)

        def by_rows(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = cho_solve(factor, b)
            return x, np.asarray(a.T @ x)

        return by_rows
    factor = cho_factor(weighted_square(a, 1 / curve) + np.diag(1 / weight), overwrite_a=True)

    def by_columns(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weighed = cho_solve(factor, np.asarray(a.T @ (b / curve)))
        return (b - np.asarray(a @ weighed)) / curve, weighed / weight

    return by_columns

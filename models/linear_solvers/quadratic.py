"""Quadratic problems of linear models: symmetric systems, and with an L1 penalty."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

ROUNDS = 30  # of sweeps by coordinates, 50 in the first, and moves of `finished`
# Of them without moves, and without those of singular systems, where a part of the gain is enough.
ROUGH, SWEPT = 2, 5
ROUNDING = 1e-15


def solver_of(h: np.ndarray, least: float = 1e-15, singular: bool = True) -> Any:
    """b -> the solution of h x = b, for each column of b, for a symmetric h that is not negative; the shortest one, in
    h's scaling, if h is singular: an eigenvalue below `least` times the largest, for each unknown, counts as 0. Without
    `singular`, None for such an h."""
    from scipy.linalg import cho_factor, cho_solve

    if not len(h):
        return lambda b: b
    d = np.sqrt(np.maximum(np.diag(h), 0.0))
    d[d == 0] = np.inf  # an unknown of no effect stays 0
    even = h / d / d[:, None]
    even[np.diag_indices_from(even)] = 1.0
    try:
        factor = cho_factor(even)
        if np.diag(factor[0]).min() ** 2 > 10 * least:
            return lambda b: (cho_solve(factor, (b.T / d).T).T / d).T
    except np.linalg.LinAlgError:
        pass
    if not singular:
        return None
    values, vectors = np.linalg.eigh(even)
    kept = values > values[-1] * len(h) * least
    root = vectors[:, kept].T / np.sqrt(values[kept])[:, None] / d
    return lambda b: np.asarray(root.T @ (root @ b))


def loses_digits(h: np.ndarray) -> bool:
    """Whether columns are so nearly alike that their products, h, have lost half of the digits."""
    return solver_of(h, 1e-8, singular=False) is None


def solve_symmetric(h: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(solver_of(h)(b))


def l1_quadratic(
    h: np.ndarray, b: np.ndarray, l1: np.ndarray, w: np.ndarray, depth: float, positive: bool = False,
    enough: float = 0.0, rounds: int = ROUNDS,
) -> np.ndarray:  # fmt: skip
    """The minimum of  wᵀ h w / 2 - bᵀ w + Σ l1 |w|, for w >= 0 if positive: from w on coordinate by coordinate, and
    from near it on by `finished`. Without l1, the quadratic is -depth or more everywhere. Ends, too, where what is left
    to gain is at most that part, `enough`, of what was gained."""
    w = np.maximum(w, 0.0) if positive else w.copy()
    w[np.diag(h) <= 0] = 0.0
    first = lowest = value(h, b, l1, w)
    f, descend, moves, sweeps = Products(h, b), coordinates(h, b, l1, depth, positive), 8, 50
    for turn in range(rounds):
        w, gap = descend(w, sweeps)
        reached = value(h, b, l1, w)
        if gap <= enough * (first - reached):
            break
        sweeps = min(2 * sweeps, 1000)
        if enough and turn < ROUGH:
            continue
        found, minimum = finished(f, l1, w, positive, moves, not enough or turn >= SWEPT)
        # Of columns nearly alike, rounding can lead far off.
        if value(h, b, l1, found) <= reached:
            w, reached = found, value(h, b, l1, found)
            if minimum:
                break
        slow = lowest - reached <= max(ROUNDING * abs(lowest), enough**2 * (first - reached))
        if slow and moves > len(w):
            break
        lowest, moves = reached, min(2 * moves, 50 + 4 * len(w))
    return w


def coordinates(
    h: np.ndarray, b: np.ndarray, l1: np.ndarray, depth: float, positive: bool
) -> Callable[[np.ndarray, int], tuple[np.ndarray, float]]:
    """(w, sweeps) -> (w, its duality gap) after so many sweeps of scikit-learn's coordinate descent over the unknowns
    with a penalty, in units in which it is 1. The others are where they are best for these."""
    from sklearn.linear_model import enet_path

    acts = np.diag(h) > 0
    at, free = np.flatnonzero(acts & (l1 > 0)), np.flatnonzero(acts & (l1 == 0))
    if not len(at) or (positive and len(free)):
        return lambda w, sweeps: (w, np.inf)
    products, pull = h[np.ix_(at, at)], b[at]
    if len(free):
        solve, across = solver_of(h[np.ix_(free, free)]), h[np.ix_(free, at)]
        shift, share = solve(b[free]), solve(across)
        products, pull = products - across.T @ share, pull - across.T @ shift
        depth -= 0.5 * float(b[free] @ shift)
    products, pull = products / np.outer(l1[at], l1[at]), pull / l1[at]
    # With the products given, of the rows only their number is read, and of the targets only their square.
    rows, targets = np.zeros((1, len(at))), np.array([np.sqrt(2 * max(depth, 0.0))])

    def descend(w: np.ndarray, sweeps: int) -> tuple[np.ndarray, float]:
        with warnings.catch_warnings():
            # That the sweeps have not ended at the minimum is expected here.
            warnings.simplefilter("ignore")
            _, found, gaps = enet_path(
                rows, targets, l1_ratio=1.0, alphas=[1.0], precompute=products, Xy=pull, coef_init=w[at] * l1[at],
                positive=positive, max_iter=sweeps, tol=1e-12, check_input=False, random_state=0,
            )  # fmt: skip
        w = w.copy()
        w[at] = found[:, 0] / l1[at]
        if len(free):
            w[free] = shift - share @ w[at]
        return w, float(gaps[0])

    return descend


def value(h: np.ndarray, b: np.ndarray, l1: np.ndarray, w: np.ndarray) -> float:
    return float(0.5 * w @ (h @ w) - b @ w + l1 @ np.abs(w))


class Products:
    """wᵀ h w / 2 - bᵀ w."""

    def __init__(self, h: np.ndarray, b: np.ndarray) -> None:
        self.h, self.b, self.diagonal = h, b, np.diag(h)
        self.slack = 1e-9 * float(np.abs(b).max(initial=0.0)) + 1e-300

    def pull(self, w: np.ndarray) -> np.ndarray:
        return self.b - self.h @ w

    def solved(self, at: np.ndarray, pull: np.ndarray, singular: bool) -> Any:
        """(those unknowns if all others are 0 and each is pulled that much, by how much more each is pulled)."""
        part, wanted = self.h[np.ix_(at, at)], self.b[at] - pull
        solve = solver_of(part, 1e-12, singular)
        if solve is None:
            return None
        goal = solve(wanted)
        return goal, wanted - part @ goal


class Rows:
    """|rows w - target|² / 2, of columns of size 1: their products would lose half of the digits."""

    def __init__(self, rows: np.ndarray, target: np.ndarray) -> None:
        self.rows, self.target, self.diagonal = rows, target, (rows * rows).sum(axis=0)
        self.slack = 1e-13 * float(np.linalg.norm(target)) + 1e-300

    def pull(self, w: np.ndarray) -> np.ndarray:
        return np.asarray(self.rows.T @ (self.target - self.rows @ w))

    def solved(self, at: np.ndarray, pull: np.ndarray, singular: bool) -> Any:
        from scipy.linalg import solve_triangular

        part = self.rows[:, at]
        q, r = np.linalg.qr(part)
        pivots = np.abs(np.diag(r))
        if len(pivots) < len(at) or (pivots <= 1e-13).any():
            return None
        goal = solve_triangular(r, q.T @ self.target - solve_triangular(r, pull, trans="T"))
        return goal, np.zeros_like(goal)


def finished(
    f: Products | Rows, l1: np.ndarray, w: np.ndarray, positive: bool, moves: int, singular: bool
) -> tuple[np.ndarray, bool]:
    """(a w that is no worse, whether it is the minimum) of f + Σ l1 |w| after at most so many moves: the unknowns that
    are not 0 are solved for as if their signs stayed; the first to lose its sign on the way becomes 0, and where none
    does, the one that is pulled most leaves 0 (H. Lee, A. Battle, R. Raina, A. Ng, "Efficient sparse coding
    algorithms", 2006). Ends at a singular system unless these are `singular`."""
    w, sign, acts = w.copy(), np.sign(w), f.diagonal > 0
    bound = (l1 > 0) | positive  # these must keep their sign
    live = (sign != 0) | (~bound & acts)
    for _ in range(moves):
        at = np.flatnonzero(live)
        solution = f.solved(at, l1[at] * sign[at], singular)
        if solution is None:
            return w, False
        goal, left = solution
        # Of a singular system without a solution: what is left leads down without end, until an unknown becomes 0.
        endless = len(at) > 0 and np.abs(left).max() > f.slack
        step = left / f.diagonal[at] if endless else goal - w[at]
        falling = np.flatnonzero(bound[at] & (step * sign[at] < 0))
        room = -w[at][falling] / step[falling]
        if room.size and (endless or room.min() < 1):
            w[at] += room.min() * step
            lost = at[falling[room == room.min()]]
            w[lost], sign[lost], live[lost] = 0.0, 0.0, False
            continue
        if endless:
            return w, False
        w[at] = goal
        r = f.pull(w)
        pull = np.where(live | ~acts, 0.0, (r if positive else np.abs(r)) - l1)
        if pull.max() <= f.slack:
            return w, True
        j = int(pull.argmax())
        sign[j], live[j] = np.sign(r[j]), True
    return w, False

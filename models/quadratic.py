"""Quadratic problems of linear models: symmetric systems, and with an L1 penalty."""

from collections.abc import Callable

import numpy as np


def solver_of(h: np.ndarray, least: float = 1e-15) -> Callable[[np.ndarray], np.ndarray]:
    """b -> the solution of h x = b for a symmetric h that is not negative; the shortest one, in h's scaling, if h is
    singular: an eigenvalue below `least` times the largest, for each unknown, counts as 0."""
    from scipy.linalg import cho_factor, cho_solve

    d = np.sqrt(np.maximum(np.diag(h), 0.0))
    d[d == 0] = np.inf  # an unknown of no effect stays 0
    even = h / d / d[:, None]
    even[np.diag_indices_from(even)] = 1.0
    try:
        factor = cho_factor(even)
        if np.diag(factor[0]).min() ** 2 > 10 * least:
            return lambda b: np.asarray(cho_solve(factor, b / d)) / d
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(even)
    kept = values > values[-1] * len(h) * least
    return lambda b: np.asarray(vectors[:, kept] @ ((vectors[:, kept].T @ (b / d)) / values[kept]) / d)


def solve_symmetric(h: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(solver_of(h)(b))


def l1_quadratic(
    h: np.ndarray, b: np.ndarray, l1: np.ndarray, w: np.ndarray, positive: bool = False, sweeps: int = 400
) -> np.ndarray:
    """The minimum of  wᵀ h w / 2 - bᵀ w + Σ l1 |w|, for w >= 0 if positive: coordinate by coordinate from w on, and
    from near the minimum on by `finished`."""
    w, diagonal = (np.maximum(w, 0.0) if positive else w.copy()), np.diag(h)
    w[diagonal <= 0] = 0.0
    every, settled, moves = np.flatnonzero(diagonal > 0), False, 4
    active = every
    r = b - h @ w
    for sweep in range(sweeps):
        largest, whole = 0.0, settled or sweep % 8 == 0
        for j in every if whole else active:
            rho = r[j] + diagonal[j] * w[j]
            new = max(rho - l1[j], 0.0) + (0.0 if positive else min(rho + l1[j], 0.0))
            change = new / diagonal[j] - w[j]
            if change:
                r -= change * h[j]
                w[j] += change
                largest = max(largest, change * change * diagonal[j])
        active = np.flatnonzero((w != 0) | ((l1 == 0) & (diagonal > 0)))
        if sweep % 8 in (1, 4, 7):
            reached, minimum = finished(h, b, l1, w, positive, moves)
            # Of columns nearly alike, rounding can lead far off.
            if value(h, b, l1, reached) <= value(h, b, l1, w):
                w = reached
                if minimum:
                    break
            r, moves = b - h @ w, min(2 * moves, 50 + 4 * len(w))
            active = np.flatnonzero((w != 0) | ((l1 == 0) & (diagonal > 0)))
        settled = largest <= 1e-30 * max(float(b @ w), 1e-300)
        # A sweep of the active unknowns alone does not tell whether another one must leave 0.
        if settled and whole:
            break
    return w


def value(h: np.ndarray, b: np.ndarray, l1: np.ndarray, w: np.ndarray) -> float:
    return float(0.5 * w @ (h @ w) - b @ w + l1 @ np.abs(w))


def finished(
    h: np.ndarray, b: np.ndarray, l1: np.ndarray, w: np.ndarray, positive: bool, moves: int
) -> tuple[np.ndarray, bool]:
    """(a w that is no worse, whether it is the minimum) after at most so many moves: the unknowns that are not 0 are
    solved for as if their signs stayed; the first to lose its sign on the way becomes 0, and where none does, the one
    that is pulled most leaves 0 (H. Lee, A. Battle, R. Raina, A. Ng, "Efficient sparse coding algorithms", 2006)."""
    w, sign = w.copy(), np.sign(w)
    bound = (l1 > 0) | positive  # these must keep their sign
    live = (sign != 0) | (~bound & (np.diag(h) > 0))
    slack = 1e-9 * np.abs(b).max() + 1e-300
    for _ in range(moves):
        at = np.flatnonzero(live)
        wanted = b[at] - l1[at] * sign[at]
        part = h[np.ix_(at, at)]
        goal = solver_of(part, 1e-12)(wanted) if len(at) else wanted
        left = wanted - part @ goal
        # Of a singular system without a solution: what is left leads down without end, until an unknown becomes 0.
        endless = len(at) > 0 and np.abs(left).max() > slack
        step = left / np.diag(part) if endless else goal - w[at]
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
        r = b - h @ w
        pull = np.where(live | (np.diag(h) <= 0), 0.0, (r if positive else np.abs(r)) - l1)
        if pull.max() <= slack:
            return w, True
        j = int(pull.argmax())
        sign[j], live[j] = np.sign(r[j]), True
    return w, False

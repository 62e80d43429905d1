"""What the linear models with a smooth convex loss minimize, with its gradient and its Hessian."""

from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Index
from tapegrad.data.aliases import Features
from tapegrad.models.linear_solvers.convex_losses import Loss as ConvexLoss

BLOCK = 1 << 15  # numbers of x in a block, which stays in the cache between its two products


class LinearObjective:
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

    def every(self, stride: int) -> "LinearObjective":
        """That of a part of the rows, scaled to the same size."""
        s = self.s[::stride]
        x, y = np.ascontiguousarray(self.x[::stride]), self.y[::stride]
        return LinearObjective(x, y, s / s.sum(), self.loss, self.outputs, self.l2, self.intercept, self.free)

    def of_columns(self, at: np.ndarray) -> "LinearObjective":
        """That of some columns alone, as if the coefs of all others were 0."""
        rows, x = np.append(at, -1), self.x[:, at]
        return LinearObjective(
            x, self.y, self.s, self.loss, self.outputs, self.l2[rows], self.intercept, self.free[rows]
        )

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

    def as_least_squares(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, targets): the second-order model of F at w, of one output, is |rows · step - targets|² / 2, but for a
        constant. The products of columns nearly alike in a Hessian lose what the rows still tell apart."""
        z = self.scores(w)
        curve = self.s * self.loss.curve(z, self.y)[:, 0]
        kept = curve > 0
        root, slope = np.sqrt(curve[kept]), self.loss.value_and_slope(z, self.y)[1][kept, 0]
        ones = np.full((len(root), 1), float(self.intercept))
        penalty = np.sqrt(self.l2)
        rows = np.vstack([root[:, None] * np.hstack([self.x[kept], ones]), np.diag(penalty)])
        return rows, np.append(-self.s[kept] * slope / root, -penalty * w[:, 0])

    def model_depth(self, w: np.ndarray) -> float:
        """What the second-order model of F at w is at most below F(w), in any direction."""
        each, _ = self.loss.value_and_slope(self.scores(w), self.y)
        return float(self.s @ self.loss.depth(each)) + 0.5 * float((self.l2[:, None] * w * w).sum())

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

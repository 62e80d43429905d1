"""L-BFGS, for a loss that is the same function at each call."""

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from tapegrad.autograd.aliases import TensorLike, Value
from tapegrad.autograd.arguments import above_0, number, optional, positive_integer, state_given
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.creation import asarray
from tapegrad.autograd.flags import current, enable_grad, no_grad
from tapegrad.autograd.gradients import drop_gradients
from tapegrad.autograd.limits import apply, limits_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.optim.aliases import ParamsLike
from tapegrad.optim.params import read_groups

LINE_SEARCHES = (None, "strong_wolfe")


def line_search_of(name: str, value: object) -> object:
    if not (value is None or isinstance(value, str)) or value not in LINE_SEARCHES:
        raise ValueError(f"{name}: expected None or 'strong_wolfe', got {value!r}")
    return value


class LBFGS(Options):
    """Quasi-Newton steps for a smooth loss of all the data, such as a least-squares fit or a physics-informed network.

        opt = LBFGS(model)

        def closure():
            opt.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            return loss

        for _ in range(10):
            loss = opt.step(closure)             the loss before the step

    Each iteration goes along d = -H g, of which H, an estimate of the inverse of the Hessian, comes from the last
    `history_size` changes s of the parameters and y of the gradient, by the recursion of two loops:

        q = g;  from the last pair on:  a = s·q / y·s;  q = q - a * y
        q = q * s·y / y·y (of the last pair);  from the first pair on:  q = q + s * (a - y·q / y·s)

    The vectors are kept in float64 on the host, whatever the parameters' dtype and device; a pair with y·s of at most
    1e-10 is left out. `closure` may be a function under `tg.jit`; `step` itself runs as Python. Mini-batches break what
    the pairs say: give the closure all the data.

    D. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; the interface, the
    first step's length min(1, 1 / |g|₁) * lr and the defaults are PyTorch's.

    Args:
        params: A Module, tensors, (name, tensor) pairs or a dict of tensors; no groups.
        lr: The length of a step; with a line search, the length that it tries first.
        max_iter: Iterations of one step.
        max_eval: Calls of the closure in one step; None is 1.25 * max_iter.
        tolerance_grad: The largest element of the gradient at which a step ends.
        tolerance_change: The largest change of a parameter, or change of the loss, at which a step ends.
        history_size: How many pairs are kept.
        line_search: None, or "strong_wolfe": SciPy's search for a length that meets the strong Wolfe conditions, with
            1e-4 and 0.9. Where it finds none, lr is taken.

    The options are attributes, which may be set between two steps.
    """

    checks = {
        "lr": above_0, "max_iter": positive_integer, "max_eval": optional(positive_integer), "tolerance_grad": number,
        "tolerance_change": number, "history_size": positive_integer, "line_search": line_search_of,
    }  # fmt: skip

    def __init__(
        self, params: ParamsLike, lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search: str | None = None,
    ) -> None:  # fmt: skip
        groups = read_groups(params)
        if len(groups) > 1 or groups[0][1]:
            raise ValueError(
                "LBFGS: params: expected the parameters without groups: one direction is for all of them"
            )
        self.params: dict[str, Tensor] = groups[0][0]
        self.lr, self.line_search = lr, line_search
        self.max_iter, self.max_eval, self.history_size = max_iter, max_eval, history_size
        self.tolerance_grad, self.tolerance_change = tolerance_grad, tolerance_change
        size = sum(p.size for p in self.params.values())
        self.iterations = 0
        self.moves, self.changes = np.zeros((0, size)), np.zeros((0, size))  # s and y, the oldest pair first
        self.direction, self.gradient, self.length = np.zeros(size), np.zeros(size), 0.0

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients: the first line of a closure.

        Args:
            set_to_none: PyTorch's. Must be True: gradients are dropped and never filled with 0.
        """
        drop_gradients(list(self.params.values()), set_to_none)

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Up to max_iter iterations. Returns the closure's first loss.

        Args:
            closure: A function without arguments that drops the gradients, computes the loss, calls backward and
                returns the loss.

        Raises:
            TypeError: The closure is no function, or returns no number.
            FloatingPointError: The first loss or its gradient is not finite; nothing is changed then.
            RuntimeError: No parameter has a gradient.
        """
        if (recorder := current.get().recorder) is not None:
            recorder.outside(
                "LBFGS.step, which decides in Python how far to go (tg.jit goes around the closure)"
            )
        if not callable(closure):
            raise TypeError(
                f"LBFGS.step: closure: expected a function that returns the loss, got {closure!r}"
            )
        search = Search(self, closure)
        loss, g = search.at(search.start)
        first = search.loss
        if not (np.isfinite(loss) and np.isfinite(g).all()):
            raise FloatingPointError(f"LBFGS.step: the loss is {loss}, or its gradient has a NaN or Inf")
        x, done = search.start, 0
        calls = self.max_iter * 5 // 4 if self.max_eval is None else self.max_eval
        while np.abs(g).max() > self.tolerance_grad:
            done += 1
            self._learn(g)
            slope = float(g @ self.direction)
            if slope > -self.tolerance_change:
                break
            length = self.lr if self.iterations > 1 else min(1.0, 1.0 / float(np.abs(g).sum())) * self.lr
            self.length = length = search.length(x, loss, g, self.direction, length)
            x, before = x + length * self.direction, loss
            if done == self.max_iter:
                break
            loss, g = search.at(x)
            if search.calls >= calls:
                break
            moved = np.abs(length * self.direction).max()
            if moved <= self.tolerance_change or abs(loss - before) < self.tolerance_change:
                break
        self._write(x)
        params = list(self.params.values())
        apply((constraint, params[i]) for constraint, i in limits_of(params))
        return first

    def _learn(self, g: np.ndarray) -> None:
        """The pair of the last iteration, and the direction for this one."""
        self.iterations += 1
        if self.iterations > 1:
            s, y = self.length * self.direction, g - self.gradient
            if s @ y > 1e-10:
                self.moves = np.vstack([self.moves, s])[-self.history_size :]
                self.changes = np.vstack([self.changes, y])[-self.history_size :]
        self.gradient = g.copy()
        q, weights = -g, []
        for s, y in zip(self.moves[::-1], self.changes[::-1]):
            weights.append((s @ q) / (y @ s))
            q = q - weights[-1] * y
        if len(self.moves):
            s, y = self.moves[-1], self.changes[-1]
            q = q * ((s @ y) / (y @ y))
        for s, y, weight in zip(self.moves, self.changes, reversed(weights)):
            q = q + s * (weight - (y @ q) / (y @ s))
        self.direction = q

    def _read(self) -> np.ndarray:
        """The parameters, end to end, in float64."""
        return np.concatenate([p.numpy().ravel().astype("float64") for p in self.params.values()])

    def _write(self, x: np.ndarray) -> None:
        """Give the parameters the values in x."""
        start = 0
        with uninterrupted(), no_grad():
            for p in self.params.values():
                values = x[start : start + p.size].reshape(p.shape)
                p.assign(asarray(values.astype(p.numpy().dtype), device=p.device))
                start += p.size

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of what later steps depend on besides the parameters and the options. For `tg.save`."""
        numbers = {"iterations": self.iterations, "length": self.length}
        vectors = {name: getattr(self, name) for name in ("moves", "changes", "direction", "gradient")}
        return {name: asarray(np.array(value, "float64")) for name, value in (numbers | vectors).items()}

    def load_state_dict(self, saved: Mapping[str, TensorLike]) -> None:
        """Take up what `state_dict` gave.

        Args:
            saved: The state by name.

        Raises:
            ValueError: Other names, or another number of parameters; nothing is changed then.
        """
        own, saved = self.state_dict(), state_given("LBFGS.load_state_dict", saved)
        given = {name: np.array(asarray(value).numpy(), "float64") for name, value in saved.items()}
        if given.keys() != own.keys():
            raise ValueError(f"LBFGS.load_state_dict: expected {sorted(own)}, got {sorted(given)}")
        size = self.direction.size
        sizes = {name: given[name].shape[-1] for name in ("moves", "changes", "direction", "gradient")}
        if set(sizes.values()) != {size}:
            raise ValueError(f"LBFGS.load_state_dict: expected vectors of {size} numbers, got {sizes}")
        self.iterations, self.length = int(given["iterations"]), float(given["length"])
        self.moves, self.changes = given["moves"], given["changes"]
        self.direction, self.gradient = given["direction"], given["gradient"]

    def __repr__(self) -> str:
        return f"LBFGS(lr={self.lr!r}, max_iter={self.max_iter!r}, line_search={self.line_search!r})"

    def _repr_html_(self) -> str:
        from tapegrad.autograd.diagnostics import plural
        from tapegrad.autograd.pages.inline import table

        params = f"{len(self.params)}, of {plural(sum(p.size for p in self.params.values()), 'number')}"
        rows = [["parameters", params], ["pairs kept", f"{len(self.moves)} of {self.history_size}"]]
        names = ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "line_search")
        rows += [[name, repr(getattr(self, name))] for name in names]
        head = [f"LBFGS, {plural(self.iterations, 'iteration')}", ""]
        return f"<div>{table(rows, head)}</div>"


class Search:
    """The closure as a function of all parameters, which remembers its last point."""

    def __init__(self, opt: LBFGS, closure: Callable[[], Tensor]) -> None:
        self.opt, self.closure, self.calls, self.start = opt, closure, 0, opt._read()
        self.point: Value = None
        self.loss: Value = None
        self.known: Value = None

    def at(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient with the parameters at x."""
        if self.point is None or not np.array_equal(x, self.point):
            if x is not self.start:
                self.opt._write(x)
            with enable_grad():
                self.loss = self.closure()
            if not (isinstance(self.loss, (float, int)) or getattr(self.loss, "size", 0) == 1):
                raise TypeError(
                    f"LBFGS.step: the closure returns the loss, one number; got {type(self.loss).__name__}"
                )
            self.calls, self.point, self.known = self.calls + 1, x.copy(), (float(self.loss), self.gradient())
        return self.known

    def gradient(self) -> np.ndarray:
        params = self.opt.params.values()
        if all(p.grad is None for p in params):
            raise RuntimeError("LBFGS.step: no parameter has a gradient: the closure calls loss.backward()")
        parts = [
            np.zeros(p.size)
            if p.grad is None or not p.requires_grad
            else p.grad.numpy().ravel().astype("float64")
            for p in params
        ]
        return np.concatenate(parts)

    def length(self, x: np.ndarray, loss: float, g: np.ndarray, d: np.ndarray, first: float) -> float:
        """How far to go along d."""
        if self.opt.line_search is None:
            return first
        from scipy.optimize import line_search

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no such length
            found = line_search(
                lambda z: self.at(z)[0],
                lambda z: self.at(z)[1],
                x,
                first * d,
                g,
                loss,
                c1=1e-4,
                c2=0.9,
                maxiter=25,
            )[0]
        return first if found is None else float(found) * first

"""Rectified Adam."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import maximum, minimum, power, sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1


class RAdam(Optimizer):
    """Adam that warms up: without the root mean square until enough gradients were seen, then with a growing weight.

        m = beta_1 * m + (1 - beta_1) * g                     running mean of g
        v = beta_2 * v + (sqrt(1 - beta_2) * g)**2            running mean of g**2
        all = 2 / (1 - beta_2) - 1;   n = all - 2 * t * beta_2**t / (1 - beta_2**t)       at step t = 1, 2, …
        a = lr / (1 - beta_1**t) * m
        n > 5     p = p - a * r * sqrt(1 - beta_2**t) / (sqrt(v) + eps)
                  r = sqrt((n - 4) * (n - 2) * all / ((all - 4) * (all - 2) * n))
        else      p = p - a                                   the first five steps with the default beta_2

    L. Liu et al., "On the variance of the adaptive learning rate and beyond", 2020. The formula and the defaults are
    PyTorch's; Keras has none. PyTorch's decoupled_weight_decay is the default form here.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001.
        beta_1: The share of m that stays, from 0 to below 1.
        beta_2: The share of v that stays, from 0 to below 1. At most 2 / 3, n never exceeds 5.
        eps: None is 1e-8.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"beta_1": below_1, "beta_2": below_1, "eps": above_0}
    keras_defaults = torch_defaults = {"lr": 0.001, "eps": 1e-8}
    beta_1: float
    beta_2: float
    eps: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, beta_1: NumberLike = 0.9,
        beta_2: NumberLike = 0.999, eps: NumberLike | None = None, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, {"beta_1": beta_1, "beta_2": beta_2, "eps": eps}, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def square_weight(self, options: OptionNames) -> Value | None:
        return sqrt(1.0 - options.beta_2)

    def constants(self, options: OptionNames) -> Numbers:
        weight = self.square_weight(options)
        betas = {"beta_1": options.beta_1, "beta_2": options.beta_2, "new": 1.0 - options.beta_1}
        return betas | {"weight": weight, "eps": options.eps}

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        left, total = power(options.beta_2, step), 2.0 / (1.0 - options.beta_2) - 1.0
        seen = total - 2.0 * step * left / (1.0 - left)
        # Of at most 5 no root is taken, and the result is not used.
        n, most = maximum(seen, 5.0), maximum(total, 5.0)
        r = sqrt((n - 4.0) * (n - 2.0) * most / ((most - 4.0) * (most - 2.0) * n) * (1.0 - left))
        adaptive = one_above(seen, 5.0)
        plain = 1.0 - adaptive
        rate = options.lr / (1.0 - power(options.beta_1, step)) * (adaptive * r + plain)
        return {"rate": rate, "adaptive": adaptive, "plain": plain}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        m = n.beta_1 * state["m"] + n.new * g
        weighted = n.weight * g
        v = n.beta_2 * state["v"] + weighted * weighted
        return p - n.rate * (m / (n.adaptive * (sqrt(v) + n.eps) + n.plain)), {"m": m, "v": v}


def one_above(x: Value, limit: float) -> Value:
    """1 where x > limit, else 0: two floats near a limit of this size differ by more than 1e-300.

    A comparison, and `where` on it, would make arrays of a number, which are slower.
    """
    return minimum(maximum(x - limit, 0.0) * 1e300, 1.0)

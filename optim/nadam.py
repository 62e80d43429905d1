"""Nadam."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import power, sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, at_least_0, below_1

# How much of the distance to beta_1 remains from step to step.
REMAINS = 0.96


class Nadam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum that grows to beta_1.

        mu(t) = beta_1 * (1 - 0.96**(t * momentum_decay) / 2)         at step t = 1, 2, …
        m = beta_1 * m + (1 - beta_1) * g                             running mean of g
        v = beta_2 * v + (sqrt(1 - beta_2) * g)**2                    running mean of g**2
        a = mu(t + 1) * m / (1 - mu(1) * … * mu(t + 1)) + (1 - mu(t)) * g / (1 - mu(1) * … * mu(t))
        p = p - lr * a / (sqrt(v / (1 - beta_2**t)) + eps)

    The product is part of the state, so that beta_1 may change between steps.

    T. Dozat, "Incorporating Nesterov momentum into Adam", 2016. Keras and PyTorch have the same formula; PyTorch calls
    it NAdam.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001, or 0.002 with form="torch".
        beta_1: The share of m that stays, from 0 to below 1.
        beta_2: The share of v that stays, from 0 to below 1.
        eps: None is 1e-7, or 1e-8 with form="torch".
        momentum_decay: How fast mu grows; None is 1, or 0.004 with form="torch", the paper's 1 / 250. PyTorch's
            decoupled_weight_decay is the default form with these numbers.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"beta_1": below_1, "beta_2": below_1, "eps": above_0, "momentum_decay": at_least_0}
    keras_defaults = {"lr": 0.001, "eps": 1e-7, "momentum_decay": 1.0}
    torch_defaults = {"lr": 0.002, "eps": 1e-8, "momentum_decay": 0.004}
    totals = {"momentum_product": 1.0}
    beta_1: float
    beta_2: float
    eps: float
    momentum_decay: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, beta_1: NumberLike = 0.9,
        beta_2: NumberLike = 0.999, eps: NumberLike | None = None, momentum_decay: NumberLike | None = None,
        **others: object,
    ) -> None:  # fmt: skip
        own = {"beta_1": beta_1, "beta_2": beta_2, "eps": eps, "momentum_decay": momentum_decay}
        super().__init__(params, lr, own, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0}

    def square_weight(self, options: OptionNames) -> Value | None:
        return sqrt(1.0 - options.beta_2)

    def constants(self, options: OptionNames) -> Numbers:
        new, weight = 1.0 - options.beta_1, self.square_weight(options)
        return {"beta_1": options.beta_1, "beta_2": options.beta_2, "new": new, "weight": weight}

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        now, later = momentum(options, step), momentum(options, step + 1.0)
        root, product = sqrt(1.0 - power(options.beta_2, step)), options.momentum_product * now
        weights = {"of_m": later / (1.0 - product * later), "of_g": (1.0 - now) / (1.0 - product)}
        return weights | {"rate": options.lr * root, "eps": options.eps * root}

    def next_totals(self, options: OptionNames, step: Value) -> Numbers:
        return {"momentum_product": options.momentum_product * momentum(options, step)}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        m = n.beta_1 * state["m"] + n.new * g
        weighted = n.weight * g
        v = n.beta_2 * state["v"] + weighted * weighted
        return p - n.rate * ((n.of_m * m + n.of_g * g) / (sqrt(v) + n.eps)), {"m": m, "v": v}


def momentum(options: OptionNames, step: Value) -> Value:
    return options.beta_1 * (1.0 - 0.5 * power(REMAINS, step * options.momentum_decay))

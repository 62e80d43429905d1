"""Lion."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import sign
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import below_1


class Lion(Optimizer):
    """A step of exactly lr in each coordinate, against the sign of a running mean: half of Adam's memory.

        p = p - lr * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g                     running mean of g

    weight_decay is decoupled in both forms. An infinite gradient gives NaN here; elsewhere its sign for good.

    X. Chen et al., "Symbolic discovery of optimization algorithms", 2023. The defaults are Keras's; PyTorch has none.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001. The paper takes it three to ten times smaller than for AdamW, and
            weight_decay as much larger.
        beta_1: The share of m in the sign, from 0 to below 1.
        beta_2: The share of m that stays, from 0 to below 1.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"beta_1": below_1, "beta_2": below_1}
    keras_defaults = torch_defaults = {"lr": 0.001}
    always_decoupled = True
    beta_1: float
    beta_2: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, beta_1: NumberLike = 0.9,
        beta_2: NumberLike = 0.99, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, {"beta_1": beta_1, "beta_2": beta_2}, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"m": 0.0}

    def constants(self, options: OptionNames) -> Numbers:
        weights = {"new_1": 1.0 - options.beta_1, "new_2": 1.0 - options.beta_2}
        return weights | {"lr": options.lr, "beta_1": options.beta_1, "beta_2": options.beta_2}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        c = n.beta_1 * state["m"] + n.new_1 * g
        # 0 * c is NaN where c is infinite, of which the sign would not tell.
        return p - n.lr * (sign(c) + 0.0 * c), {"m": n.beta_2 * state["m"] + n.new_2 * g}

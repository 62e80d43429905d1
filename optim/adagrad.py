"""Adagrad."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import minimum, sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, at_least_0


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares so far.

        s = s + g**2                                          starts at initial_accumulator_value
        p = p - lr * g / sqrt(s + eps)                        with form="torch"   lr * g / (sqrt(s) + eps)

    s stops at the dtype's largest number.

    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    The default form is Keras's, the other one PyTorch's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001, or 0.01 with form="torch".
        initial_accumulator_value: Where s starts; None is 0.1, or 0 with form="torch". It cannot be changed once there
            are parameters.
        eps: None is 1e-7, or 1e-10 with form="torch".
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"initial_accumulator_value": at_least_0, "eps": above_0}
    keras_defaults = {"lr": 0.001, "initial_accumulator_value": 0.1, "eps": 1e-7}
    torch_defaults = {"lr": 0.01, "initial_accumulator_value": 0.0, "eps": 1e-10}
    fixed = ("form", "initial_accumulator_value")
    eps: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None,
        initial_accumulator_value: NumberLike | None = None, eps: NumberLike | None = None, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"initial_accumulator_value": initial_accumulator_value, "eps": eps}, others
        )

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"sum_of_squares": options.initial_accumulator_value}

    def square_weight(self, options: OptionNames) -> Value | None:
        return 1.0

    def constants(self, options: OptionNames) -> Numbers:
        return {"lr": options.lr, "eps": options.eps}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        s = state["sum_of_squares"] + minimum(g * g, n.largest - state["sum_of_squares"])
        root = sqrt(s) + n.eps if n.form == "torch" else sqrt(s + n.eps)
        return p - n.lr * (g / root), {"sum_of_squares": s}

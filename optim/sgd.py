"""Gradient descent with momentum."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import minimum
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import up_to_1, yes_or_no


class SGD(Optimizer):
    """Gradient descent on mini-batches, with the momentum of a heavy ball where asked for.

        v = momentum * v - lr * g
        p = p + v                           or, with nesterov,   p = p + momentum * v - lr * g

    With form="torch", v does not contain lr, so that a change of lr scales all of the momentum:

        v = momentum * v + (1 - dampening) * g             at the first step v = g
        p = p - lr * v                      or, with nesterov,   p = p - lr * (g + momentum * v)

    B. Polyak 1964; Y. Nesterov 1983; both as in I. Sutskever et al., "On the importance of initialization and momentum
    in deep learning", 2013. The default form is Keras's, the other one PyTorch's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.01, or 0.001 with form="torch".
        momentum: The share of v that stays, from 0 to 1.
        nesterov: Whether to look ahead along v.
        dampening: With form="torch" only: the share of g that is left out of v.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"momentum": up_to_1, "nesterov": yes_or_no, "dampening": up_to_1}
    torch_defaults = {"lr": 0.001}
    momentum: float
    nesterov: bool
    dampening: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, momentum: NumberLike = 0.0,
        nesterov: bool = False, dampening: NumberLike = 0.0, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"momentum": momentum, "nesterov": nesterov, "dampening": dampening}, others
        )

    def check(self, options: OptionNames) -> None:
        super().check(options)
        if options.nesterov and not options.momentum:
            raise ValueError("nesterov=True looks ahead along the momentum: expected momentum above 0, got 0")
        if options.dampening and options.form != "torch":
            raise ValueError(
                f"dampening={options.dampening} is an option of form='torch': set form, or leave it out"
            )
        if options.dampening and options.nesterov:
            raise ValueError("expected either nesterov=True or dampening, as in PyTorch, got both")

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"velocity": 0.0} if options.momentum else {}

    def constants(self, options: OptionNames) -> Numbers:
        return {"lr": options.lr, "momentum": options.momentum}

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        return {"new": 1.0 - options.dampening * minimum(step - 1.0, 1.0)} if options.form == "torch" else {}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        if "velocity" not in state:
            return p - n.lr * g, {}
        if n.form == "torch":
            v = n.momentum * state["velocity"] + n.new * g
            return p - n.lr * (g + n.momentum * v if n.nesterov else v), {"velocity": v}
        move = n.lr * g
        v = n.momentum * state["velocity"] - move
        return p + (n.momentum * v - move if n.nesterov else v), {"velocity": v}

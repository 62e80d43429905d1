"""Plain gradient descent."""

from tapegrad.autograd.aliases import Value
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer


class GradientDescent(Optimizer):
    """Steps straight down the slope, or up with maximize=True.

        p = p - lr * g

    A. Cauchy, "Méthode générale pour la résolution des systèmes d'équations simultanées", 1847. Keras and PyTorch have
    it as SGD without momentum.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: 0.01; 0.001 with form="torch".
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    torch_defaults = {"lr": 0.001}

    def __init__(self, params: FirstLike = None, lr: NumberLike | None = None, **others: object) -> None:
        super().__init__(params, lr, {}, others)

    def constants(self, options: OptionNames) -> Numbers:
        return {"lr": options.lr}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        return p - n.lr * g, {}

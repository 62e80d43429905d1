"""Adam with weight decay apart from the gradient."""

from tapegrad.optim.adam import Adam
from tapegrad.optim.aliases import FirstLike, NumberLike


class AdamW(Adam):
    """Adam, after each weight has lost lr * weight_decay of itself.

        p = p - lr * weight_decay * p                         then Adam's update

    All else as in Adam. I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019. The defaults are
    Keras's, with form="torch" PyTorch's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate, at least 0; None is the form's default.
        weight_decay: The share of each weight, times lr, that it first loses.
        beta_1: As in Adam.
        beta_2: As in Adam.
        eps: As in Adam.
        amsgrad: As in Adam.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    keras_defaults = {**Adam.keras_defaults, "weight_decay": 0.004}
    torch_defaults = {**Adam.torch_defaults, "weight_decay": 0.01}
    always_decoupled = True

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, weight_decay: NumberLike | None = None,
        beta_1: NumberLike = 0.9, beta_2: NumberLike = 0.999, eps: NumberLike | None = None, amsgrad: bool = False,
        **others: object,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, beta_1, beta_2, eps, amsgrad, weight_decay=weight_decay, **others)

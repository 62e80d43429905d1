"""Muon."""

from tapegrad.autograd.aliases import Value
from tapegrad.optim.adam import Adam
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.options import Choice, above_0, below_1, optional, yes_or_no
from tapegrad.optim.orthogonal import orthogonalized


class Muon(Adam):
    """A step of equal length along all directions of a matrix: its momentum, made nearly orthogonal.

        m = momentum * m + g;  u = g + momentum * m, or m without nesterov
        x = u / (norm(u) + 1e-7), then ns_steps times:  x = a * x + (b * x @ x.T + c * (x @ x.T)**2) @ x
        p = p - lr * rms_rate * sqrt(max(rows, columns)) * x

    with a, b, c = 3.4445, -4.7750, 2.0315, and x transposed meanwhile where it has more rows than columns. Parameters
    of other than two axes, and those of a group with matrices=False, get Adam's update instead; all lose
    lr * weight_decay of themselves before. Give embeddings and the output layer in a group of their own, as its author
    says: `Muon([{"params": hidden}, {"params": others, "matrices": False}])`.

    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, on kellerjordan.github.io;
    rms_rate: J. Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, 2025. The defaults are Keras's,
    which leaves out embeddings by their name. PyTorch's works in bfloat16 and on matrices alone: there is no
    form="torch".

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001.
        momentum: The share of m that stays, from 0 to below 1.
        nesterov: Whether a step looks ahead along m.
        ns_steps: How often the polynomial is applied, from 1 to 10.
        rms_rate: The root of the mean square of a step's elements, over lr; None leaves out that factor and the root.
        matrices: Whether matrices get the update above; False gives all parameters Adam's.
        beta_1: Adam's, of the other parameters; Keras's adam_beta_1.
        beta_2: Likewise.
        eps: Likewise.
        amsgrad: Likewise.
        weight_decay: The share of each weight, times lr, that it first loses, of Adam's parameters, too; None is 0.004.
            Keras's has an adam_weight_decay for those: give them a group of their own.
        others: Options of every optimizer: clipvalue, clipnorm, global_clipnorm, maximize (see `Optimizer`).
    """

    options = Adam.options | {
        "momentum": below_1, "nesterov": yes_or_no, "ns_steps": Choice(*range(1, 11)), "rms_rate": optional(above_0),
        "matrices": yes_or_no,
    }  # fmt: skip
    keras_defaults = torch_defaults = {**Adam.keras_defaults, "weight_decay": 0.004}
    always_decoupled = shaped = True

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, momentum: NumberLike = 0.95,
        nesterov: bool = True, ns_steps: int = 5, rms_rate: NumberLike | None = 0.2, matrices: bool = True,
        beta_1: NumberLike = 0.9, beta_2: NumberLike = 0.999, eps: NumberLike | None = None, amsgrad: bool = False,
        weight_decay: NumberLike | None = None, **others: object,
    ) -> None:  # fmt: skip
        own = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "rms_rate": rms_rate}
        super().__init__(
            params,
            lr,
            beta_1,
            beta_2,
            eps,
            amsgrad,
            **own,
            matrices=matrices,
            weight_decay=weight_decay,
            **others,
        )

    def check(self, options: OptionNames) -> None:
        super().check(options)
        if options.form == "torch":
            raise ValueError(
                "Muon: there is no form='torch': PyTorch's Muon takes matrices alone and rounds to bfloat16. Leave it "
                "out, and give lr for Keras's factor, rms_rate * sqrt(max(rows, columns))"
            )

    def constants(self, options: OptionNames) -> Numbers:
        numbers = super().constants(options) | {"momentum": options.momentum, "lr": options.lr}
        return numbers if options.rms_rate is None else numbers | {"rms_rate": options.rms_rate}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        if len(p.shape) != 2 or not n.matrices:
            return super().update(n, p, g, state)
        m = n.momentum * state["m"] + g
        u = g + n.momentum * m if n.nesterov else m
        rate = n.lr if n.rms_rate is None else n.lr * n.rms_rate * max(p.shape) ** 0.5
        return p - rate * orthogonalized(u, n.ns_steps), {"m": m}

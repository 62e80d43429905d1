"""Optimizers, one file each, and gradient clipping.

`base.py` holds what they share, `flat.py` the buffers, `params.py` the reading and checking of arguments.
"""

from typing import Any

from tapegrad.autograd.foreign import entry
from tapegrad.optim import schedules as schedules
from tapegrad.optim.adadelta import Adadelta
from tapegrad.optim.adagrad import Adagrad
from tapegrad.optim.adam import Adam
from tapegrad.optim.adamax import Adamax
from tapegrad.optim.adamw import AdamW
from tapegrad.optim.base import Optimizer
from tapegrad.optim.clip import clip_by_global_norm, clip_by_norm, clip_by_value
from tapegrad.optim.ema import EMA
from tapegrad.optim.gradient_descent import GradientDescent
from tapegrad.optim.lbfgs import LBFGS
from tapegrad.optim.lion import Lion
from tapegrad.optim.muon import Muon
from tapegrad.optim.nadam import Nadam
from tapegrad.optim.plateau import Plateau
from tapegrad.optim.radam import RAdam
from tapegrad.optim.rmsprop import RMSprop
from tapegrad.optim.sgd import SGD

__all__ = [
    "Optimizer", "GradientDescent", "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax",
    "Nadam", "RAdam", "Lion", "Muon", "LBFGS", "EMA", "Plateau",
    "clip_by_value", "clip_by_norm", "clip_by_global_norm", "get",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


KINDS: tuple[type[Optimizer], ...] = (
    GradientDescent, SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Adamax, Nadam, RAdam, Lion, Muon,
)  # fmt: skip
BY_NAME: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in KINDS}


def get(optimizer: object, **options: Any) -> Optimizer:
    """The optimizer of a name ("adam", "sgd", "rmsprop", …: Keras's, in any case), with the given options and not yet
    bound to parameters; an Optimizer is returned as it is.

    Args:
        optimizer: A name, or an Optimizer.
        **options: The options of the constructor, for a name.

    Raises:
        TypeError: Options were given for an Optimizer, or the optimizer is neither a name nor an Optimizer.
        ValueError: The name is unknown; the message lists the known ones.
    """
    if isinstance(optimizer, Optimizer):
        if options:
            raise TypeError(
                f"get: options {sorted(options)} cannot be applied to an existing optimizer: pass them to its "
                "constructor"
            )
        return optimizer
    known = ", ".join(repr(name) for name in BY_NAME)
    if isinstance(optimizer, LBFGS) or optimizer is LBFGS:
        raise TypeError(
            "optimizer: LBFGS calls a closure several times in a step: call opt.step(closure) in a loop"
        )
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer: expected an Optimizer or one of the names {known}, got {optimizer!r}")
    if optimizer.lower() not in BY_NAME:
        raise ValueError(f"optimizer: unknown name {optimizer!r}; known are {known}")
    return BY_NAME[optimizer.lower()](**options)


# What PyTorch, Keras and optax have in this room, and what to write here.
FOREIGN_NAMES = {
    "AdaGrad": "Adagrad",
    "RMSProp": "RMSprop",
    "RMSpropOptimizer": "RMSprop",
    "NAdam": "Nadam",
    "AdaDelta": "Adadelta",
    "AdaMax": "Adamax",
    "AMSGrad": "Adam(…, amsgrad=True)",
    "Nesterov": "SGD(…, momentum=0.9, nesterov=True)",
    "Momentum": "SGD(…, momentum=0.9)",
    "lr_scheduler": "optim.schedules # as in lr=schedules.Cosine(0.001, 1000)",
    "swa_utils": "EMA(model)",
    "lbfgs": "LBFGS(model) # and opt.step(closure)",
    **{
        name: here if here.startswith(("none: ", "optim.")) else f"schedules.{here}"
        for name, here in schedules.FOREIGN_NAMES.items()
    },
    "clip_grad_norm_": "clip_by_global_norm(params, limit)",
    "clip_grad_value_": "clip_by_value(params, limit)",
    "apply_updates": "opt.step()",
    "chain": "none: an optimizer has options, such as global_clipnorm and weight_decay",
    "serialize": "opt.config() and opt.state_dict()",
}


def __getattr__(name: str) -> Any:
    from tapegrad.optim.options import closest

    if name.startswith("__"):
        raise AttributeError(f"module 'tapegrad.optim' has no attribute {name!r}")
    here = FOREIGN_NAMES.get(name)
    hint = str(entry(name, here)) if here else closest(name, __all__) or f"there are {', '.join(__all__)}"
    raise AttributeError(f"module 'tapegrad.optim' has no attribute {name!r}: {hint}")

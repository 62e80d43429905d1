"""The kinds of options: how each is checked, and what other libraries call them."""

import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any

from tapegrad.autograd.foreign import entry
from tapegrad.autograd.tensor import Tensor


class Number:
    """An option that is a number, kept as a float: of a tensor its number at that time. `optional`: None and 0 switch
    it off."""

    def __init__(self, expected: str, holds: Callable[[float], bool], optional: bool = False) -> None:
        self.expected, self.holds, self.optional = expected, holds, optional

    def __call__(self, name: str, value: object) -> Any:
        """The value as it is kept. Raises TypeError or ValueError, which name the option."""
        if value is None and self.optional:
            return None
        if isinstance(value, Tensor) and value.size == 1:
            if value.requires_grad:
                raise TypeError(
                    f"{name}: expected {self.expected}, got a tensor that requires grad, which would get no gradient "
                    "here: give t.item(), or write the update by hand to learn it"
                )
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name}: expected {self.expected}, got {value!r}")
        if not (math.isfinite(value) and self.holds(float(value))):
            raise ValueError(f"{name}: expected {self.expected}, got {value!r}")
        return float(value)


class Choice:
    """An option that is one of a few values. A change of it is another program for `tg.jit`."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __call__(self, name: str, value: object) -> Any:
        """The value as it is kept. Raises TypeError or ValueError, which name the option."""
        if not any(type(value) is type(v) and value == v for v in self.values):
            error = ValueError if type(value) is type(self.values[0]) else TypeError
            expected = " or ".join(map(repr, self.values))
            raise error(f"{name}: expected {expected}, got {value!r}")
        return value


Option = Number | Choice

at_least_0 = Number("a finite number of at least 0", lambda x: x >= 0)
above_0 = Number("a finite number above 0", lambda x: x > 0)
below_1 = Number("a number of at least 0 and below 1", lambda x: 0 <= x < 1)
up_to_1 = Number("a number from 0 to 1", lambda x: 0 <= x <= 1)
yes_or_no = Choice(True, False)


def optional(kind: Number) -> Number:
    """The same kind, which also accepts None."""
    return Number(kind.expected, kind.holds, optional=True)


# What PyTorch, Keras and optax call an option, and what to write here, in the form of autograd/foreign/*.txt.
FOREIGN_OPTIONS = {
    "learning_rate": "lr",
    "step_size": "lr",
    "epsilon": "eps",
    "betas": "beta_1 and beta_2",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "b1": "beta_1",
    "b2": "beta_2",
    "alpha": "rho",
    "decay": "rho # in RMSprop; a learning rate that decays is set between steps, opt.lr = …",
    "decoupled_weight_decay": "none: without form='torch' weight_decay is decoupled",
    "lr_decay": "opt.lr = … # set between steps",
    "wd": "weight_decay",
    "l2": "weight_decay # with form='torch'",
    "clip_norm": "clipnorm",
    "clip_value": "clipvalue",
    "max_norm": "global_clipnorm",
    "global_clip_norm": "global_clipnorm",
    "use_nesterov": "nesterov",
    "initial_accumulator": "initial_accumulator_value",
    "gradient_accumulation_steps": "none: call (loss / n).backward() n times before each step()",
    "foreach": "none: parameters are always updated together",
    "fused": "none: parameters are always updated together",
    "capturable": "none: tg.jit compiles every optimizer",
    "jit_compile": "none: tg.jit compiles the step",
    "differentiable": "none: write the update by hand to differentiate it",
    "use_ema": "none: optim.EMA(model) keeps the average",
    "name": "none: optimizers have no names",
    "adam_beta_1": "beta_1",
    "adam_beta_2": "beta_2",
    **dict.fromkeys(
        ("adam_weight_decay", "adam_lr_ratio"),
        "none: lr and weight_decay are of both updates: give the parameters of Adam's a group of their own, "
        "{'params': …, 'matrices': False, 'lr': …, 'weight_decay': …}",
    ),
    **dict.fromkeys(
        ("exclude_layers", "exclude_embeddings"),
        "none: give those parameters a group of their own, {'params': …, 'matrices': False}",
    ),
    **dict.fromkeys(("muon_a", "muon_b", "muon_c"), "none: the polynomial is that of its author"),
}
# The same for attributes and methods of an optimizer and of its groups.
FOREIGN_ATTRIBUTES = {
    "param_groups": "groups",
    "add_param_group": "none: give the constructor, or bind, a list of all groups",
    "iterations": "steps",
    "state": "state_dict()",
    "get_config": "config()",
    "build": "bind(params)",
    "minimize": "loss.backward() and opt.step()",
    "apply": "p.grad = gradient for each parameter, and opt.step()",
    "apply_gradients": "p.grad = gradient for each parameter, and opt.step()",
    "variables": "state_dict()",
    "get_weights": "state_dict()",
    "set_weights": "load_state_dict(state)",
    "init": "bind(params)",
}


def name_hint(name: str, known: Iterable[str]) -> str:
    """ "(tapegrad's name for learning_rate is lr)" for a name of another library, "(did you mean 'lr'?)" for a misspelt
    one, or ""."""
    if name.startswith("__"):
        return ""
    here = FOREIGN_OPTIONS.get(name) or FOREIGN_ATTRIBUTES.get(name)
    # A name for an option is of use where there is the option.
    option = here is not None and here.split(" ")[0] in known
    if here is not None and (option or name in FOREIGN_ATTRIBUTES or here.startswith(("none: ", "opt."))):
        return f" ({entry(name, here)})"
    close = closest(name, [n for n in known if not n.startswith("_")])
    return f" ({close})" if close else ""


def closest(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'lr'?" for a misspelt name, or ""."""
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""

"""Checks of options that many layers have, for their `checks`: (what messages call it, the value) -> what is kept."""

from functools import partial
from typing import Any

from tapegrad.autograd.arguments import one_of, optional, positive_integer
from tapegrad.backends.aliases import Function
from tapegrad.nn import activations, init
from tapegrad.nn.shapes import sample_shape
from tapegrad.nn.windows import kept


def activation(name: str, value: Any) -> Function:
    """The function of a name; of None the identity."""
    return activations.get(value, name)


# None stays None, and the layer then calls nothing.
activation_or_none = optional(activation)


def initializer(name: str, value: Any) -> Function:
    return init.get(value, name)


def sizes(name: str, value: object) -> Any:
    """A number, or one for each axis. `agree` of the layer checks them: it knows how many axes there are."""
    return kept(value)


# What the weights are made for; None where it is not known yet.
INPUT = {"in_features": optional(positive_integer), "input_shape": optional(sample_shape)}
reduction = partial(one_of, known=("mean", "sum", "none"))

"""Types of layers' arguments by name, for annotations."""

from collections.abc import Callable
from typing import Any, TypeAlias

ActivationLike: TypeAlias = str | Callable[..., Any]  # a name of `nn.activations`, or a function of a tensor
WeightRuleLike: TypeAlias = str | Callable[..., Any]  # a name of `nn.weight_rules`, a rule, or a function
Initializer: TypeAlias = str | Callable[..., Any]  # a name of `nn.init`, or a function of a shape

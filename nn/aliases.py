"""Types of layers' arguments by name, for annotations."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function

ActivationLike: TypeAlias = str | Function  # a name of `nn.activations`, or a function of a tensor
WeightRuleLike: TypeAlias = str | Function  # a name of `nn.weight_rules`, a rule, or a function
Initializer: TypeAlias = str | Function  # a name of `nn.init`, or a function of a shape
LossLike: TypeAlias = str | Function  # a name of `nn.losses`, a function, a Loss or its class
Sizes: TypeAlias = int | Sequence[int]  # one number for all axes, or one for each
BorderLike: TypeAlias = int | Sequence[int | Sequence[int]]  # as `Sizes`, or pairs (before, after)
Padding: TypeAlias = str | BorderLike  # or by its name
StatesLike: TypeAlias = TensorLike | Sequence[TensorLike]  # the state of a recurrence, or several
Config: TypeAlias = dict[str, Any]  # the arguments that make a layer again, as a file keeps them
State: TypeAlias = dict[str, Tensor]  # the parameters and buffers of a module by path
Built: TypeAlias = Any  # a Parameter, and None before the layer is built or where it has none

"""How layers make their weights: the dtype, and the first values."""

import math

from tapegrad.autograd.aliases import DTypeLike
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import FLOATS, as_dtype, get_default_dtype, name_of
from tapegrad.autograd.random import host_generator
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function

Shape = tuple[int, ...]


def torch_uniform(fan_in: int) -> Function:
    """PyTorch's draw for a linear layer's weights and bias: uniform between ±1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return lambda shape: host_generator().uniform(-bound, bound, shape)


def weights_dtype(layer: str, dtype: DTypeLike | None) -> str:
    """The name of a floating dtype, of the default one for None."""
    name = name_of(get_default_dtype() if dtype is None else as_dtype(dtype, f"{layer}: dtype"))
    if name not in {name_of(f) for f in FLOATS}:
        raise ValueError(f"{layer}: dtype must be float16, float32 or float64, got {dtype!r}")
    return name


def initial(layer: str, initializer: Function, shape: Shape, dtype: str, device: str | None) -> Tensor:
    """What an initializer makes of a shape, as a tensor of that shape."""
    made = tensor(initializer(shape), dtype=dtype, device=device)
    if made.shape != shape:
        raise ValueError(
            f"{layer}: the initializer {initializer!r} was asked for {shape} and made {made.shape}"
        )
    return made

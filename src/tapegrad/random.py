"""Random tensors under the names of NumPy's Generator, in its order: `tg.random.normal(loc, scale, size)`.

They draw from the stream that `tg.manual_seed` starts, anew at each call of a compiled step.
"""

from typing import TYPE_CHECKING

from tapegrad.autograd.distributions import (
    bernoulli,
    categorical,
    choice,
    integers,
    normal,
    permutation,
    random,
    standard_normal,
    uniform,
)  # fmt: skip
from tapegrad.autograd.foreign import getattr_of

__all__ = [
    "bernoulli", "categorical", "choice", "integers", "normal", "permutation", "random", "standard_normal", "uniform",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "random")

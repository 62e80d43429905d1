"""Types of arguments by name, for annotations."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from tapegrad.autograd.tensor import Tensor

__all__ = ["Axis", "DTypeLike", "Shape", "TensorLike"]

TensorLike: TypeAlias = Tensor | ArrayLike  # a Tensor, an array, a number, nested lists of numbers
Axis: TypeAlias = int | Sequence[int] | None  # one axis, several, or all
Shape: TypeAlias = Sequence[int]
DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any]  # "float32", float, np.float32, tg.float32

"""Types of arguments by name, for annotations."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array, ArrayModule, DType, DTypeLike

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
else:
    ArrayLike = Any  # importing numpy.typing takes a millisecond

__all__ = [
    "Array", "ArrayModule", "Axis", "DType", "DTypeLike", "Index", "PathName", "Shape", "TensorLike", "Tree", "Value",
]  # fmt: skip

TensorLike: TypeAlias = Tensor | ArrayLike  # a Tensor, an array, a number, nested lists of numbers
Axis: TypeAlias = int | Sequence[int] | None  # one axis, several, or all
Shape: TypeAlias = Sequence[int]
Index: TypeAlias = Any  # what stands in brackets: integers, slices, None, ..., arrays of them
PathName: TypeAlias = str | PathLike[str]
Tree: TypeAlias = Any  # a Tensor or a number, or dicts, lists, tuples, dataclasses and Modules of them
Value: TypeAlias = (
    Any  # what a gradient rule computes with: a raw array, or a Tensor while it is recorded in turn
)

"""Types of arguments by name, for annotations."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array, ArrayModule, DType, DTypeLike, Function, Index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
else:
    ArrayLike = Any  # importing numpy.typing takes a millisecond

__all__ = [
    "Array", "ArrayModule", "Axis", "DType", "DTypeLike", "Function", "Index", "ModuleLike", "Params", "PathName",
    "Result", "Shape", "TensorLike", "Tree", "Value",
]  # fmt: skip

TensorLike: TypeAlias = Tensor | ArrayLike  # a Tensor, an array, a number, nested lists of numbers
Axis: TypeAlias = int | Sequence[int] | None  # one axis, several, or all
Shape: TypeAlias = Sequence[int]
Result: TypeAlias = Tensor | tuple[Tensor, ...]  # of a primitive: as many as its `outputs`
PathName: TypeAlias = str | PathLike[str]
Tree: TypeAlias = Any  # a Tensor or a number, or dicts, lists, tuples, dataclasses and Modules of them
# What primitives and gradient rules compute with: a raw array, or a Tensor while it is recorded. The rules are written
# once for both, which no checker can say.
Value: TypeAlias = Any
ModuleLike: TypeAlias = Any  # a Module: its room stands above this one, which names no class of it
Params: TypeAlias = dict[str, Any]  # the keyword arguments of a primitive: plain Python values

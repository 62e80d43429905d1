"""Types by name, for annotations. Arrays of several libraries have no common class: their types are names only."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # a raw array of a backend: numpy.ndarray, cupy.ndarray, …
ArrayModule: TypeAlias = Any  # the functions of a backend, by the array API's names: numpy, cupy, …
DType: TypeAlias = Any  # a dtype of a backend: numpy.dtype, or that of another library
DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any]  # "float32", float, np.float32, tg.float32
Index: TypeAlias = Any  # what stands in brackets: integers, slices, None, ..., arrays of them
Function: TypeAlias = Callable[..., Any]  # one of a user's or of a table, with whatever arguments and results

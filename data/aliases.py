"""Types of the data that models, metrics and loaders take, by name, for annotations.

Tables, sparse matrices and arrays of several libraries have no common class, and their libraries are imported only
where they are used: such types are names only.
"""

from typing import Any, TypeAlias

Features: TypeAlias = Any  # rows of numbers: an array, a Tensor, a data frame, a sparse matrix, nested lists
Targets: TypeAlias = Any  # a target for each row: an array, a Tensor, a column of a table, a list
RowWeights: TypeAlias = Any  # a factor for each row, in the same forms; None: each is 1
Frame: TypeAlias = Any  # a pandas.DataFrame
Batch: TypeAlias = Any  # what a source of batches gives: a Tensor, or tuples, lists and dicts of Tensors
PlainData: TypeAlias = dict[str, Any]  # numbers, texts and lists of them by name, as JSON holds it

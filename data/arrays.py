"""What users hand over (NumPy, lists, Tensors, frames and series of pandas or polars) as raw arrays, checked.

Neither is imported: whatever NumPy can turn into an array is taken, and `columns` is only read for messages.
"""

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.aliases import Array, DTypeLike
from tapegrad.autograd.arguments import refuse_masked, shortened
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of, resolve
from tapegrad.data.aliases import Features


def as_array(name: str, data: Features, *, dtype: DTypeLike | None = None, device: str = "cpu") -> Array:
    """The raw array of `data` on a device: of `dtype`, or with None as it comes (bool as integers).

    `name` is the argument's name in messages. Raises TypeError for what is not numbers, ValueError for ragged lists.
    """
    backend, device = resolve(device)
    if isinstance(data, Tensor):
        data._read(name, "Do it outside.")
        data = data.data
    owner = BY_TYPE.get(type(data)) if hasattr(data, "__len__") else None
    if owner is None or getattr(data.dtype, "kind", "f") not in "fiub":  # NumPy's arrays may hold text
        data = _numbers(name, data)
    elif owner is not backend:
        data = owner.to_numpy(data)
    if dtype is None and "bool" in str(data.dtype):
        dtype = "int64"
    return backend.asarray(data, dtype=None if dtype is None else backend.dtype(dtype), device=device)


def _numbers(name: str, data: Features) -> np.ndarray:
    refuse_query(name, data)
    refuse_masked(name, data)
    try:
        # A frame lies in memory column by column, and batches take rows.
        array = np.asarray(data, order="C")
    except ValueError as error:
        raise unequal(name, data) from error
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "O":  # columns of several dtypes, or with missing values
        try:
            return np.where(_is_missing(array), np.nan, array).astype(np.float64)
        except (TypeError, ValueError):
            pass
    raise TypeError(
        f"{name}: expected numbers, got {type(data).__name__} of dtype {array.dtype}{_text_columns(data)}: "
        "turn text and dates into numbers first (pandas.get_dummies does it for categories)"
    )


def shape_of(name: str, data: Features) -> tuple[int, ...]:
    """The shape that data has as an array; ValueError for lists that have none."""
    try:
        return np.shape(data)
    except ValueError as error:
        raise unequal(name, data) from error


def unequal(name: str, data: Features) -> ValueError:
    """What is raised for lists whose parts are of several shapes: which, and what they may have been meant for."""
    found = [(name, data)]
    for path, nested in found:
        shapes: dict[tuple[int, ...], str] = {}
        for number, part in enumerate(nested):
            try:
                shapes.setdefault(np.shape(part), f"{path}[{number}]")
            except ValueError:
                found.append((f"{path}[{number}]", part))
                break
        if len(shapes) > 1:
            path = " and ".join(f"{part} the shape {shape}" for shape, part in list(shapes.items())[:2])
            break
    batches = isinstance(data, list) and isinstance(data[0], tuple)
    hint = ""
    if batches or isinstance(data, tuple):
        which = "a list of batches [(x, y), …] brings" if batches else "a tuple (x, y) brings"
        hint = f". If it is meant as data with its targets: {which} them along, leave y out"
    return ValueError(f"{name}: the nested lists are not of equal lengths: {path}{hint}")


def refuse_query(name: str, data: Features) -> None:
    """Raise TypeError for a LazyFrame of polars or its like, which is a query and holds no values."""
    if hasattr(data, "collect") and not hasattr(data, "__len__"):
        raise TypeError(f"{name}: a {type(data).__name__} is a query without values: give {name}.collect()")


def _is_missing(array: np.ndarray) -> np.ndarray:
    """Where there is None, or one of pandas' own kinds of missing value."""
    kinds = ("NoneType", "NAType", "NaTType")
    return np.array([type(value).__name__ in kinds for value in array.flat]).reshape(array.shape)


def _text_columns(data: Features) -> str:
    """`, with text in the columns …`, for a data frame."""
    names = [str(c) for c in getattr(data, "columns", ()) if np.asarray(data[c]).dtype.kind not in "fiub"]
    return (
        f", with something else in the columns {shortened([repr(name) for name in names], 5)}"
        if names
        else ""
    )


def check_finite(name: str, array: Array, source: Features = None) -> None:
    """Raise ValueError if an array holds NaN or Inf: how many rows, which columns, and what to do about it.

    source: what the array was made from; a data frame's columns are named.
    """
    if not dtypes.is_floating(array.dtype):
        return
    xp = backend_of(array).xp
    finite = xp.isfinite(array)
    if bool(xp.all(finite)):
        return
    bad = ~backend_of(array).to_numpy(finite).reshape(array.shape[0], -1)
    rows, columns = np.flatnonzero(bad.any(axis=1)), np.flatnonzero(bad.any(axis=0))
    names = list(getattr(source, "columns", ()))
    where = ""
    if array.ndim == 2 and array.shape[1] > 1:
        named = [str(names[c]) if len(names) == array.shape[1] else int(c) for c in columns]
        where = (
            f" in {len(named)} of {array.shape[1]} columns ({shortened([repr(name) for name in named], 5)})"
        )
    raise ValueError(
        f"{name}: {len(rows)} of {len(bad)} rows hold NaN or infinite values{where}, the first is row {rows[0]}: "
        "drop these rows, or fill them (with a column's median, say) before training"
    )

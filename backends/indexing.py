"""Index checks for GPUs, where an index out of bounds wraps around and repeated writes have no order.

The functions take any module with NumPy's names, so tests run them without a GPU.
"""

from tapegrad.backends.aliases import Array, ArrayModule, Index


def check_bounds(shape: tuple[int, ...], index: tuple[Index, ...]) -> None:
    """IndexError, in NumPy's words, for an index array that goes beyond its axis.

    Waits for the device: whether an index is wrong is known only there.
    """
    named = sum(axes_of(part) for part in index)
    axis = 0
    for part in index:
        if hasattr(part, "dtype") and not is_mask(part) and axis < len(shape):
            n = shape[axis]
            wrong = part >= n if part.dtype.kind == "u" else (part < -n) | (part >= n)
            if wrong.any():
                bad = int(part[wrong][0])
                raise IndexError(f"index {bad} is out of bounds for axis {axis} with size {n}")
        axis += len(shape) - named if part is Ellipsis else axes_of(part)


def check_labels(xp: ArrayModule, labels: Array, classes: int) -> None:
    """IndexError for a class number that is none. Recorded, the branch is a guard."""
    if xp.any((labels < 0) | (labels >= classes)):
        raise IndexError(
            f"labels must be class numbers from 0 to {classes - 1}, got {int(xp.min(labels))} to {int(xp.max(labels))}"
        )


def axes_of(part: Index) -> int:
    """How many axes of the array a part of an index stands for, `...` aside."""
    return part.ndim if is_mask(part) else int(part is not None and part is not Ellipsis)


def is_mask(part: Index) -> bool:
    return hasattr(part, "dtype") and part.dtype.kind == "b"


def last_values(np: ArrayModule, x: Array, values: Array, index: tuple[Index, ...]) -> Array:
    """The values to write at an index, with every one that is overwritten replaced by the last for that element, so
    that x[index] = values is the same in any order.
    """
    if (
        not hasattr(values, "shape")
        or values.size == 1
        or all(is_mask(p) or not hasattr(p, "dtype") for p in index)
    ):
        return values
    last = np.zeros(x.shape, dtype=np.uint64)
    shape = last[index].shape
    values = np.broadcast_to(values[(0,) * max(values.ndim - len(shape), 0)], shape)
    np.maximum.at(last, index, np.arange(values.size, dtype=np.uint64).reshape(shape))
    return values.ravel()[last[index].astype(np.int64)]


def repeated(xp: ArrayModule, x: Array, values: Array, index: Index) -> Array:
    """The values to add at an index, repeated along the axes of an index array where both x and they have one axis:
    NumPy 2.4's add.at does not, and reads past their end."""
    if x.ndim == 1 and getattr(values, "ndim", 0) == 1:
        values = xp.broadcast_to(
            values, next((i.shape for i in index if getattr(i, "ndim", 0) > 1), values.shape)
        )
    return values

"""What backends/indexing.py promises, with NumPy in the place of a GPU's library."""

from typing import Any

import numpy as np
import pytest

from primitives.rows_indexing import INDICES, X
from primitives.table import spread
from tapegrad.backends.indexing import check_bounds, last_values

ARRAY = X[0][0]  # (3, 4)
LARGE = (np.array([0, 3]), np.array([-4]), (slice(None), np.array([[4]])), (np.array([0]), np.array([-5])),
         (Ellipsis, np.array([9])), (None, np.array([3])), (np.array([200], np.uint8),), (0, None, np.array([4])),
         (np.array([True, False, True]), np.array([4])))  # fmt: skip


def as_tuple(index: Any) -> tuple[Any, ...]:
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(
        np.array(p, dtype=bool if p is True else int) if isinstance(p, (list, bool)) else p for p in parts
    )


@pytest.mark.parametrize("index", LARGE, ids=repr)
def test_what_numpy_refuses_is_refused(index: Any):
    with pytest.raises(IndexError):
        ARRAY[index]
    with pytest.raises(IndexError, match=r"is out of bounds for axis . with size"):
        check_bounds(ARRAY.shape, as_tuple(index))


@pytest.mark.parametrize("index", [entry[1] for entry in INDICES], ids=[entry[0] for entry in INDICES])
def test_what_numpy_takes_is_taken(index: Any):
    """And writing it forwards or backwards is the same, once every value is the last for its element."""
    at = as_tuple(index)
    check_bounds(ARRAY.shape, at)
    want, got = ARRAY.copy(), ARRAY.copy()
    values = spread(ARRAY[at].shape, 5, 9)
    want[at] = values
    numbers = np.arange(ARRAY.size).reshape(ARRAY.shape)[at].ravel()
    settled = last_values(np, ARRAY, values, at)
    got.reshape(-1)[numbers[::-1]] = np.broadcast_to(settled, values.shape).ravel()[::-1]
    np.testing.assert_array_equal(got, want)


def test_values_may_broadcast_and_lead_with_ones():
    at = (np.array([0, 0, 2]),)
    for shape in ((4,), (1, 4), (1, 1, 3, 4), (3, 1)):
        values = spread(shape, 1, 2)
        want, got = ARRAY.copy(), ARRAY.copy()
        want[at] = values
        got[at] = last_values(np, ARRAY, values, at)
        np.testing.assert_array_equal(got, want)

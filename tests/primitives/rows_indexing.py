"""Rows: reading, writing and adding at an index."""

from typing import Any

import numpy as np

import tapegrad as tg
from primitives.table import Row, samples
from tapegrad.autograd import ops

WIDE = (-2.0, 2.0)
X = samples((((3, 4),),), WIDE)
ROW_AND_COLUMN = (np.array([0, 2, 2]), np.array([1, 1, -1]))
MASK = np.array([[True, False, True, False], [False] * 4, [True, True, True, True]])

# Each way to index, the shape of what it selects from (3, 4).
INDICES: tuple[tuple[str, Any, tuple[int, ...]], ...] = (
    ("a row", 1, (4,)),
    ("an element", (2, -1), ()),
    ("an element by NumPy's numbers", (np.int64(2), np.int32(-1)), ()),
    ("a slice", slice(1, None), (2, 4)),
    ("backwards", (slice(None, None, -1), slice(None, None, -2)), (3, 2)),
    ("nothing", slice(2, 2), (0, 4)),
    ("a new axis", (None, 1, Ellipsis, None), (1, 4, 1)),
    ("...", Ellipsis, (3, 4)),
    ("()", (), (3, 4)),
    ("an array", np.array([2, 0]), (2, 4)),
    ("an array with repeats", np.array([[2, 0], [-1, 2]]), (2, 2, 4)),
    ("a list", [0, 0, 1], (3, 4)),
    ("an empty list", [], (0, 4)),
    ("two arrays", ROW_AND_COLUMN, (3,)),
    ("arrays that broadcast", (np.array([[0], [2]]), np.array([1, 1, 3])), (2, 3)),
    ("a slice and an array", (slice(1, None), np.array([3, 3])), (2, 2)),
    ("an array apart", (np.array([0, 1]), None, np.array([1, 2])), (2, 1)),
    ("a mask", MASK, (6,)),
    ("a mask of rows", np.array([True, False, True]), (2, 4)),
    ("a mask of none", np.zeros((3, 4), bool), (0,)),
    ("True", True, (1, 3, 4)),
)


def assigned(x: np.ndarray, index: Any, values: Any) -> np.ndarray:
    new = x.copy()
    new[index] = values
    return new


def added(x: np.ndarray, index: Any, values: Any) -> np.ndarray:
    new = x.copy()
    np.add.at(new, index, values)
    return new


def with_values(shape: tuple[int, ...]) -> Any:
    """Values as large as the selection, and one that broadcasts to it."""
    broadcast = (1, *shape[1:]) if len(shape) == 2 else ()
    return samples([((3, 4), s) for s in dict.fromkeys((shape, broadcast))], WIDE)


# The same places as lists of coordinates, which is how TensorFlow indexes.
COORDINATES: dict[str, list[list[int]]] = {
    "a row": [[1]],
    "an array": [[2], [0]],
    "two arrays": [[0, 1], [2, 1], [2, 3]],
}


def scatter(function: str, name: str, shape: tuple[int, ...]) -> Any:
    """x with values scattered to the coordinates; repeated ones have no set order, so not updated."""
    at = COORDINATES.get(name)
    if at is None or (name == "two arrays" and function == "tensor_scatter_nd_update"):
        return None
    whole = shape if len(at) > 1 else (1, *shape)
    return lambda tf, x, v: getattr(tf, function)(x, at, tf.broadcast_to(v, whole))


def gather(name: str, shape: tuple[int, ...]) -> Any:
    at = COORDINATES.get(name)
    return at and (lambda tf, x: tf.reshape(tf.gather_nd(x, at), shape))


def rows(name: str, index: Any, shape: tuple[int, ...]) -> list[Row]:
    plain = name == "a row"
    return [
        Row(f"getitem {name}", lambda x: x[index], lambda x: x[index], X, gather(name, shape),
            "getitem" if plain else None, ints="same"),
        Row(f"index_update {name}", lambda x, v: tg.index_update(x, index, v), lambda x, v: assigned(x, index, v),
            with_values(shape), scatter("tensor_scatter_nd_update", name, shape),
            "index_update" if plain else None, ints="same"),
        Row(f"index_add {name}", lambda x, v: tg.index_add(x, index, v), lambda x, v: added(x, index, v),
            with_values(shape), scatter("tensor_scatter_nd_add", name, shape),
            "index_add_at" if plain else None, ints="same"),
    ]  # fmt: skip


def np_top_k(x: np.ndarray, k: int, axis: int = -1, largest: bool = True) -> np.ndarray:
    ordered = np.sort(x, axis)
    return np.take(np.flip(ordered, axis) if largest else ordered, range(k), axis)


ALONG = np.array([[3, 0, 0], [1, 1, 2], [-1, 2, 0]])

ROWS = [
    *(row for entry in INDICES for row in rows(*entry)),
    Row("take", lambda x, i: tg.take(x, i, axis=1), lambda x, i: np.take(x, i, axis=1), ((X[0][0], ALONG[0]),),
        lambda tf, x, i: tf.gather(x, i, axis=1)),
    Row("take over 0", tg.take, lambda x, i: np.take(x, i, axis=0), ((X[0][0], np.array([1, 1])),), "gather"),
    Row("take_along_axis", tg.take_along_axis, lambda x, i: np.take_along_axis(x, i, -1), ((X[0][0], ALONG),)),
    Row("take_along_axis over 0", lambda x, i: tg.take_along_axis(x, i, axis=0),
        lambda x, i: np.take_along_axis(x, i, 0), ((X[0][0], np.array([[2, 0, 0, 1], [2, 2, 1, 0]])),)),
    Row("argsort", lambda x: tg.argsort(x), lambda x: np.argsort(x, -1, stable=True), X, lambda tf, x: tf.argsort(
        x, -1, stable=True), "argsort", False, ints="int64"),
    Row("argsort over 0, descending", lambda x: tg.argsort(x, 0, descending=True),
        lambda x: np.argsort(-x, 0, stable=True), X,
        lambda tf, x: tf.argsort(x, 0, "DESCENDING", stable=True), None, False, ints="int64"),
    Row("sort", tg.sort, lambda x: np.sort(x, -1), X, lambda tf, x: tf.sort(x, -1), ints="same"),
    *(Row(f"top_k {name}", lambda x, o=options: tg.top_k(x, 2, **o)[0], lambda x, o=options: np_top_k(x, 2, **o), X,
          tf, ints="same")
      for name, options, tf in (("last", {}, lambda tf, x: tf.math.top_k(x, 2)[0]), ("over 0", {"axis": 0}, None),
                                ("smallest", {"largest": False}, lambda tf, x: -tf.math.top_k(-x, 2)[0]))),
    Row("top_k indices", lambda x: tg.top_k(x, 3)[1], lambda x: np.argsort(-x, -1, stable=True)[:, :3], X,
        lambda tf, x: tf.cast(tf.math.top_k(x, 3)[1], tf.int64), None, False, ints="int64"),
    Row("index_update a number", lambda x: tg.index_update(x, 1, 0.5), lambda x: assigned(x, 1, 0.5), X),
    Row("index_add a number", lambda x: tg.index_add(x, [1, 1], 0.5), lambda x: added(x, [1, 1], 0.5), X),
    # NumPy's own add.at reads past the end of such values.
    Row("index_add values repeated along an array's axes", lambda x, v: tg.index_add(x, [[0, 1, 2], [0, 3, -1]], v),
        lambda x, v: added(x, [[0, 1, 2], [0, 3, -1]], np.broadcast_to(v, (2, 3))), samples([((4,), (3,))], WIDE),
        ints="same"),
    Row("where by mask", lambda x: tg.where(tg.tensor(MASK, device=x.device), x, 0.0), lambda x: np.where(MASK, x, 0.0),
        X, lambda tf, x: tf.where(MASK, x, tf.zeros_like(x))),
    Row("numbered", ops.numbered_p, lambda x: np.arange(x.size).reshape(x.shape), X,
        lambda tf, x: tf.reshape(tf.range(tf.size(x, tf.int64)), x.shape), "numbered", False),
    Row("triangle", lambda x: ops.triangle_p(x, rows=2, columns=3, k=1), lambda x: np.tri(2, 3, 1, bool), X,
        lambda tf, x: tf.linalg.band_part(tf.ones((2, 3)), -1, 1) > 0, "triangle", False, ints="bool"),
]  # fmt: skip

"""Rows: products of matrices and tensors."""

from typing import Any

import numpy as np

import tapegrad as tg
from primitives.table import Row, samples
from tapegrad.autograd.ops.linalg import DENSE

WIDE = (-2.0, 2.0)
PRODUCTS = (
    ((3, 4), (4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)),
    ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 2)), ((2, 3, 4), (2, 4, 2)), ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 4), (1, 4, 2)),
    ((3, 0), (0, 2)), ((0, 4), (4, 2)), ((2, 3, 0), (0, 2)), ((0,), (0,)), ((2, 3, 4), (4, 0)), ((0, 3, 4), (4, 2)),
    ((3, 1), (1, 2)),
)  # fmt: skip

# subscripts and the shapes of the operands
EINSUMS: tuple[tuple[Any, ...], ...] = (
    ("ij,jk->ik", ((3, 4), (4, 2)), ((3, 0), (0, 2))),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 2))),
    ("ij,jk", ((3, 4), (4, 2))),
    ("ij->ji", ((3, 4),)),
    ("ba", ((3, 4),)),
    ("ij->", ((3, 4),)),
    ("ij->i", ((3, 4),)),
    ("i,j->ij", ((3,), (4,))),
    ("i,i", ((3,), (3,))),
    ("ij,ij->j", ((3, 4), (3, 4))),
    ("ij,k->i", ((3, 4), (2,))),
    ("ii", ((3, 3),)),
    ("ii->i", ((3, 3),)),
    ("iij->j", ((3, 3, 2),)),
    ("iii->i", ((2, 2, 2),)),
    ("ii,ij->j", ((3, 3), (3, 2))),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 2))),
    ("...ij,...jk->...ik", ((2, 3, 4), (4, 2))),
    ("...i->...", ((2, 3, 4),)),
    ("i...,i...", ((3, 2), (3, 2))),
    ("...,i->i...", ((2, 3), (4,))),
    ("ij,ij->ij", ((3, 1), (1, 4))),
    ("...i,...i->...i", ((2, 1, 3), (4, 1))),
    (",i->i", ((), (3,))),
    (" i j , j k -> k i ", ((3, 4), (4, 2))),
)
AXES: tuple[tuple[Any, Any], ...] = (
    (1, ((3, 4), (4, 2))),
    (2, ((2, 3, 4), (3, 4, 2))),
    (0, ((3,), (2, 2))),
    (((0, 2), (1, 0)), ((2, 3, 4), (4, 2, 3))),
    (((-1,), (0,)), ((3, 0), (0, 2))),
)


def tf_matmul(tf: Any, a: Any, b: Any) -> Any:
    """TensorFlow's, with a vector as a row or a column."""
    y = tf.matmul(a if len(a.shape) > 1 else a[None], b if len(b.shape) > 1 else b[:, None])
    return tf.squeeze(y, [i for i, x in ((-2, a), (-1, b)) if len(x.shape) == 1])


def tf_einsum(subscripts: str) -> Any:
    """TensorFlow's, which knows no `...` beside its own kind, no diagonals and no broadcasting."""
    lacks = "..." in subscripts or "ii" in subscripts or subscripts == "ij,ij->ij"
    return None if lacks else lambda tf, *xs: tf.einsum(subscripts, *xs)


def numpy_dense(name: str) -> Any:
    of = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[name]
    return lambda x, k, b: of(x @ k + b)


ROWS = [
    Row("matmul", tg.matmul, np.matmul, samples(PRODUCTS, WIDE), tf_matmul, "matmul", ints="same"),
    Row("@ itself", lambda x: x @ x, lambda x: x @ x, samples((((3, 3),), ((3,),)), WIDE)),
    Row("linear", tg.linear, lambda x, k, b: x @ k + b,
        samples((((3, 4), (4, 2), (2,)), ((4,), (4, 2), (2,)), ((2, 3, 4), (4, 2), (2,)), ((0, 4), (4, 2), (2,)),
                 ((3, 4), (4, 2), (1,))), WIDE), lambda tf, x, k, b: tf.tensordot(x, k, 1) + b, "linear", ints="same"),
    *(Row(whole.name, whole, numpy_dense(known.name),
          samples((((3, 4), (4, 2), (2,)), ((2, 3, 4), (4, 2), (2,)), ((0, 4), (4, 2), (2,))), WIDE),
          lambda tf, x, k, b, name=known.name: getattr(tf.nn, name)(tf.tensordot(x, k, 1) + b), whole.name)
      for known, whole in DENSE.items()),
    Row("vecdot", tg.vecdot, np.vecdot, samples((((3, 4), (3, 4)), ((3, 4), (4,))), WIDE), ints="same"),
    Row("outer", tg.outer, np.outer, samples((((3,), (4,)), ((0,), (2,))), WIDE), ints="same"),
    *(Row(f"tensordot {axes}", lambda a, b, axes=axes: tg.tensordot(a, b, axes=axes),
          lambda a, b, axes=axes: np.tensordot(a, b, axes), samples((shapes,), WIDE),
          lambda tf, a, b, axes=axes: tf.tensordot(a, b, axes), ints="same") for axes, shapes in AXES),
    *(Row(f"einsum {s}", lambda *xs, s=s: tg.einsum(s, *xs), lambda *xs, s=s: np.einsum(s, *xs), samples(shapes, WIDE),
          tf_einsum(s), ints="same") for s, *shapes in EINSUMS),
]  # fmt: skip

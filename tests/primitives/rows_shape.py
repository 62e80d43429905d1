"""Rows: what moves elements and changes none, and what changes dtype or device."""

from typing import Any

import numpy as np

import tapegrad as tg
from primitives.table import ONE, Row, samples
from tapegrad.autograd import ops

WIDE = (-2.0, 2.0)
X34, X234, X0, X313 = (samples(((shape,),), WIDE) for shape in ((3, 4), (2, 3, 4), (0, 3), (3, 1, 3)))
SCALAR = samples((((),),), WIDE)
JOINED = samples((((2, 3), (1, 3), (0, 3)), ((4, 2),)), WIDE)
STACKED = samples((((2, 3), (2, 3)), ((), (), ())), WIDE)


def one(
    name: str, call: Any, ref: Any, inputs: Any, tf: Any = None, primitive: str | None = None, **more: Any
) -> Row:
    return Row(name, call, ref, inputs, tf, primitive, **{"ints": "same", **more})


def part(i: int, cut: Any) -> Any:
    """One of the arrays that a function returns."""
    return lambda *a: cut(*a)[i]


TF_PADS = ("constant", "reflect", "symmetric")
# TensorFlow's words for a triangle: (below, above), -1 for all.
BANDS = {("tril", 0): (-1, 0), ("triu", 0): (0, -1)}

ROWS = [
    one("reshape", lambda x: tg.reshape(x, (2, -1)), lambda x: np.reshape(x, (2, -1)), X34 + X234,
        lambda tf, x: tf.reshape(x, (2, -1)), "reshape"),
    one("reshape of none", lambda x: tg.reshape(x, (2, 0, 5)), lambda x: np.reshape(x, (2, 0, 5)), X0),
    one("reshape to 0-d", lambda x: x.reshape(()), lambda x: np.reshape(x, ()), samples((((1, 1),),), WIDE)),
    one("permute_dims", lambda x: tg.permute_dims(x, (2, 0, 1)), lambda x: np.transpose(x, (2, 0, 1)), X234 + X313,
        lambda tf, x: tf.transpose(x, (2, 0, 1)), "permute_dims"),
    one("T", lambda x: x.T, lambda x: x.T, X34 + X0),
    one("matrix_transpose", tg.matrix_transpose, lambda x: np.swapaxes(x, -1, -2), X34 + X234,
        "linalg.matrix_transpose"),
    one("transpose", lambda x: x.transpose(), np.transpose, X34 + X234 + SCALAR, "transpose"),
    one("moveaxis", lambda x: tg.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), X34 + X234),
    one("broadcast_to", lambda x: tg.broadcast_to(x, (2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4)),
        X34 + SCALAR + samples((((3, 1),), ((1, 1, 4),), ((2, 3, 4),)), WIDE),
        lambda tf, x: tf.broadcast_to(x, (2, 3, 4)), "broadcast_to"),
    one("broadcast_to none", lambda x: tg.broadcast_to(x, (0, 3)), lambda x: np.broadcast_to(x, (0, 3)),
        samples((((1, 3),), ((),)), WIDE)),
    one("expand_dims", lambda x: tg.expand_dims(x, axis=1), lambda x: np.expand_dims(x, 1), X34 + X0,
        lambda tf, x: tf.expand_dims(x, 1)),
    one("expand_dims last", lambda x: tg.expand_dims(x, axis=-1), lambda x: np.expand_dims(x, -1), X34 + SCALAR),
    one("squeeze", lambda x: tg.squeeze(x, axis=1), lambda x: np.squeeze(x, 1), X313, lambda tf, x: tf.squeeze(x, [1])),
    one("squeeze two", lambda x: tg.squeeze(x, axis=(0, -1)), lambda x: np.squeeze(x, (0, -1)),
        samples((((1, 3, 1),),), WIDE)),
    one("squeeze all", lambda x: tg.squeeze(x, None), np.squeeze, X313 + X34 + SCALAR, lambda tf, x: tf.squeeze(x)),
    one("flatten", tg.flatten, np.ravel, X34 + X0 + SCALAR, lambda tf, x: tf.reshape(x, [-1])),
    one("concat", lambda *xs: tg.concat(xs, axis=0), lambda *xs: np.concatenate(xs, axis=0), JOINED,
        lambda tf, *xs: tf.concat(xs, 0), "concat"),
    one("concat over -1", lambda *xs: tg.concat(xs, axis=-1), lambda *xs: np.concatenate(xs, axis=-1),
        samples((((2, 3), (2, 1)),), WIDE), lambda tf, *xs: tf.concat(xs, -1)),
    one("concat flattened", lambda *xs: tg.concat(xs, axis=None), lambda *xs: np.concatenate(xs, axis=None),
        samples((((2, 3), (4,)),), WIDE)),
    one("concat of one twice", lambda x: tg.concat([x, x]), lambda x: np.concatenate([x, x]), X34),
    one("stack", lambda *xs: tg.stack(xs), lambda *xs: np.stack(xs), STACKED, lambda tf, *xs: tf.stack(xs)),
    one("stack over -1", lambda *xs: tg.stack(xs, axis=-1), lambda *xs: np.stack(xs, axis=-1), STACKED,
        lambda tf, *xs: tf.stack(xs, -1)),
    *(one(f"split, part {i}", part(i, lambda x: tg.split(x, 2, axis=1)), part(i, lambda x: np.split(x, 2, axis=1)), X34,
          lambda tf, x, i=i: tf.split(x, 2, axis=1)[i]) for i in (0, 1)),
    *(one(f"split at 1 and 3, part {i}", part(i, lambda x: tg.split(x, [1, 3], axis=-1)),
          part(i, lambda x: np.split(x, [1, 3], axis=-1)), X34 + X234) for i in (0, 1, 2)),
    one("unstack", part(1, tg.unstack), lambda x: x[1], X34 + X234, lambda tf, x: tf.unstack(x)[1]),
    one("unstack over -1", part(1, lambda x: tg.unstack(x, axis=-1)), lambda x: x[..., 1], X34 + X234),
    one("flip", tg.flip, np.flip, X34 + X0 + SCALAR),
    one("flip over -1", lambda x: tg.flip(x, axis=-1), lambda x: np.flip(x, -1), X34 + X234,
        lambda tf, x: tf.reverse(x, [-1])),
    one("tile", lambda x: tg.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), X34 + X234),
    one("tile fewer axes", lambda x: tg.tile(x, 2), lambda x: np.tile(x, 2), X34 + X0 + SCALAR),
    one("tile once", lambda x: tg.tile(x, 1), lambda x: np.tile(x, 1), X34, lambda tf, x: tf.identity(x)),
    one("tile one element", lambda x: tg.tile(x, (1, 3, 2)), lambda x: np.tile(x, (1, 3, 2)),
        samples((((3, 1, 1),),), WIDE), lambda tf, x: tf.tile(x, (1, 3, 2))),
    one("tile none", lambda x: tg.tile(x, (0, 2)), lambda x: np.tile(x, (0, 2)), X34, lambda tf, x: tf.tile(x, (0, 2))),
    *(one(f"pad {mode}", lambda x, mode=mode: tg.pad(x, ((1, 2), (0, 3)), mode),
          lambda x, mode=mode: np.pad(x, ((1, 2), (0, 3)), mode), X34,
          (mode in TF_PADS and (lambda tf, x, mode=mode: tf.pad(x, ((1, 2), (0, 3)), mode))) or None)
      for mode in ("constant", "edge", "reflect", "symmetric", "wrap")),
    *(one(f"pad {mode} beyond the length", lambda x, mode=mode: tg.pad(x, (5, 9), mode),
          lambda x, mode=mode: np.pad(x, (5, 9), mode), samples((((3,),), ((1, 2),)), WIDE))
      for mode in ("edge", "reflect", "symmetric", "wrap")),
    one("pad with 1", lambda x: tg.pad(x, 1, constant_values=1), lambda x: np.pad(x, 1, constant_values=1),
        X34 + X0, lambda tf, x: tf.pad(x, [(1, 1)] * 2, constant_values=1)),
    one("pad of 0-d", lambda x: tg.pad(x, 1), lambda x: np.pad(x, 1), SCALAR),
    one("roll", lambda x: tg.roll(x, 2, 1), lambda x: np.roll(x, 2, 1), X34 + X234, lambda tf, x: tf.roll(x, 2, 1)),
    one("roll flat", lambda x: tg.roll(x, -5), lambda x: np.roll(x, -5), X34 + X0 + SCALAR),
    one("roll no axis", lambda x: tg.roll(x, (), ()), lambda x: np.roll(x, (), ()), X34),
    one("pad nothing", lambda x: tg.pad(x, 0, "edge"), lambda x: np.pad(x, 0, "edge"), X34),
    one("roll an axis twice", lambda x: tg.roll(x, (1, -3), (1, -1)), lambda x: np.roll(x, (1, -3), (1, 1)), X34),
    one("roll two axes", lambda x: tg.roll(x, (1, -2), (0, -1)), lambda x: np.roll(x, (1, -2), (0, -1)), X34 + X234,
        lambda tf, x: tf.roll(x, (1, -2), (0, -1))),
    one("roll by a whole turn", lambda x: tg.roll(x, 3, 0), lambda x: np.roll(x, 3, 0), X34 + X0),
    one("repeat", lambda x: tg.repeat(x, 3, 1), lambda x: np.repeat(x, 3, 1), X34 + X234 + X313,
        lambda tf, x: tf.repeat(x, 3, 1)),
    one("repeat once", lambda x: tg.repeat(x, 1, 1), lambda x: np.repeat(x, 1, 1), X34 + X313),
    one("repeat one element", lambda x: tg.repeat(x, 2, 0), lambda x: np.repeat(x, 2, 0),
        samples((((1, 3),),), WIDE), lambda tf, x: tf.repeat(x, 2, 0)),
    one("repeat each", lambda x: tg.repeat(x, [2, 0, 3], 0), lambda x: np.repeat(x, [2, 0, 3], 0), X34 + X313,
        lambda tf, x: tf.repeat(x, [2, 0, 3], 0)),
    one("repeat flat", lambda x: tg.repeat(x, 2), lambda x: np.repeat(x, 2), X34 + X0 + SCALAR,
        lambda tf, x: tf.repeat(x, 2)),
    *(one(f"{name} {k}", lambda x, name=name, k=k: getattr(tg, name)(x, k),
          lambda x, name=name, k=k: getattr(np, name)(x, k), X34 + X234 + X0, lambda tf, x, name=name, k=k:
          tf.linalg.band_part(x, *BANDS[name, k]) if (name, k) in BANDS else getattr(tf.experimental.numpy, name)(x, k))
      for name in ("tril", "triu") for k in (0, 1, -2)),
    one("diff", tg.diff, np.diff, X34 + X234, lambda tf, x: tf.experimental.numpy.diff(x)),
    one("diff none", lambda x: tg.diff(x, 0), lambda x: np.diff(x, 0), X34),
    one("diff twice over 0", lambda x: tg.diff(x, 2, 0), lambda x: np.diff(x, 2, 0), X34 + X234,
        lambda tf, x: tf.experimental.numpy.diff(x, 2, 0)),
    one("diff behind a number", lambda x: tg.diff(x, prepend=3), lambda x: np.diff(x, prepend=3), X34, ints=None),
    one("diff between numbers", lambda x: tg.diff(x, 2, 0, prepend=0.5, append=tg.max(x)),
        lambda x: np.diff(x, 2, 0, prepend=0.5, append=np.max(x)), X34, ints=None),
    one("diff with ends", lambda x: tg.diff(x, 1, 0, prepend=x[:2], append=x[:1]),
        lambda x: np.diff(x, 1, 0, x[:2], x[:1]), X34),
    *(one(f"meshgrid {how}", lambda *xs, how=how: tg.stack(tg.meshgrid(*xs, indexing=how)),
          lambda *xs, how=how: np.stack(np.meshgrid(*xs, indexing=how)),
          samples((((3,), (2,)), ((4,),)), WIDE),
          lambda tf, *xs, how=how: tf.stack(tf.meshgrid(*xs, indexing=how))) for how in ("xy", "ij")),
    one("astype", lambda x: tg.astype(x, "float64"), lambda x: x.astype("float64"), X34 + SCALAR,
        lambda tf, x: tf.cast(x, tf.float64), "astype", ints=None),
    one("astype int", lambda x: tg.astype(x * 3, "int32"), lambda x: (x * 3).astype("int32"), X34,
        lambda tf, x: tf.cast(x * 3, tf.int32), grad=False, ints=None),
    one("move", lambda x: ops.move(x, place=x.device), np.copy, X34 + SCALAR, "identity", "move"),
    one("random_uniform", lambda x: tg.uniform(x.shape, dtype=x.dtype, device=x.device), None, samples(ONE, WIDE), None,
        "random_uniform", grad=False, ints=None),
    one("ones_like", ops.ones_like_p, np.ones_like, samples(ONE, WIDE), "ones_like", "ones_like", grad=False),
    one("zeros_like", ops.zeros_like_p, np.zeros_like, samples(ONE, WIDE), "zeros_like", "zeros_like", grad=False),
]  # fmt: skip

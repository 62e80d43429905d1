"""Rows: reductions over axes, and softmax with its relatives."""

from typing import Any

import numpy as np

import tapegrad as tg
from primitives.table import Row, samples
from tapegrad.autograd import ops

WIDE = (-2.0, 2.0)
SHAPES = (((3, 4),), ((),), ((2, 3, 2),), ((3, 0),))
FILLED = SHAPES[:-1]
MATRICES = (((3, 4),), ((2, 3, 2),))
ROWS_FILLED = (((3, 4),), ((2, 3, 2),), ((0, 3),))  # the last axis is never empty


def np_logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.reshape(y, np.sum(x, axis=axis).shape)


def np_softmax(x: Any, axis: int = -1) -> Any:
    return np.exp(x - np_logsumexp(x, axis, True))


def np_log_softmax(x: Any, axis: int = -1) -> Any:
    return x - np_logsumexp(x, axis, True)


NORMALIZED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {"axis": (1,), "epsilon": 1e-3, "center": True}),
    (" over 0", {"axis": (0,), "epsilon": 0.5, "center": True}),
    (" not centered", {"axis": (0, 1), "epsilon": 1e-6, "center": False}),
)


def np_normalize(x: Any, axis: Any, epsilon: float, center: bool) -> Any:
    apart = x - np.mean(x, axis=axis, keepdims=True) if center else x
    return apart / np.sqrt(np.mean(apart**2, axis=axis, keepdims=True) + epsilon)


def tf_normalize(tf: Any, x: Any, axis: Any, epsilon: float, center: bool) -> Any:
    mean = tf.reduce_mean(x, axis, keepdims=True) if center else 0.0
    variance = tf.reduce_mean((x - mean) ** 2, axis, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, None, None, epsilon)


# How a reduction is called: the arguments, and what TensorFlow calls them.
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    (" over 0, kept", {"axis": 0, "keepdims": True}),
    (" over -1", {"axis": -1}),
    (" over (0, -1)", {"axis": (0, -1)}),
    (" over ()", {"axis": ()}),
)


def family(name: str, ref: Any, tf: str, shapes: Any, ints: str | None = None) -> list[Row]:
    """A reduction called in each of the ways; the plain one stands for the primitive."""
    f = getattr(tg, name)
    logical = name in ("any", "all")

    def inputs(shapes: Any) -> Any:
        given = samples(shapes, WIDE)
        return tuple((x > 0.8,) for (x,) in given) if logical else given

    return [
        Row(
            f"{name}{suffix}",
            lambda x, kw=kw: f(x, **kw),
            lambda x, kw=kw: ref(x, **kw),
            inputs(MATRICES if suffix else shapes),
            lambda tf_, x, kw=kw: getattr(tf_.math, tf)(x, **kw),
            None if suffix else name,
            grad=not logical,
            ints=ints,
        )
        for suffix, kw in CALLS
    ]


def along(name: str, ref: Any, tf: str) -> list[Row]:
    """Softmax and log_softmax, along the last axis and along the first."""
    f = getattr(tg, name)
    return [
        Row(name, f, ref, samples(ROWS_FILLED, WIDE), f"nn.{tf}", name, ints="float"),
        Row(f"{name} over 0", lambda x: f(x, axis=0), lambda x: ref(x, 0), samples(MATRICES, WIDE),
            lambda tf_, x: getattr(tf_.nn, tf)(x, axis=0)),
    ]  # fmt: skip


def spread_of(name: str, ref: Any, tf: str) -> list[Row]:
    """var and std, the biased kind as in NumPy, and with a correction."""
    f = getattr(tg, name)
    return [
        *family(name, ref, tf, FILLED[::2], "float")[:-1],
        Row(f"{name} with correction", lambda x: f(x, axis=1, correction=1), lambda x: ref(x, axis=1, ddof=1),
            samples(MATRICES, WIDE)),
    ]  # fmt: skip


def running(name: str, tf: str) -> list[Row]:
    """Running sums and products, of lengths around powers of two."""
    f, add_up = getattr(tg, name), getattr(np, tf)  # NumPy 2.0 has no cumulative_sum

    def ref(x: Any, axis: int = 0, dtype: Any = None, include_initial: bool = False) -> Any:
        y = add_up(x, axis=axis, dtype=dtype)
        return np.insert(y, 0, add_up is np.cumprod, axis=axis) if include_initial else y

    return [
        *(Row(f"{name}{kind}", lambda x, at=axis: f(x, at), lambda x, at=axis: ref(x, axis=at),
              samples((*SHAPES[::2], ((2, 5),), ((9, 2),), ((4, 1),), ((0, 3),)), WIDE),
              lambda t, x, at=axis: getattr(t.math, tf)(x, at), name if axis else None, ints="sum")
          for kind, axis in (("", -1), (" over 0", 0))),
        Row(f"{name} of a vector", f, ref, samples((((7,),), ((8,),)), WIDE), lambda t, x: getattr(t.math, tf)(x)),
        Row(f"{name} with initial", lambda x: f(x, axis=1, include_initial=True),
            lambda x: ref(x, axis=1, include_initial=True), samples((*MATRICES, ((3, 0),)), WIDE)),
        Row(f"{name} as float64", lambda x: f(x, axis=1, dtype="float64"), lambda x: ref(x, axis=1, dtype="float64"),
            samples(MATRICES, WIDE)),
    ]  # fmt: skip


ROWS = [
    *family("sum", np.sum, "reduce_sum", SHAPES, "sum"),
    *family("mean", np.mean, "reduce_mean", FILLED, "float"),
    *family("max", np.max, "reduce_max", FILLED, "same"),
    *family("min", np.min, "reduce_min", FILLED, "same"),
    *family("prod", np.prod, "reduce_prod", SHAPES, "sum"),
    *family("logsumexp", np_logsumexp, "reduce_logsumexp", FILLED, "float"),
    *spread_of("var", np.var, "reduce_variance"),
    *spread_of("std", np.std, "reduce_std"),
    *family("any", np.any, "reduce_any", SHAPES),
    *family("all", np.all, "reduce_all", SHAPES),
    Row("square_factor", lambda x: ops.square_factor(x, axis=(0,)), lambda x: np.ones((1, *x.shape[1:]), x.dtype),
        samples(MATRICES, WIDE), lambda tf, x: tf.ones_like(x[:1]), "square_factor", False, ints="float"),
    Row("center", lambda x: ops.center_p(x, axis=(0,)), lambda x: np.mean(x, axis=0, keepdims=True),
        samples(MATRICES, WIDE), lambda tf, x: tf.reduce_mean(x, 0, keepdims=True), "center", ints="float"),
    Row("prod of one", lambda x: tg.prod(x, axis=1), lambda x: np.prod(x, axis=1), samples((((3, 1),),), WIDE),
        lambda tf, x: tf.reduce_prod(x, 1)),
    Row("prod of seven", lambda x: tg.prod(x, axis=1), lambda x: np.prod(x, axis=1), samples((((2, 7),),), WIDE),
        lambda tf, x: tf.reduce_prod(x, 1)),
    Row("sum as float64", lambda x: tg.sum(x, dtype="float64"), np.sum, samples(MATRICES, WIDE), "reduce_sum"),
    *along("softmax", np_softmax, "softmax"),
    *along("log_softmax", np_log_softmax, "log_softmax"),
    *running("cumulative_sum", "cumsum"),
    *running("cumulative_prod", "cumprod"),
    *(Row(name, getattr(tg, name), getattr(np, name), samples(FILLED, WIDE),
          lambda tf, x, name=name: getattr(tf, name)(tf.reshape(x, [-1])), name, False, ints="int64")
      for name in ("argmax", "argmin")),
    *(Row(f"{name} over 0, kept", lambda x, name=name: getattr(tg, name)(x, axis=0, keepdims=True),
          lambda x, name=name: getattr(np, name)(x, axis=0, keepdims=True), samples(MATRICES, WIDE),
          lambda tf, x, name=name: tf.expand_dims(getattr(tf, name)(x, 0), 0), None, False, ints="int64")
      for name in ("argmax", "argmin")),
    *(Row(f"normalize{kind}", lambda x, kw=kw: ops.normalize_p(x, **kw), lambda x, kw=kw: np_normalize(x, **kw),
          samples(MATRICES, WIDE), lambda tf, x, kw=kw: tf_normalize(tf, x, **kw), None if kind else "normalize",
          ints="float") for kind, kw in NORMALIZED),
]  # fmt: skip

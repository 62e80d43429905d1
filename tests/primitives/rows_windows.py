"""Rows: convolution and pooling. The references go from window to window."""

from itertools import product
from math import prod
from typing import Any

import numpy as np

from primitives.table import Row, samples
from tapegrad.autograd import ops
from tapegrad.autograd.ops.windows import window_counts

WIDE = (-2.0, 2.0)

# What each case is: of the input, the kernel, strides, border, dilation, groups; and TensorFlow's padding, where it has
# one for the border.
CASES: dict[str, tuple[Any, ...]] = {
    "one axis": ((2, 5, 3), (2, 3, 4), (1,), ((0, 0),), (1,), 1, "VALID"),
    "same": ((2, 3, 4, 2), (2, 3, 2, 3), (1, 1), ((0, 1), (1, 1)), (1, 1), 1, "SAME"),
    "strides": ((2, 5, 5, 2), (3, 2, 2, 3), (2, 2), ((0, 0), (0, 0)), (1, 1), 1, "VALID"),
    "dilation": ((1, 6, 5, 2), (2, 2, 2, 2), (1, 1), ((0, 0), (0, 0)), (3, 2), 1, "VALID"),
    "three axes": ((1, 3, 2, 3, 2), (2, 1, 2, 2, 2), (1, 1, 2), ((0, 0),) * 3, (1, 1, 1), 1, "VALID"),
    "one place": ((2, 3, 2), (1, 2, 3), (1,), ((0, 0),), (1,), 1, "VALID"),
    "more channels": ((1, 3, 4, 5), (2, 2, 5, 3), (1, 1), ((0, 0), (1, 0)), (1, 2), 1, None),
    "border": ((2, 4, 4, 1), (3, 2, 1, 2), (2, 1), ((2, 0), (-1, 3)), (1, 2), 1, None),
    "groups": ((2, 4, 3, 4), (2, 2, 2, 6), (1, 2), ((1, 0), (0, 1)), (1, 1), 2, None),
    "per channel": ((2, 4, 3, 3), (2, 2, 1, 3), (2, 1), ((1, 1), (0, 1)), (1, 2), 3, None),
    "more per channel": ((2, 4, 3), (2, 1, 6), (1,), ((1, 1),), (1,), 3, None),
    "no batch": ((0, 4, 3), (2, 3, 2), (1,), ((0, 0),), (1,), 1, "VALID"),
}
# TensorFlow pools over three axes in float32.
POOLS: dict[str, tuple[Any, ...]] = {
    "one axis": ((2, 5, 3), (2,), (1,), ((0, 0),), (1,), "VALID"),
    "apart": ((2, 4, 6, 2), (2, 3), (2, 3), ((0, 0), (0, 0)), (1, 1), "VALID"),
    "same": ((1, 5, 4, 2), (3, 2), (2, 2), ((1, 1), (0, 0)), (1, 1), "SAME"),
    "three axes": ((1, 3, 2, 4, 2), (2, 1, 2), (1, 1, 2), ((0, 0),) * 3, (1, 1, 1), None),
    "one place": ((2, 3, 2), (1,), (1,), ((0, 0),), (1,), "VALID"),
    "border": ((2, 4, 3), (3,), (2,), ((2, 1),), (1,), None),
    "no batch": ((0, 4, 3), (2,), (2,), ((0, 0),), (1,), "VALID"),
}


def windows(x: Any, window: Any, strides: Any, border: Any, dilation: Any, fill: float = 0.0) -> Any:
    """(index of the result, elements of that window (…, channels) by sample), of one window after the other."""
    grown = np.pad(x, ((0, 0), *((max(a, 0), max(b, 0)) for a, b in border), (0, 0)), constant_values=fill)
    for axis, (a, b) in enumerate(border):
        grown = np.take(grown, range(max(-a, 0), grown.shape[axis + 1] + min(b, 0)), axis + 1)
    counts = window_counts(x.shape[1:-1], window, strides, border, dilation)
    for at in product(*map(range, counts)):
        each = zip(at, window, strides, dilation, strict=True)
        yield at, grown[:, *(slice(i * s, i * s + (k - 1) * d + 1, d) for i, k, s, d in each)]


def convolved(case: str, x: Any, w: Any) -> Any:
    _, _, strides, border, dilation, groups, _ = CASES[case]
    counts = window_counts(x.shape[1:-1], w.shape[:-2], strides, border, dilation)
    y = np.zeros((x.shape[0], *counts, w.shape[-1]))
    per, out = x.shape[-1] // groups, w.shape[-1] // groups
    for at, part in windows(x, w.shape[:-2], strides, border, dilation):
        for n in range(groups):
            k = w[..., n * out : (n + 1) * out]
            rows = part[..., n * per : (n + 1) * per].reshape(x.shape[0], prod(k.shape[:-1]))
            y[:, *at, n * out : (n + 1) * out] = rows @ k.reshape(prod(k.shape[:-1]), out)
    return y


def transposed(f: Any, shape: Any) -> Any:
    """Of a function that is linear in an array of a shape: for g the gradient of <g, f>."""

    def apply(g: Any) -> Any:
        basis = np.eye(prod(shape)).reshape(prod(shape), *shape)
        return np.array([np.sum(g * f(b)) for b in basis]).reshape(shape)

    return apply


def options(case: str) -> dict[str, Any]:
    _, _, strides, border, dilation, groups, _ = CASES[case]
    return {"strides": strides, "border": border, "dilation": dilation, "groups": groups}


def tf_convolution(case: str) -> Any:
    _, _, strides, _, dilation, _, padding = CASES[case]
    # Its gradient asks for the format.
    known = {
        "padding": padding,
        "data_format": ("NWC", "NHWC", "NDHWC")[len(strides) - 1],
    }
    return lambda tf, x, w: tf.nn.convolution(x, w, list(strides), dilations=list(dilation), **known)


def tf_slope(case: str, shape: Any, of: int) -> Any:
    """By TensorFlow's gradient of its convolution."""

    def slope(tf: Any, given: Any, g: Any) -> Any:
        start = tf.zeros(shape, g.dtype)
        with tf.GradientTape() as tape:
            tape.watch(start)
            pair = (start, given) if of == 0 else (given, start)
            total = tf.reduce_sum(tf_convolution(case)(tf, *pair) * g)
        return tape.gradient(total, start)

    return slope


def convolution_rows(case: str) -> list[Row]:
    x, w, *_, padding = CASES[case]
    p = options(case)
    y = convolved(case, np.zeros(x), np.zeros(w)).shape
    named = lambda name: name if padding else None
    tf = lambda f: f if padding else None
    into, kernel = ops.convolution_input_p, ops.convolution_kernel_p
    return [
        Row(f"convolution {case}", lambda x, w: ops.convolution_p(x, w, **p), lambda x, w: convolved(case, x, w),
            samples(((x, w),), WIDE), tf(tf_convolution(case)), named("convolution"), ints="float"),
        Row(f"convolution_input {case}", lambda g, w: into(g, w, lengths=x[1:-1], **p),
            lambda g, w: transposed(lambda b: convolved(case, b, w), x)(g), samples(((y, w),), WIDE),
            tf(lambda tf, g, w: tf_slope(case, x, 0)(tf, w, g)), named("convolution_input"), ints="float"),
        Row(f"convolution_kernel {case}", lambda x, g: kernel(x, g, window=w[:-2], **p),
            lambda x, g: transposed(lambda b: convolved(case, x, b), w)(g), samples(((x, y),), WIDE),
            tf(lambda tf, x, g: tf_slope(case, w, 1)(tf, x, g)), named("convolution_kernel"), ints="float"),
    ]  # fmt: skip


def largest(case: str, x: Any) -> Any:
    _, window, strides, border, dilation, _ = POOLS[case]
    counts = window_counts(x.shape[1:-1], window, strides, border, dilation)
    y = np.zeros((x.shape[0], *counts, x.shape[-1]), x.dtype)
    for at, part in windows(x, window, strides, border, dilation, -np.inf):
        y[:, *at] = part.reshape(x.shape[0], prod(window), x.shape[-1]).max(axis=1)
    return y


def taken(case: str, h: Any, x: Any) -> Any:
    _, window, strides, border, dilation, _ = POOLS[case]
    y = np.zeros(largest(case, x).shape)
    both = zip(
        windows(h, window, strides, border, dilation),
        windows(x, window, strides, border, dilation, -np.inf),
        strict=True,
    )
    for (at, a), (_, b) in both:
        a, b = (v.reshape(x.shape[0], prod(window), x.shape[-1]) for v in (a, b))
        y[:, *at] = np.take_along_axis(a, b.argmax(axis=1)[:, None], axis=1)[:, 0]
    return y


def summed(case: str, x: Any) -> Any:
    _, window, strides, border, dilation, _ = POOLS[case]
    y = np.zeros((x.shape[0], *window_counts(x.shape[1:-1], window, strides, border, dilation), x.shape[-1]))
    for at, part in windows(x, window, strides, border, dilation):
        y[:, *at] = part.reshape(x.shape[0], prod(window), x.shape[-1]).sum(axis=1)
    return y


def tf_pool(case: str, kind: str) -> Any:
    _, window, strides, _, _, padding = POOLS[case]
    return lambda tf, x: tf.nn.pool(x, window, kind, strides, padding)


def tf_transposed(f: Any, shape: Any) -> Any:
    def apply(tf: Any, g: Any, *xs: Any) -> Any:
        start = xs[0] if xs else tf.zeros(shape, g.dtype)
        with tf.GradientTape() as tape:
            tape.watch(start)
            total = tf.reduce_sum(f(tf, start) * g)
        return tape.gradient(total, start)

    return apply


def tf_taken(case: str, shape: Any) -> Any:
    """By the second derivative: the gradient of <g, pool(x)> along h, for g."""

    def apply(tf: Any, h: Any, x: Any) -> Any:
        g = tf.zeros(shape, x.dtype)
        with tf.GradientTape() as outer:
            outer.watch(g)
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(tf_pool(case, "MAX")(tf, x) * g)
            slope = tape.gradient(total, x)
            along = tf.reduce_sum(slope * h)
        return outer.gradient(along, g)

    return apply


def pool_rows(case: str) -> list[Row]:
    x, window, strides, border, dilation, padding = POOLS[case]
    p = {"window": window, "strides": strides, "border": border}
    d = p | {"dilation": dilation}
    y = summed(case, np.zeros(x)).shape
    # TensorFlow's average does not count the border.
    sums = padding == "VALID"
    put, take = ops.max_pool_put_p, ops.max_pool_take_p

    def chosen(x: Any) -> Any:
        return x.detach(), ops.max_pool_p(x.detach(), **d)

    return [
        Row(f"max_pool {case}", lambda x: ops.max_pool_p(x, **d), lambda x: largest(case, x), samples(((x,),), WIDE),
            tf_pool(case, "MAX") if padding else None, "max_pool" if padding else None, ints="float"),
        Row(f"max_pool_put {case}", lambda g, x: put(g, *chosen(x), **d),
            lambda g, v: transposed(lambda b: taken(case, b, v), x)(g), samples(((y, x),), WIDE),
            tf_transposed(tf_pool(case, "MAX"), x) if padding else None, "max_pool_put" if padding else None,
            grad=False),
        Row(f"max_pool_take {case}", lambda h, x: take(h, *chosen(x), **d), lambda h, x: taken(case, h, x),
            samples(((x, x),), WIDE), tf_taken(case, y) if padding else None, "max_pool_take" if padding else None,
            grad=False),
        Row(f"window_sum {case}", lambda x: ops.window_sum_p(x, **p), lambda x: summed(case, x),
            samples(((x,),), WIDE), (lambda tf, x: tf_pool(case, "AVG")(tf, x) * prod(window)) if sums else None,
            "window_sum" if sums else None, ints="float"),
        Row(f"window_spread {case}", lambda g: ops.window_spread_p(g, lengths=x[1:-1], **p),
            transposed(lambda b: summed(case, b), x), samples(((y,),), WIDE),
            tf_transposed(lambda tf, b: tf_pool(case, "AVG")(tf, b) * prod(window), x) if sums else None,
            "window_spread" if sums else None, ints="float"),
    ]  # fmt: skip


ROWS = [
    *(row for case in CASES for row in convolution_rows(case)),
    *(row for case in POOLS for row in pool_rows(case)),
]

"""Rows: cross-entropies on logits, and drawing random numbers."""

from typing import Any

import numpy as np

import tapegrad as tg
from primitives.rows_reductions import np_log_softmax
from primitives.table import Row, samples
from tapegrad.autograd import ops

WIDE, SHARE = (-3.0, 3.0), (0.0, 1.0)
LABELLED = tuple((*samples(((shape,),), WIDE)[0], labels) for shape, labels in
                 (((3, 4), np.array([3, 0, 3])), ((2, 2, 3), np.array([[0, 1], [2, 2]])), ((4,), np.array(2)),
                  ((0, 3), np.zeros(0, np.int64))))  # fmt: skip


WIDE_SAMPLES = samples((((3, 4),),), WIDE)[0]


def np_sparse(x: Any, labels: Any) -> Any:
    return -np.take_along_axis(np_log_softmax(x), labels[..., None], -1)[..., 0]


def np_less_one(p: Any, labels: Any) -> Any:
    hot = labels[..., None] == np.arange(p.shape[-1])
    others = np.where(hot, 0, p)
    return np.where(hot, -others.sum(-1, keepdims=True), others)


def np_binary(x: Any, t: Any) -> Any:
    return np.logaddexp(0, x) - x * t


ROWS = [
    Row("binary_cross_entropy_with_logits", ops.binary_cross_entropy_p, np_binary,
        samples((((3, 4), (3, 4)), ((3, 4), (4,)), ((), ()), ((0, 3), (0, 3))), WIDE, SHARE),
        lambda tf, x, t: tf.nn.sigmoid_cross_entropy_with_logits(t * tf.ones_like(x), x),
        "binary_cross_entropy_with_logits"),
    Row("binary_cross_entropy_slope", ops.losses.binary_cross_entropy_slope, lambda x, t: 1 / (1 + np.exp(-x)) - t,
        samples((((3, 4), (3, 4)), ((3, 4), (4,)), ((), ()), ((0, 3), (0, 3))), WIDE, SHARE),
        lambda tf, x, t: tf.sigmoid(x) - t, "binary_cross_entropy_slope"),
    Row("cross_entropy_with_logits", ops.cross_entropy_p, lambda x, t: -np.sum(t * np_log_softmax(x), -1),
        samples((((3, 4), (3, 4)), ((2, 2, 3), (2, 2, 3)), ((3, 4), (4,)), ((4,), (4,)), ((0, 3), (0, 3))), WIDE,
                SHARE), lambda tf, x, t: -tf.reduce_sum(t * tf.nn.log_softmax(x), -1), "cross_entropy_with_logits"),
    Row("sparse_cross_entropy_with_logits", ops.sparse_cross_entropy_p, np_sparse, LABELLED,
        lambda tf, x, t: tf.nn.sparse_softmax_cross_entropy_with_logits(t, x), "sparse_cross_entropy_with_logits"),
    Row("binary_cross_entropy", ops.binary_cross_entropy_of_p, lambda p, t: -t * np.log(p) - (1 - t) * np.log1p(-p),
        samples((((3, 4), (3, 4)), ((3, 4), (4,)), ((), ()), ((0, 3), (0, 3))), SHARE, SHARE),
        lambda tf, p, t: -t * tf.math.log(p) - (1.0 - t) * tf.math.log1p(-p), "binary_cross_entropy"),
    Row("cross_entropy", ops.cross_entropy_of_p, lambda p, t: -np.sum(t * np.log(p / p.sum(-1, keepdims=True)), -1),
        samples((((3, 4), (3, 4)), ((2, 2, 3), (2, 2, 3)), ((4,), (4,)), ((0, 3), (0, 3))), (0.1, 1.0), SHARE),
        lambda tf, p, t: -tf.reduce_sum(t * tf.math.log(p / tf.reduce_sum(p, -1, keepdims=True)), -1),
        "cross_entropy"),
    Row("poisson", lambda p, t: ops.poisson_p(p, t, epsilon=0.25), lambda p, t: p - t * np.log(p + 0.25),
        samples((((3, 4), (3, 4)), ((), ()), ((0, 3), (0, 3))), SHARE, WIDE),
        lambda tf, p, t: p - t * tf.math.log(p + 0.25), "poisson"),
    Row("less_share", lambda g, p: ops.less_share_p(g, p, axis=1), lambda g, p: g - g.sum(1, keepdims=True) * p,
        ((WIDE_SAMPLES[0], np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.02, 0.48, 0.1, 0.4]])),),
        lambda tf, g, p: g - tf.reduce_sum(g, 1, keepdims=True) * p, "less_share"),
    Row("minus_one_at_label", ops.less_one_p, np_less_one, tuple((np.exp(np_log_softmax(x)), t) for x, t in LABELLED),
        lambda tf, p, t: tf.where(tf.one_hot(t, p.shape[-1], True, False), p - tf.reduce_sum(p, -1, keepdims=True), p),
        "minus_one_at_label"),
    Row("one_hot", lambda t: ops.one_hot_p(t, classes=4, dtype=t.backend.dtype("float32")),
        lambda t: np.eye(4, dtype="float32")[t], ((np.array([3, 0, 3]),), (np.array(2),), (np.zeros((0, 2), int),)),
        lambda tf, t: tf.one_hot(t, 4), "one_hot", False),
    Row("one_hot along 0", lambda t: tg.one_hot(t, 4, 0, dtype="float64"),
        lambda t: np.moveaxis(np.eye(4)[t], -1, 0), ((np.array([3, 0, 3]),), (np.array([[2, 1]]),)),
        lambda tf, t: tf.one_hot(t, 4, axis=0, dtype="float64"), None, False),
]  # fmt: skip

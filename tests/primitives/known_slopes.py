"""Functions of whole arrays with the gradients that the conventions of autograd/ops give them: at ties, infinities and
NaN, where no difference shows a slope."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad.autograd import ops

INF, NAN = np.inf, np.nan
POOLED = tg.tensor([[[1.0], [3.0], [2.0], [0.0]]], dtype="float64")
PAIRS: dict[str, Any] = {"window": (2,), "strides": (2,), "border": ((0, 0),), "dilation": (1,)}


def slopes(f: Callable[..., Any], *arrays: Any, dtype: str = "float64") -> tuple[Any, list[np.ndarray]]:
    """The value of f, and the gradient of its sum."""
    xs = [tg.tensor(np.array(a, dtype=dtype), requires_grad=True) for a in arrays]
    y = f(*xs)
    y.backward(np.ones(y.shape, dtype=dtype))
    return y.numpy(), [x.grad.numpy() for x in xs]


# f of one array, the array, the gradient of the sum of f
WHOLE: tuple[tuple[str, Callable[..., Any], Any, Any], ...] = (
    ("norm of 0", lambda x: tg.sqrt((x * x).sum()), [0, 0], [0, 0]),
    ("norm", lambda x: tg.sqrt((x * x).sum()), [3, 4], [0.6, 0.8]),
    ("std of equal ones", tg.std, [2, 2, 2], [0, 0, 0]),
    ("std of one", tg.std, [5], [0]),
    ("var of equal ones", tg.var, [2, 2, 2], [0, 0, 0]),
    ("max, ties", tg.max, [1, 3, 3], [0, 0.5, 0.5]),
    ("max of all ties", tg.max, [[2, 2], [2, 2]], [[0.25] * 2] * 2),
    ("max over an axis, ties", lambda x: tg.max(x, axis=1), [[2, 2, 1], [1, 1, 1]], [[0.5, 0.5, 0], [1 / 3] * 3]),
    ("max, infinite", tg.max, [INF, 1, INF], [0.5, 0, 0.5]),
    ("min, ties", tg.min, [3, 1, 1], [0, 0.5, 0.5]),
    ("min of +-0", tg.min, [0.0, -0.0, 1], [0.5, 0.5, 0]),
    ("prod, a zero", tg.prod, [0, 2, 3], [6, 0, 0]),
    ("prod, two zeros", tg.prod, [0, 2, 0, 3], [0, 0, 0, 0]),
    ("prod, infinite", tg.prod, [INF, 2, 3], [6, INF, INF]),
    ("prod of one", tg.prod, [INF], [1]),
    ("prod, tiny", tg.prod, [1e-200, 1e-200, 1e200], [1, 1, 0]),
    ("cumulative_prod, a zero", tg.cumulative_prod, [0, 2, 3], [9, 0, 0]),
    ("cumulative_prod, two zeros", tg.cumulative_prod, [2, 0, 3, 0, 5], [1, 8, 0, 0, 0]),
    ("cumulative_prod, infinite", tg.cumulative_prod, [INF, 2], [3, INF]),
    ("cumulative_prod, its last", lambda x: tg.cumulative_prod(x)[0], [2, INF, NAN], [1, 0, 0]),
    ("cumulative_prod, tiny", lambda x: tg.cumulative_prod(x)[-1], [1e-200, 1e-200, 1e200], [1, 1, 0]),
    ("cumulative_sum, its first", lambda x: tg.cumulative_sum(x)[0], [INF, NAN], [1, 0]),
    ("tril of NaN", tg.tril, [[1, NAN], [2, INF]], [[1, 0], [1, 1]]),
    ("diff of infinities", tg.diff, [INF, INF, 1], [-1, 0, 1]),
    ("pad, the edge", lambda x: tg.pad(x, 2, "edge"), [INF, 1], [3, 3]),
    ("pad with -inf", lambda x: tg.pad(x, 1, constant_values=-np.inf), [INF, 1], [1, 1]),
    ("top_k, ties", lambda x: tg.top_k(x, 2)[0], [1, 3, 3, 3], [0, 1, 1, 0]),
    ("top_k, NaN first", lambda x: tg.top_k(x, 1)[0], [1, NAN, INF], [0, 1, 0]),
    ("astype", lambda x: x.astype("float32"), [1, 2], [1, 1]),
    ("max_pool_take", lambda h: ops.max_pool_take_p(h, POOLED, ops.max_pool_p(POOLED, **PAIRS), **PAIRS),
     [[[5], [6], [7], [8]]], [[[0], [1], [1], [0]]]),
    ("logsumexp", tg.logsumexp, [1000, 1000], [0.5, 0.5]),
    ("logsumexp, apart", tg.logsumexp, [1e308, -1e308], [1, 0]),
    ("logsumexp, masked", tg.logsumexp, [0, -INF], [1, 0]),
    ("logsumexp of none", tg.logsumexp, [-INF, -INF], [0, 0]),
    ("softmax, masked", lambda x: tg.softmax(x)[0], [0, 0, -INF], [0.25, -0.25, 0]),
    ("log_softmax, apart", lambda x: tg.log_softmax(x)[0], [1e4, -1e4], [0, 0]),
    ("where, ties go by the condition", lambda x: tg.where(x >= 0, x, -x), [0, -1], [1, -1]),
)  # fmt: skip

"""Random expressions of elementwise, broadcasting, moving and reducing operations agree with central differences."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.table import spread

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

# Smooth everywhere, and of moderate slope for moderate arguments: differences can judge any composition of them.
UNARY = {
    "sin": tg.sin,
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "softplus": tg.softplus,
    "erf": tg.erf,
    "atan": tg.atan,
    "asinh": tg.asinh,
    "log1p(x * x)": lambda x: tg.log1p(x * x),
    "sqrt(x * x + 1)": lambda x: tg.sqrt(x * x + 1),
    "exp(tanh(x))": lambda x: tg.exp(tg.tanh(x)),
    "x ** 3 / 8": lambda x: tg.tanh(x) ** 3 / 8,
    "1 / (2 + cos(x))": lambda x: 1 / (2 + tg.cos(x)),
    "2 - x": lambda x: 2 - x,
}
BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: tg.tanh(a) * b,
    "/": lambda a, b: a / (2 + tg.sin(b)),
    "hypot + 1": lambda a, b: tg.sqrt(a * a + b * b + 1),
    "atan2": lambda a, b: tg.atan2(a, tg.softplus(b) + 1),
    "power": lambda a, b: tg.sigmoid(a) ** tg.tanh(b),
    "matmul": lambda a, b: (
        a @ tg.matrix_transpose(b) if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] else a + b
    ),
}
SHAPING = {
    "sum": lambda x: tg.sum(x, axis=-1, keepdims=True),
    "mean": lambda x: tg.mean(x, axis=0),
    "var": lambda x: tg.var(x, axis=-1, keepdims=True),
    "logsumexp": lambda x: tg.logsumexp(x, axis=-1, keepdims=True),
    "prod": lambda x: tg.prod(tg.tanh(x), axis=0, keepdims=True),
    "softmax": tg.softmax,
    "log_softmax": tg.log_softmax,
    "flip": tg.flip,
    "first": lambda x: x[:1],
    "transpose": lambda x: x.transpose(),
    "new axis": lambda x: x[:, None] if x.ndim < 3 else x,
    "twice": lambda x: tg.concat([x, x], axis=-1) if x.shape[-1] < 5 else x,
    "gather": lambda x: tg.take(x, [0, -1, 0], axis=0) if x.shape[0] < 4 else x,
}
LEAVES = (((3, 2), (-1.5, 1.5)), ((2,), (-1.0, 2.0)), ((1, 2), (-2.0, 1.0)), ((3, 1), (-1.0, 1.0)))

leaf = st.sampled_from(range(len(LEAVES)))


def grow(inner: Any) -> Any:
    return st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), inner),
        st.tuples(st.sampled_from(sorted(SHAPING)), inner),
        st.tuples(st.sampled_from(sorted(BINARY)), inner, inner),
    )


expressions = st.recursive(leaf, grow, max_leaves=6)


def evaluate(tree: Any, xs: list[Any]) -> Any:
    if isinstance(tree, int):
        return xs[tree]
    name, *inner = tree
    values = [evaluate(t, xs) for t in inner]
    if name in SHAPING:
        return SHAPING[name](values[0] if values[0].ndim else values[0].reshape(1))
    if name in UNARY:
        return UNARY[name](*values)
    try:
        return BINARY[name](*values)
    except ValueError as error:  # shapes that do not broadcast
        assert "broadcast" in str(error) or "shape" in str(error)
        return BINARY[name](values[0], tg.mean(values[1]))


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(tree=expressions)
def test_random_expression(tree: Any):
    arrays = [spread(shape, *limits, seed=i) for i, (shape, limits) in enumerate(LEAVES)]
    directions = [spread(a.shape, -1.0, 1.3, 50 + i) for i, a in enumerate(arrays)]

    def value(at: list[np.ndarray]) -> tg.Tensor:
        y = evaluate(tree, [tg.tensor(a, requires_grad=True) for a in at])
        return tg.sum(y * spread(y.shape, -1.0, 1.5, 7))

    def slope(at: list[np.ndarray], record: bool = False) -> Any:
        """The derivative along the directions, a Tensor that can be differentiated again if recorded."""
        xs = [tg.tensor(a, requires_grad=True) for a in at]
        y = evaluate(tree, xs)
        tg.sum(y * spread(y.shape, -1.0, 1.5, 7)).backward(create_graph=record)
        return xs, sum((x.grad * u).sum() for x, u in zip(xs, directions, strict=True) if x.grad is not None)

    def differ(f: Any) -> float:
        step = 1e-5
        ahead, behind = ([a + s * u for a, u in zip(arrays, directions, strict=True)] for s in (step, -step))
        return (f(ahead) - f(behind)) / (2 * step)

    first = slope(arrays)[1].item()
    assert first == pytest.approx(differ(lambda at: value(at).item()), rel=1e-6, abs=1e-6)

    xs, recorded = slope(arrays, record=True)
    for x in xs:
        x.grad = None
    if recorded.requires_grad:
        recorded.backward()
    second = sum(
        float(np.sum(x.grad.numpy() * u)) for x, u in zip(xs, directions, strict=True) if x.grad is not None
    )
    assert second == pytest.approx(differ(lambda at: slope(at)[1].item()), rel=1e-5, abs=1e-5)

"""`t += v` on a tensor that others see: one function has one value, with a gradient and without, or it raises."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def in_a_function(t: Any) -> None:
    t -= t.mean()
    t /= t.std()


def by_a_function(x: Any) -> Any:
    h = x * 1.0
    in_a_function(h)
    return (h * h * h * x).sum()


def in_a_list(x: Any) -> Any:
    parts = [x * 1.0, x * 2.0]
    for part in parts:
        part *= 10.0
    parts[0] += parts[1]
    return sum(part.sum() for part in parts)


def residual(x: Any) -> Any:
    h = x * 1.0
    for _ in range(3):
        h += tg.tanh(h @ h)
    h *= h
    return h.sum()


def of_a_view(x: Any) -> Any:
    h = (x * 1.0).reshape(-1)
    h += x[0, 0]
    h = h.reshape(2, 2)
    h += h.T
    return (h * h).sum()


def of_a_view_whose_maker_is_walked_first(x: Any) -> Any:
    w = tg.tanh(x)
    h = (x * 1.0).T
    h *= tg.sin(w @ w)
    q = (x @ x).reshape(1, 2, 2).mT
    q *= 0.3
    q += q.mT
    return (h * q[0]).sum()


def of_a_constant(x: Any) -> Any:
    sums = first = tg.zeros(2, dtype=x.dtype)
    for row in x:
        sums += row * row
    return (sums * first * x).sum()


def by_an_index(x: Any) -> Any:
    h = tg.zeros((2, 2), dtype=x.dtype)
    h[0] += x[1]
    h[1] -= x[0] * x[1]
    return (h * h).sum()


def powers(x: Any) -> Any:
    h = x * 1.0
    h **= 2
    h @= h
    h /= h.max() + 1.0
    return h.sum()


ONE_VALUE = (
    by_a_function,
    in_a_list,
    residual,
    of_a_view,
    of_a_view_whose_maker_is_walked_first,
    of_a_constant,
    powers,
)


@pytest.mark.parametrize("f", ONE_VALUE, ids=lambda f: f.__name__)
def test_a_function_has_one_value_with_and_without_a_gradient(f: Callable[[Any], Any]) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    value, gradient = tg.value_and_grad(f)(x)
    assert value.item() == pytest.approx(f(x).item(), rel=1e-14)
    tg.check_grads(f, [x], order=2)
    step = tg.jit(tg.value_and_grad(f), emitter="numpy")
    for _ in range(3):
        again = step(x)
        assert again[0].item() == pytest.approx(value.item()) and again[1].numpy() == pytest.approx(
            gradient.numpy()
        )
    assert tg.grad(tg.checkpoint(f))(x).numpy() == pytest.approx(gradient.numpy())
    y = x * 1.0
    y.requires_grad_()
    loss, alive = f(y), weakref.ref(y)
    gc.disable()
    try:
        del y, loss
        assert alive() is None
    finally:
        gc.enable()


def test_an_index_stores_the_result_in_the_whole() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    assert tg.value_and_grad(by_an_index)(x)[0].item() == by_an_index(x).item()
    tg.check_grads(by_an_index, [x], order=2)


def a_transposed_view(x: Any) -> Any:
    y = x * 1.0
    z = y.T
    y *= 2.0
    return (y + z).sum()


def the_whole(x: Any) -> Any:
    y = x * 1.0
    row = y[0]
    row += 1.0
    return y.sum()


def detached(x: Any) -> Any:
    loss = x.sum()
    log = loss.detach()
    loss += (x * x).sum()
    return loss + log


def of_an_array(x: Any) -> Any:
    array = np.zeros(2)
    t = tg.asarray(array)
    t += x[0]
    return t.sum() + float(array[0])


def of_a_buffer(x: Any) -> Any:
    buffer = tg.nn.Buffer(tg.zeros(2, dtype=x.dtype))
    buffer += x[0]
    return buffer.sum()


SEEN_ELSEWHERE = r"a gradient is recorded.*write t = t . value"
RAISES = {
    **dict.fromkeys((a_transposed_view, the_whole, detached, of_an_array), SEEN_ELSEWHERE),
    of_a_buffer: r"t is a Buffer, which keeps none: write t\.assign\(t \+ value\)",
}


@pytest.mark.parametrize("f", RAISES)
def test_what_would_have_two_values_raises(f: Callable[[Any], Any]) -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.5]], dtype="float64")
    f(x)
    for call in (tg.grad(f), tg.jit(tg.grad(f), emitter="numpy")):
        with pytest.raises(RuntimeError, match=RAISES[f]):
            call(x)
